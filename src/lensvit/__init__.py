"""lensvit: from settings to paper.pdf, one module a stage.

settings -> PSFs -> images -> catalogue -> weights -> draws -> table and figures -> paper
"""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """``fit``, ``load`` and ``__version__``, made when they are asked for: torch takes seconds to import."""
    if name == "fit":
        return importlib.import_module("lensvit.observations.api").fit
    if name == "load":
        return importlib.import_module("lensvit.prediction.network").load
    if name == "__version__":
        return importlib.import_module("lensvit.version").version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
