"""HDF5 files are opened for reading here, so that each error names the file and says what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from lensvit.errors import LensvitError
from lensvit.io.files import reading


@contextmanager
def open_hdf5(path: Path, kind: str = "file") -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    The block should do nothing but read: datasets or rows that it misses count as damage of the file.

    Parameters
    ----------
    path
        The file.
    kind
        What an error calls the file, for example ``image file``.

    Raises
    ------
    LensvitError
        If the file is absent, cannot be read, is broken, or lacks what the block reads.
    """
    with reading(path, kind), h5py.File(path, "r") as file:
        yield file


def read_datasets(path: Path, *names: str) -> tuple[np.ndarray, ...]:
    """Whole datasets of an HDF5 file, text as :class:`str`.

    Parameters
    ----------
    path
        The file.
    names
        Names of the datasets.

    Raises
    ------
    LensvitError
        If the file is absent, is broken, or lacks a dataset.
    """
    with open_hdf5(path) as file:
        return tuple(values(file[name]) for name in names)


def values(dataset: h5py.Dataset) -> np.ndarray:
    """All values of a dataset, text as :class:`str`."""
    return dataset.asstr()[:] if h5py.check_string_dtype(dataset.dtype) else dataset[:]


def of_rows(dataset: h5py.Dataset, rows: Sequence[int], axis: int = 0) -> np.ndarray:
    """Some rows of a dataset, of which no more is read than what they lie in.

    Parameters
    ----------
    dataset
        The dataset.
    rows
        Numbers of the rows, in any order.
    axis
        The axis along which rows are counted.
    """
    places = np.array(rows, dtype=int)
    first, last = (places.min(), places.max() + 1) if len(places) else (0, 0)
    return dataset[(*[slice(None)] * axis, slice(first, last))].take(places - first, axis)


def find_systems(path: Path, ids: Iterable[str], wanted: Iterable[str]) -> list[int]:
    """Rows of some systems in a file.

    Parameters
    ----------
    path
        The file, which an error names.
    ids
        Ids of the systems in the file, one a row.
    wanted
        Ids of the systems to look for.

    Raises
    ------
    LensvitError
        If the file has nothing of a system, or has one twice.
    """
    rows: dict[str, int] = {}
    for row, name in enumerate(ids):
        if rows.setdefault(name, row) != row:
            raise LensvitError(f"{path} has the system {name} twice: delete it and run snakemake again")
    wanted = list(wanted)
    for name in wanted:
        if name not in rows:
            raise LensvitError(f"{path} has nothing of the system {name}: delete it and run snakemake again")
    return [rows[name] for name in wanted]
