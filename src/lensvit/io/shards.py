"""Tables that several jobs make, each the rows of some systems, and how these shards are merged.

A shard is the part of the test systems whose images lie in some image files. It is a table with arrays beside it like
the whole, and says which rows of the whole it has: ``place`` (their numbers), and the attribute ``whole``, a digest of
the ids of all systems of the whole in their order. So shards are merged without a look at anything else, and the whole
is what one job would have written. A shard may have no rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd

from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.hdf5 import open_hdf5, values
from lensvit.io.products import write_with_arrays, writing_with_arrays

PLACE, WHOLE = "place", "whole"


def of_chunks(rows: pd.DataFrame, chunks: Sequence[str] | None) -> pd.DataFrame:
    """The rows of the catalogue whose images lie in some image files.

    Parameters
    ----------
    rows
        Rows of the catalogue.
    chunks
        The files, as {psf}/{chunk}; None for all.
    """
    if chunks is None:
        return rows
    return rows[_files(rows).isin(list(chunks))]


def _files(rows: pd.DataFrame) -> pd.Series:
    """The image file of each row of the catalogue, as {psf}/{chunk}."""
    return rows["psf"].astype(str) + "/" + rows["chunk"].astype(str)


def check_chunks(rows: pd.DataFrame, chunks: Sequence[str] | None) -> None:
    """Raise a LensvitError if no system lies in one of some image files.

    Parameters
    ----------
    rows
        Rows of the catalogue.
    chunks
        The files, as {psf}/{chunk}; None for all.
    """
    if chunks is None:
        return
    known = set(_files(rows))
    for chunk in chunks:
        if chunk not in known:
            raise LensvitError(
                f"--chunks {chunk}: no test system of the catalogue lies in such a file, {{psf}}/{{chunk}}"
            )


def write_part(
    output: Path, table: pd.DataFrame, arrays: Mapping[str, object], names: Sequence[str], whole: Iterable[str] | None
) -> None:
    """Write a table with arrays beside it, or a shard of one.

    Parameters
    ----------
    output
        The Parquet file; the HDF5 file has the same name with the suffix .h5.
    table
        One row a system, with its ``id``, in the order of the whole. A shard without rows needs no other column.
    arrays
        Name of a dataset to its values, whose first axis is that of the rows; none for a shard without rows.
    names
        Names of the parameters along the arrays' last axis: the attribute ``names``.
    whole
        Ids of all systems of all shards, in order; None if this is no shard.
    """
    if whole is None:
        write_with_arrays(output, table, arrays, names)
        return
    everything = pd.Index(whole)
    with writing_with_arrays(output, table) as file:
        for name, content in arrays.items():
            file[name] = content
        file[PLACE] = everything.get_indexer(pd.Index(table["id"]))
        file.attrs.update({"names": list(names), WHOLE: _digest(everything)})


def merge_shards(shards: list[Path], output: Path) -> None:
    """Merge the shards of a table into what one job would have written.

    Parameters
    ----------
    shards
        Parquet files, with the arrays (.h5) beside each of them.
    output
        Parquet with the rows of all shards, in the order of the catalogue; beside it (.h5) lie the arrays.

    Raises
    ------
    LensvitError
        If a file is absent or broken, the shards are not of one run, or a system is in none or in two of them.
    """
    parts = [_read(Path(path)) for path in shards]
    for part in parts[1:]:
        if part.whole != parts[0].whole:
            raise _mixed(parts[0], part, "they are of different systems")
    full = [part for part in parts if len(part.table)]
    for part in full[1:]:
        if not part.table.dtypes.equals(full[0].table.dtypes) or part.arrays != full[0].arrays:
            raise _mixed(full[0], part, "their columns or arrays differ")
    if not full:
        raise LensvitError(f"no shard of {Path(output).name} has a system: delete them and run snakemake again")
    place = np.concatenate([part.place for part in full])
    order = np.argsort(place, kind="stable")
    table = pd.concat([part.table for part in full], ignore_index=True).iloc[order].reset_index(drop=True)
    repeated = table["id"][table["id"].duplicated()]
    if len(repeated):
        raise LensvitError(
            f"two shards of {Path(output).name} have the system {repeated.iloc[0]}: give each shard once"
        )
    if _digest(table["id"]) != full[0].whole:
        raise LensvitError(
            f"the {len(shards)} shards of {Path(output).name} lack some of its systems: give all of them, or delete "
            "them and run snakemake again"
        )
    with writing_with_arrays(output, table) as file:
        _merge_arrays(file, full, len(table))
    print(f"{len(table)} systems from {len(shards)} shards", flush=True)


class _Part(NamedTuple):
    """One shard: its rows, their places in the whole, the digest of the whole, and shapes and kinds of its arrays."""

    path: Path
    table: pd.DataFrame
    place: np.ndarray
    whole: str
    arrays: dict[str, tuple[tuple[int, ...], np.dtype]]


def _read(path: Path) -> _Part:
    table = tables.read_shard(path)
    beside = path.with_suffix(".h5")
    with open_hdf5(beside) as file:
        place, whole = file[PLACE][:], str(file.attrs[WHOLE])
        arrays = {name: (file[name].shape, file[name].dtype) for name in file if name != PLACE}
        if any(shape[0] != len(table) for shape, _ in arrays.values()) or len(place) != len(table):
            raise ValueError(f"it has not as many rows as {path.name}")
        if len(table) and "id" in file and list(values(file["id"])) != list(table["id"]):
            raise ValueError(f"it has other systems than {path.name}")
    return _Part(path, table, place, whole, {name: (shape[1:], dtype) for name, (shape, dtype) in arrays.items()})


def _mixed(one: _Part, other: _Part, how: str) -> LensvitError:
    return LensvitError(f"{one.path} and {other.path} are not shards of one table ({how}): delete both and run "
                        "snakemake again")  # fmt: skip


def _merge_arrays(output: h5py.File, parts: Sequence[_Part], count: int) -> None:
    """Copy the arrays of all shards to their places, one piece of a shard at a time."""
    for number, part in enumerate(parts):
        pieces = np.split(np.arange(len(part.place)), np.flatnonzero(np.diff(part.place) != 1) + 1)
        with open_hdf5(part.path.with_suffix(".h5")) as file:
            for name, (shape, dtype) in part.arrays.items():
                if not number:
                    output.create_dataset(name, (count, *shape), dtype)
                for rows in pieces:
                    first = part.place[rows[0]]
                    output[name][first : first + len(rows)] = file[name][rows[0] : rows[-1] + 1]
            if not number:
                output.attrs["names"] = list(file.attrs["names"])


def _digest(ids: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
