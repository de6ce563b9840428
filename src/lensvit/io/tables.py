"""Tables of a run: the catalogue, the predictions of the models, and the CSV files of the paper's tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lensvit.errors import LensvitError
from lensvit.parameters import TARGET_NAMES


def read_parquet(path: Path) -> pd.DataFrame:
    """The table in a Parquet file.

    Raises
    ------
    LensvitError
        If the file is absent or broken.
    """
    try:
        return pd.read_parquet(path)
    except FileNotFoundError as error:
        raise LensvitError(f"no file {path}: run snakemake again, which makes it") from error
    except (OSError, ValueError) as error:
        raise LensvitError(f"{path} is truncated or broken: delete it and run snakemake again") from error


def read_csv(path: Path, *names: str) -> pd.DataFrame:
    """The table in a CSV file.

    Parameters
    ----------
    path
        The file.
    names
        Columns of text. They are kept as written: a model may be called ``1`` or ``NA``, and a name may be empty.

    Raises
    ------
    LensvitError
        If the file is absent or empty.
    """
    try:
        content = pd.read_csv(path, dtype=dict.fromkeys(names, str), keep_default_na=False, na_values="")
    except (FileNotFoundError, pd.errors.EmptyDataError) as error:
        raise LensvitError(f"{path} is absent or empty: delete it and run snakemake again") from error
    return content.fillna(dict.fromkeys(names, ""))


def read_predictions(paths: list[Path]) -> dict[str, pd.DataFrame]:
    """The predictions of several models, with their rows in the same order.

    Parameters
    ----------
    paths
        Parquet files, one a model, each with the model's name.

    Returns
    -------
    dict[str, pd.DataFrame]
        Model to its predictions, in the order of ``paths``; the index are the systems' ids.

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
    """Values of all targets, (n, K), from the columns ``{target}_{kind}`` of a table with one row a system."""
    return table[[f"{name}_{kind}" for name in TARGET_NAMES]].to_numpy(dtype=float)


def prediction_errors(table: pd.DataFrame) -> np.ndarray:
    """Predicted mean minus truth of all targets, (n, K), of a table of predictions."""
    return target_values(table, "mean") - target_values(table, "truth")
