"""lensvit: from settings to paper.pdf, one module a stage.

settings -> PSFs -> images -> catalogue -> weights -> draws -> table and figures -> paper
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``lensvit.fit`` and ``lensvit.load``, which are imported when they are asked for, since torch takes seconds."""
    if name == "fit":
        return importlib.import_module("lensvit.observations.api").fit
    if name == "load":
        return importlib.import_module("lensvit.prediction.network").load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
