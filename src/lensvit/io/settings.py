"""The settings of one stage: a small YAML file that Snakemake writes and a stage reads.

The schema, with its bounds, lies in :mod:`lensvit.config.schema`; a stage never imports it, so
that a new key of another stage re-runs nothing here.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from lensvit.errors import LensvitError
from lensvit.io.files import write_text


def read_settings(path: Path) -> SimpleNamespace:
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
    return namespace(content)


def namespace(content: Any) -> Any:
    """Nested mappings as nested namespaces, but for those under ``priors`` and ``options``."""
    if isinstance(content, dict):
        return SimpleNamespace(
            **{
                key: value if key in ("priors", "options") else namespace(value)
                for key, value in content.items()
            }
        )
    return content


def plain(content: Any) -> Any:
    """The inverse of :func:`namespace`: mappings again, for a JSON file."""
    if isinstance(content, SimpleNamespace):
        return {key: plain(value) for key, value in vars(content).items()}
    return content


def write_settings(content: str, output: Path) -> None:
    """Write a stage's settings from a line of JSON, as YAML in the same order."""
    write_text(output, yaml.safe_dump(json.loads(content), sort_keys=False, allow_unicode=True))
