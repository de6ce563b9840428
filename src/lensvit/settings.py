"""The settings of one stage: a small YAML file that Snakemake writes and a stage reads.

The schema, with its bounds, lies in :mod:`lensvit.config`; a stage never imports it, so
that a new key of another stage re-runs nothing here.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from lensvit.errors import LensvitError


def read(path: Path) -> SimpleNamespace:
    """Read a stage's settings; nested mappings become nested namespaces.

    Mappings whose keys are data (priors, network options) stay plain ``dict``: those
    under the keys ``priors`` and ``options``.

    Raises
    ------
    LensvitError
        If the file is absent or is no mapping.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LensvitError(f"no settings file {path}: run it through snakemake once") from error
    if not isinstance(content, dict):
        raise LensvitError(f"{path} holds no settings: delete it and run snakemake again")
    return _namespace(content)


def _namespace(content: Any) -> Any:
    if isinstance(content, dict):
        return SimpleNamespace(
            **{
                key: value if key in ("priors", "options") else _namespace(value)
                for key, value in content.items()
            }
        )
    return content
