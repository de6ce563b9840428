"""The models' errors beside the limit of information: which systems have one, and tables/limit.csv."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.files import write_text
from lensvit.io.products import ALL, AMPLITUDE_TREATMENTS, read_limits
from lensvit.parameters import TARGET_NAMES
from lensvit.statistics.metrics import with_overall


def limit_table(limit: Path, predictions: list[Path], amplitudes: str, output: Path) -> None:
    """Write each model's errors and the limit for the same systems.

    Parameters
    ----------
    limit : limit.parquet. predictions : predictions/{model}.parquet.
    amplitudes : "known" or "marginalised": which limit the models are held against.
    output : CSV, one row a model, instrument ("all", then each if there are several) and target ("overall"
        first): systems, rmse, limit_known, limit_marginalised, and ratio, that of rmse to the chosen limit.

    Raises
    ------
    LensvitError
        If a file is absent or broken, no system has a limit, or predictions are of other systems.
    """
    bounds = {treatment: read_limits(limit, treatment) for treatment in AMPLITUDE_TREATMENTS}
    models = tables.read_predictions(predictions)
    chosen = bounds[amplitudes]
    names = chosen["instrument"].unique()
    rows = []
    for model, table in models.items():
        if not chosen.index.isin(table.index).all():
            raise LensvitError(f"{limit} and the predictions of {model} are of different systems: delete {limit}")
        for instrument in [ALL, *(names if len(names) > 1 else [])]:
            rows.append(_rows(table, bounds, amplitudes, instrument).assign(model=model, instrument=instrument))
    order = [
        "model",
        "instrument",
        "target",
        "systems",
        "rmse",
        *(f"limit_{name}" for name in AMPLITUDE_TREATMENTS),
        "ratio",
    ]
    write_text(output, pd.concat(rows)[order].to_csv(index=False, float_format="%.6g"))


def _rows(table: pd.DataFrame, bounds: dict[str, pd.DataFrame], amplitudes: str, instrument: str) -> pd.DataFrame:
    """One row a target, of one model and instrument."""
    part = {
        treatment: limit[(limit["instrument"] == instrument) | (instrument == ALL)]
        for treatment, limit in bounds.items()
    }
    systems = table.loc[part[amplitudes].index]
    error = tables.prediction_errors(systems)
    result = pd.DataFrame({"target": ["overall", *TARGET_NAMES], "systems": len(systems), "rmse": with_overall(error)})
    for treatment, limit in part.items():
        result[f"limit_{treatment}"] = with_overall(limit[list(TARGET_NAMES)].to_numpy())
    return result.assign(ratio=result["rmse"] / result[f"limit_{amplitudes}"])
