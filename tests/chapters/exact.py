"""Exact posteriors as the stage ``importance`` writes them, made up."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from lensvit.io.tables import IMPORTANCE
from lensvit.parameters import NAMES, TARGET_NAMES
from tests.builders import filled


def truths_of(catalog: pd.DataFrame) -> dict[str, pd.Series]:
    """The columns {t}_truth of systems, rows of the catalogue."""
    return {f"{name}_truth": catalog[name] for name in TARGET_NAMES}


def write_exact(path: Path, table: pd.DataFrame, samples: np.ndarray, certified: Sequence[bool] | None = None) -> None:
    """Write a table of exact posteriors, and their samples beside it.

    Parameters
    ----------
    path
        The Parquet file.
    table
        One row a system: id and {t}_truth, and any other columns.
    samples
        (n, S, 14) of all parameters, NaN where there are none.
    certified
        Whether each posterior is; all are if None.
    """
    certified = [True] * len(table) if certified is None else list(certified)
    for name in TARGET_NAMES:
        values = samples[..., NAMES.index(name)]
        table = table.assign(**{f"{name}_mean": values.mean(1), f"{name}_sigma": values.std(1)})
    reasons = ["" if good else "few" for good in certified]
    filled(table.assign(certified=certified, reason=reasons), IMPORTANCE).to_parquet(path)
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file["id"], file["certified"], file["samples"] = list(table["id"]), certified, samples
        file.attrs["names"] = list(NAMES)
