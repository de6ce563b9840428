"""What stages hand on to several chapters: a network's draws, limits of information, and refined estimates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from lensvit.errors import LensvitError
from lensvit.io import files, tables
from lensvit.io.hdf5 import find_systems, open_hdf5, values
from lensvit.parameters import TARGET_NAMES

FEWEST_DRAWS = 2  # passes of a network, from which a fit can start
NEAREST_CAUSTIC = 3.0  # distance from a caustic without a limit, in standard deviations; see lensvit.chapters.limit
AMPLITUDE_TREATMENTS = ("known", "marginalised")  # of the amplitudes of the light, for the limit


def read_draws(path: Path, ids: list[str]) -> np.ndarray:
    """What a network has drawn for some systems, (passes, n, K), in the targets' own units.

    Parameters
    ----------
    path
        HDF5 file of the stage ``evaluate``.
    ids
        Ids of the n systems.

    Raises
    ------
    LensvitError
        If the file is absent or broken, has nothing of a system, or its draws are too few or not finite.
    """
    with open_hdf5(path) as file:
        rows = np.array(find_systems(path, values(file["id"]), ids))
        first = rows.min(initial=0)
        # no more of the file than these systems lie in, which are some of very many
        draws = file["draws"][:, first : rows.max(initial=0) + 1][:, rows - first].astype(float)
    if len(draws) < FEWEST_DRAWS or not np.isfinite(draws).all():
        raise LensvitError(f"{path}: a start needs {FEWEST_DRAWS} passes or more, all of them finite")
    return draws


def read_limits(path: Path, amplitudes: str, of_input: str = "") -> pd.DataFrame:
    """The standard deviation of each target at the limit of information, for the systems that have a limit.

    Parameters
    ----------
    path
        The file limit.parquet.
    amplitudes
        What is known of the amplitudes of the light, one of :data:`AMPLITUDE_TREATMENTS`.
    of_input
        An input of a network, as graded60, from which the limit is; of the image if it is empty.

    Returns
    -------
    pd.DataFrame
        Index: ids of the systems; columns: ``instrument`` and the targets, each in its own unit.

    Raises
    ------
    LensvitError
        If the file is absent or broken, or no system has a limit.
    """
    suffix = f"{amplitudes}_{of_input}" if of_input else amplitudes
    table = tables.read_limits(path, amplitudes, suffix)
    table = table[table[f"valid_{amplitudes}"]]
    if table.empty:
        raise LensvitError(f"no test system has a limit of information in {path}: set limit.enabled to false")
    columns = {f"{name}_{suffix}": name for name in TARGET_NAMES}
    return table[["instrument", *columns]].rename(columns=columns)


def refined_errors(refined: pd.DataFrame) -> np.ndarray:
    """Errors (n, K) of converged fits: most probable value, or mean near a limit of a uniform prior, minus truth."""
    return tables.prediction_errors(refined[refined["converged"]])


def write_with_arrays(output: Path, table: pd.DataFrame, arrays: Mapping[str, object], names: Sequence[str]) -> None:
    """Write a table and, beside it, arrays of the same rows; both with manifests.

    Parameters
    ----------
    output
        The Parquet file; the HDF5 file has the same name with the suffix .h5.
    table
        One row a system or chain.
    arrays
        Name of a dataset to its values, whose first axis is that of the rows.
    names
        Names of the parameters along the arrays' last axis: the attribute ``names``.
    """
    with writing_with_arrays(output, table) as file:
        for name, content in arrays.items():
            file[name] = content
        file.attrs["names"] = list(names)


@contextmanager
def writing_with_arrays(output: Path, table: pd.DataFrame) -> Iterator[h5py.File]:
    """Yield the HDF5 file beside a table, which the block fills; then both are there, with manifests.

    Parameters
    ----------
    output
        The Parquet file; the HDF5 file has the same name with the suffix .h5.
    table
        What goes into the Parquet file.
    """
    beside = Path(output).with_suffix(".h5")
    with files.atomic(beside) as temporary, h5py.File(temporary, "w") as file:
        yield file
    with files.atomic(output) as temporary:
        table.to_parquet(temporary, index=False)
    for path in (beside, output):
        files.write_manifest(path)
