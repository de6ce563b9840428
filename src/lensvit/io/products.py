"""Some test systems, by lot, and what a network has drawn for them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.parameters import TARGET_NAMES

FEWEST_DRAWS = 2


def read_draws(path: Path, ids: list[str]) -> np.ndarray:
    """A network's draws (passes, n, K) of some systems.

    Raises
    ------
    LensvitError
        If the file is absent or broken, or has none of a system.
    """
    try:
        with h5py.File(path) as file:
            place = {name: number for number, name in enumerate(file["id"].asstr())}
            missing = [name for name in ids if name not in place]
            if missing:
                raise LensvitError(f"{path} has no draws of {missing[0]}: delete it and run snakemake again")
            draws = file["draws"][:][:, [place[name] for name in ids]].astype(float)
    except FileNotFoundError as error:
        raise LensvitError(f"no file {path}: run snakemake again, which makes it") from error
    except (OSError, KeyError) as error:
        raise LensvitError(f"{path} is truncated or broken: delete it and run snakemake again") from error
    if len(draws) < FEWEST_DRAWS or not np.isfinite(draws).all():
        raise LensvitError(f"{path}: a start needs {FEWEST_DRAWS} passes or more, all of them finite")
    return draws


NEAREST_CAUSTIC = (
    3.0  # standard deviations from a caustic, within which there is no limit (lensvit.chapters.limit.compute)
)
AMPLITUDE_TREATMENTS = ("known", "marginalised")  # of the amplitudes
ALL = "all"  # instruments


def read_limits(path: Path, amplitudes: str) -> pd.DataFrame:
    """The standard deviation of each target at the limit, for the systems that have one.

    Parameters
    ----------
    path : limit.parquet. amplitudes : "known" or "marginalised".

    Returns
    -------
    Index: the ids of the systems; columns: ``instrument`` and the targets.

    Raises
    ------
    LensvitError
        If the file is absent or broken, or no system has a limit.
    """
    table = tables.read_parquet(path).set_index("id")
    table = table[table[f"valid_{amplitudes}"]]
    if table.empty:
        raise LensvitError(f"no test system has a limit of information in {path}: set limit.enabled to false")
    columns = {f"{name}_{amplitudes}": name for name in TARGET_NAMES}
    return table[["instrument", *columns]].rename(columns=columns)


def refined_errors(refined: pd.DataFrame) -> np.ndarray:
    """(n, K) most probable value minus truth, of the converged systems."""
    return tables.prediction_errors(refined[refined["converged"]])
