"""What stages hand on to several chapters: draws, limits of information, fits, and samples of posteriors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd

from lensvit.errors import LensvitError
from lensvit.io import files, tables
from lensvit.io.hdf5 import find_systems, of_rows, open_hdf5, values
from lensvit.parameters import NAMES, TARGET_COLUMNS, TARGET_NAMES

FEWEST_DRAWS = 2  # passes of a network, from which a fit can start
FEWEST_SAMPLES = 4  # of a posterior, from which something can be said of its width
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
        known, every = values(file["id"]), file["draws"]
        _check_numbers(every, (*every.shape[:1], len(known), len(TARGET_NAMES)))
        draws = of_rows(every, find_systems(path, known, ids), axis=1).astype(float)
    if len(draws) < FEWEST_DRAWS or not np.isfinite(draws).all():
        raise LensvitError(f"{path}: {FEWEST_DRAWS} passes or more are needed, all of them finite")
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


class Laplace(NamedTuple):
    """Laplace's approximations of posteriors.

    Parameters
    ----------
    mean
        (n, P) the most probable values, or the mean near the limit of a uniform prior.
    covariance
        (n, P, P).
    """

    mean: np.ndarray
    covariance: np.ndarray

    def of_targets(self) -> Laplace:
        """The same of the targets alone, in their own units."""
        return Laplace(self.mean[:, TARGET_COLUMNS], self.covariance[:, TARGET_COLUMNS][..., TARGET_COLUMNS])


def read_laplace(path: Path, ids: Iterable[str]) -> Laplace:
    """Laplace's approximations that converged fits have found, by the coordinates.

    Parameters
    ----------
    path
        The table of the fits, refined/{start}.parquet, beside which the arrays lie.
    ids
        Ids of the n systems, whose fits have converged.

    Raises
    ------
    LensvitError
        If the file is absent or broken, has nothing of a system, or what is no normal distribution.
    """
    path, ids, size = Path(path).with_suffix(".h5"), list(ids), len(NAMES)
    with open_hdf5(path) as file:
        known = values(file["id"])
        rows = find_systems(path, known, ids)
        for name, shape in (("coordinates", (size,)), ("covariance", (size, size))):
            _check_numbers(file[name], (len(known), *shape))
        found = Laplace(*(of_rows(file[name], rows).astype(float) for name in ("coordinates", "covariance")))
        for name, mean, covariance in zip(ids, *found, strict=True):
            if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
                raise ValueError(f"the fit of {name} has converged and is not finite")
        _check_covariances(ids, found.covariance)
    return found


def read_limit_covariances(path: Path, amplitudes: str, ids: Iterable[str]) -> np.ndarray:
    """Covariances (n, 14, 14) at the limit of information, by the coordinates.

    Parameters
    ----------
    path
        limit.parquet, beside which the arrays lie.
    amplitudes
        What is known of the amplitudes of the light, one of :data:`AMPLITUDE_TREATMENTS`.
    ids
        Ids of the n systems, which have a limit.

    Raises
    ------
    LensvitError
        If the file is absent or broken, has nothing of a system, or what is no covariance.
    """
    path, ids, size = Path(path).with_suffix(".h5"), list(ids), len(NAMES)
    with open_hdf5(path) as file:
        known = values(file["id"])
        _check_numbers(file[amplitudes], (len(known), size, size))
        found = of_rows(file[amplitudes], find_systems(path, known, ids)).astype(float)
        _check_covariances(ids, found)
    return found


def _check_covariances(ids: Sequence[str], covariances: np.ndarray) -> None:
    """Raise a ValueError if one of the matrices (n, P, P) of systems is no covariance, but for its rounding."""
    for name, covariance in zip(ids, covariances, strict=True):
        sigma = np.sqrt(np.abs(covariance.diagonal()))
        try:
            good = bool(np.isfinite(np.linalg.cholesky(covariance)).all())
        except np.linalg.LinAlgError:
            good = False
        if not good or (np.abs(covariance - covariance.T) > 1e-6 * np.outer(sigma, sigma)).any():
            raise ValueError(f"the covariance of {name} is none: it is not symmetric or has no Cholesky factor")


def read_samples(path: Path, ids: Iterable[str], rows: Sequence[int] | None = None) -> np.ndarray:
    """Samples (n, S, 14) of posteriors that count, of all parameters.

    Parameters
    ----------
    path
        The table of the posteriors or of the chains, beside which the samples lie.
    ids
        Ids of the n systems.
    rows
        The rows of the table that are meant, where a system may have several.

    Raises
    ------
    LensvitError
        If the file is absent or broken, has nothing of a system or other systems than the table, or if samples are
        not finite.
    """
    path, ids = Path(path).with_suffix(".h5"), list(ids)
    with open_hdf5(path) as file:
        known, samples = values(file["id"]), file["samples"]
        if samples.shape[1:2] < (FEWEST_SAMPLES,):
            raise ValueError(f"it has less than {FEWEST_SAMPLES} samples of a posterior")
        if rows is not None and [known[row] for row in rows] != ids:
            raise ValueError("it has other systems than the table beside it")
        _check_numbers(samples, (len(known), *samples.shape[1:2], len(NAMES)))
        found = of_rows(samples, find_systems(path, known, ids) if rows is None else rows).astype(float)
        for name, some in zip(ids, found, strict=True):
            if not np.isfinite(some).all():
                raise ValueError(f"the samples of {name} count and are not finite")
    return found


def _check_numbers(dataset: h5py.Dataset, shape: tuple[int, ...]) -> None:
    """Raise a ValueError if a dataset holds no floating-point numbers of this shape."""
    if dataset.shape != shape or dataset.dtype.kind != "f":
        name = dataset.name.strip("/")
        raise ValueError(f"its {name} are {dataset.dtype} {dataset.shape} in place of numbers {shape}")


def read_scenes(path: Path, ids: Iterable[str]) -> np.ndarray:
    """All coordinates (n, S, P) of samples of free scenes, sizes and indices by their logarithms.

    Parameters
    ----------
    path
        The table of the posteriors, beside which the samples lie.
    ids
        Ids of the n systems.

    Raises
    ------
    LensvitError
        If the file is absent or broken or has none of a system, or if samples are not finite.
    """
    path, ids = Path(path).with_suffix(".h5"), list(ids)
    with open_hdf5(path) as file:
        known, scenes = values(file["id"]), file["scene"]
        _check_numbers(scenes, (len(known), *scenes.shape[1:]))
        found = of_rows(scenes, find_systems(path, known, ids)).astype(float)
        if not np.isfinite(found).all():
            raise ValueError("samples of a scene that count are not finite")
    return found


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
