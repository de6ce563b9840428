"""Groups of rows that several chapters look at: all systems and those of each camera, or the systems of each PSF."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import pandas as pd

from lensvit.parameters import NAMES

Label = TypeVar("Label")

ALL = "all"  # the group of all rows


def with_all(groups: Iterable[Label]) -> list[Label | str]:
    """``ALL``, and after it each of several groups; a single group, which would repeat it, is left out."""
    names: list[Label | str] = list(groups)
    return [ALL, *(names if len(names) > 1 else [])]


def of_group(table: pd.DataFrame, column: str, group: object) -> pd.DataFrame:
    """The rows whose ``column`` is ``group``; the whole table for ``ALL``."""
    return table[(table[column] == group) | (group == ALL)]


def by_psf(systems: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each PSF in the order of its first system, with the rows of its systems."""
    for psf, rows in systems.groupby("psf", sort=False, observed=True):
        yield str(psf), rows


def by_chunk(systems: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The PSF of each image file, in the order of the file's first system, with the rows of the file's systems.

    What is computed side by side for systems of one file does not depend on which other files a job has.
    """
    for (psf, _), rows in systems.groupby(["psf", "chunk"], sort=False, observed=True):
        yield str(psf), rows


def parameters_of(systems: pd.DataFrame) -> list[dict[str, float]]:
    """The parameters of each system of the catalogue by their names."""
    return [dict(zip(NAMES, values, strict=True)) for values in systems[list(NAMES)].to_numpy(dtype=float).tolist()]
