"""The version of this package, which stands in pyproject.toml alone.

It is in the code of no stage, so that a new version makes no result anew (:mod:`lensvit.jobs.sources`).
"""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
UNKNOWN = "0+unknown"  # of a source that lies by itself


def version(project: Path = PROJECT) -> str:
    """The version, of the clone that the source lies in, or else of the package as it was installed."""
    try:
        found = re.search(
            r'^name = "lensvit"\nversion = "([^"\n]+)"$', project.read_text(encoding="utf-8"), re.MULTILINE
        )
    except OSError:
        found = None
    return _installed() if found is None else found[1]


def _installed() -> str:
    from importlib import metadata  # which takes longer than all else here

    try:
        return metadata.version("lensvit")
    except metadata.PackageNotFoundError:
        return UNKNOWN
