"""The models' errors beside the limit of information: tables/limit.csv."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lensvit.chapters.grouping import of_group, with_all
from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.files import write_text
from lensvit.io.products import AMPLITUDE_TREATMENTS, read_limits
from lensvit.parameters import TARGET_NAMES
from lensvit.statistics.metrics import with_overall


def limit_table(limit: Path, predictions: list[Path], amplitudes: str, output: Path) -> None:
    """Write each model's errors and the limit for the same systems.

    Parameters
    ----------
    limit
        limit.parquet.
    predictions
        predictions/{model}.parquet of every model.
    amplitudes
        Which limit the models are held against: that with the amplitudes "known" or "marginalised".
    output
        CSV, one row a model, instrument ("all", then each if there are several) and target ("overall" first):
        systems, rmse, limit_known, limit_marginalised, and ratio, that of rmse to the limit chosen by ``amplitudes``.

    Raises
    ------
    LensvitError
        If a file is absent or broken, no system has a limit, or predictions are of other systems.
    """
    bounds = {treatment: read_limits(limit, treatment) for treatment in AMPLITUDE_TREATMENTS}
    models = tables.read_predictions(predictions)
    valid = bounds[amplitudes]
    instruments = with_all(valid["instrument"].unique())
    rows = []
    for model, table in models.items():
        if not valid.index.isin(table.index).all():
            raise LensvitError(f"{limit} and the predictions of {model} are of different systems: delete {limit}")
        for instrument in instruments:
            part = {treatment: of_group(values, "instrument", instrument) for treatment, values in bounds.items()}
            rows.append(_rows(table, part, amplitudes).assign(model=model, instrument=instrument))
    limits = [f"limit_{treatment}" for treatment in AMPLITUDE_TREATMENTS]
    order = ["model", "instrument", "target", "systems", "rmse", *limits, "ratio"]
    write_text(output, pd.concat(rows)[order].to_csv(index=False, float_format="%.6g"))


def _rows(table: pd.DataFrame, bounds: Mapping[str, pd.DataFrame], amplitudes: str) -> pd.DataFrame:
    """One row a target, of one model and instrument."""
    systems = table.loc[bounds[amplitudes].index]
    error = tables.prediction_errors(systems)
    result = pd.DataFrame({"target": ["overall", *TARGET_NAMES], "systems": len(systems), "rmse": with_overall(error)})
    for treatment, values in bounds.items():
        result[f"limit_{treatment}"] = with_overall(values[list(TARGET_NAMES)].to_numpy())
    return result.assign(ratio=result["rmse"] / result[f"limit_{amplitudes}"])
