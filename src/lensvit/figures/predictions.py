"""The predictions of all models, side by side, for the figures that compare them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lensvit.errors import LensvitError
from lensvit.parameters import TARGET_NAMES

COLUMNS = ["id", *(f"{name}_{kind}" for name in TARGET_NAMES for kind in ("truth", "mean", "sigma"))]


def read(paths: list[Path]) -> dict[str, pd.DataFrame]:
    """Model (the file's stem) to its predictions, in the order of ``paths``; rows in the first one's order.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or the models predict different systems.
    """
    tables = {Path(path).stem: _read(Path(path)) for path in paths}
    first, *others = tables
    ids = tables[first].index
    for name in others:
        if set(tables[name].index) != set(ids):
            raise LensvitError(
                f"the predictions of {first} and {name} are of different systems: "
                "delete both and run snakemake again"
            )
        tables[name] = tables[name].loc[ids]
    return tables


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, columns=COLUMNS).set_index("id")
    except FileNotFoundError as error:
        raise LensvitError(
            f"no predictions {path}: run snakemake again, which evaluates the model"
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise LensvitError(
            f"{path} is broken or holds no predictions: delete it and run snakemake again"
        ) from error
