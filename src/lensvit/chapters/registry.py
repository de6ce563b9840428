"""The one list of the paper's chapters, from which the command line, the paper and releases find them.

A chapter is a package ``lensvit.chapters.{name}`` with a module ``chapter`` that holds a :class:`Chapter` called
``CHAPTER``. Beside it may lie ``section`` (its key in the config), ``settings`` (of its stages), ``compute``,
``table``, ``figure``; ``numbers``, whose class ``Part`` is the chapter's part of numbers.json; and ``claims``, whose
function ``numbers`` fills this part from the chapter's tables. Its rules are ``rules/{name}.smk`` and its template is
``paper/chapters/{name}.tex.j2``.
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
    in_appendix
        Whether the chapter stands at the end of the appendix.
    stages
        Stage, a command of ``lensvit``, to ``module:function`` inside of the chapter's package.
    keys
        Keys of numbers.json that the chapter fills; they are null where it is switched off.
    keys_order
        The chapter's keys stand in numbers.json in this order; None: in the order of the paper.
    tables
        Names of the files that it fills them from, in the order in which ``lensvit numbers`` is given them with
        ``--chapter``. None for a chapter that every paper has and whose files have options of their own.
    figures
        Names of its figures: ``figures/{name}.pdf`` and ``.png``.
    released
        Patterns of its files that go into the small archive of a release, beside tables, figures and settings. A
        run that lacks those of a chapter that cannot be switched off is not finished.
    released_if_small
        Patterns of files that go into the small archive while there is room, else into the one of the weights.
    """

    order: int
    before_models: bool = False
    in_appendix: bool = False
    stages: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    keys_order: int | None = None
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    released_if_small: tuple[str, ...] = ()


def find_chapters() -> dict[str, Chapter]:
    """All chapters by name, in the order of the paper."""
    names = sorted(path.parent.name for path in FOLDER.glob("*/chapter.py"))
    found = {name: importlib.import_module(f"lensvit.chapters.{name}.chapter").CHAPTER for name in names}
    return dict(sorted(found.items(), key=lambda entry: entry[1].order))


CHAPTERS = find_chapters()


def has_module(name: str, module: str) -> bool:
    """Whether the package of the chapter ``name`` has a module of this name."""
    return (FOLDER / name / f"{module}.py").is_file()


def can_be_off(name: str) -> bool:
    """Whether a run may lack the chapter ``name``: it has a key in the config, which switches it off."""
    return has_module(name, "section")


def in_order_of_keys() -> dict[str, Chapter]:
    """All chapters by name, in the order in which their keys stand in numbers.json."""

    def place(entry: tuple[str, Chapter]) -> int:
        chapter = entry[1]
        return chapter.order if chapter.keys_order is None else chapter.keys_order

    return dict(sorted(CHAPTERS.items(), key=place))
