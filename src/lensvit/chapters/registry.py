"""The one list of the paper's chapters, from which the command line, the paper and releases find them.

A chapter is a package ``lensvit.chapters.{name}`` with a module ``chapter`` that holds a :class:`Chapter` called
``CHAPTER``. Beside it may lie ``section`` (its key in the config), ``settings`` (of its stages), ``compute``,
``table``, ``figure``, and ``claims``, whose function ``numbers`` gives what the paper prints. Its rules are
``rules/{name}.smk`` and its template is ``paper/chapters/{name}.tex.j2``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Chapter:
    """What others need to know of a chapter.

    Parameters
    ----------
    order
        Chapters stand in the paper in this order.
    before_models
        Whether the chapter stands before the section on the networks.
    stages
        Stage, a command of ``lensvit``, to ``module:function`` inside of the chapter's package.
    keys
        Keys of numbers.json that the chapter fills; they are null where it is switched off.
    figures
        Names of its figures: ``figures/{name}.pdf`` and ``.png``.
    released
        Patterns of its files that go into the small archive of a release, beside tables, figures and settings.
    """

    order: int
    before_models: bool = False
    stages: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    released: tuple[str, ...] = ()


def find_chapters() -> dict[str, Chapter]:
    """All chapters by name, in the order of the paper."""
    names = sorted(path.parent.name for path in FOLDER.glob("*/chapter.py"))
    found = {name: importlib.import_module(f"lensvit.chapters.{name}.chapter").CHAPTER for name in names}
    return dict(sorted(found.items(), key=lambda entry: entry[1].order))


CHAPTERS = find_chapters()


def has_module(name: str, module: str) -> bool:
    """Whether the package of the chapter ``name`` has a module of this name."""
    return (FOLDER / name / f"{module}.py").is_file()
