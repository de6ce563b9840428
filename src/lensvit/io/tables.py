"""The run's tables: the catalogue, the predictions of all models side by side, what tables/ holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lensvit.errors import LensvitError
from lensvit.parameters import TARGET_NAMES


def read_parquet(path: Path) -> pd.DataFrame:
    """One Parquet file.

    Raises
    ------
    LensvitError
        If it is absent or broken.
    """
    try:
        return pd.read_parquet(path)
    except FileNotFoundError as error:
        raise LensvitError(f"no file {path}: run snakemake again, which makes it") from error
    except (OSError, ValueError) as error:
        raise LensvitError(f"{path} is truncated or broken: delete it and run snakemake again") from error


def read_csv(path: Path, *names: str) -> pd.DataFrame:
    """A CSV file of tables/; ``names`` are the columns of text, in which a model may be called 1 or NA, or "".

    Raises
    ------
    LensvitError
        If it is absent or empty.
    """
    try:
        content = pd.read_csv(path, dtype=dict.fromkeys(names, str), keep_default_na=False, na_values="")
    except (FileNotFoundError, pd.errors.EmptyDataError) as error:
        raise LensvitError(f"{path} is absent or empty: delete it and run snakemake again") from error
    return content.fillna(dict.fromkeys(names, ""))


def read_predictions(paths: list[Path]) -> dict[str, pd.DataFrame]:
    """Model (the file's stem) to its predictions, in the order of ``paths``; rows in the first one's order.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or the models predict different systems.
    """
    tables = {Path(path).stem: read_parquet(path).set_index("id") for path in paths}
    first, *others = tables
    ids = tables[first].index
    for name in others:
        if set(tables[name].index) != set(ids):
            raise LensvitError(
                f"the predictions of {first} and {name} are of different systems: delete both and run snakemake again"
            )
        tables[name] = tables[name].loc[ids]
    return tables


def target_values(table: pd.DataFrame, kind: str) -> np.ndarray:
    """The columns ``{target}_{kind}`` of a table with one row a system, (n, K)."""
    return table[[f"{name}_{kind}" for name in TARGET_NAMES]].to_numpy(dtype=float)


def prediction_errors(table: pd.DataFrame) -> np.ndarray:
    """(n, K) mean minus truth."""
    return target_values(table, "mean") - target_values(table, "truth")
