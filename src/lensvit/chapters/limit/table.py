"""The models' errors beside the limit of information: tables/limit.csv."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from lensvit.chapters.grouping import of_group, with_all
from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.files import write_text
from lensvit.io.products import AMPLITUDE_TREATMENTS, read_limits
from lensvit.jobs.seeds import derive
from lensvit.parameters import TARGET_NAMES
from lensvit.statistics.compare import compared, scored
from lensvit.statistics.metrics import bootstrap_weights


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
        systems, rmse, limit_known, limit_marginalised, ratio, that of rmse to the limit chosen by ``amplitudes``, and
        behind each the bootstrap standard error ``{column}_error``; that of the ratio is paired.

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
    measured = ["rmse", *(f"limit_{treatment}" for treatment in AMPLITUDE_TREATMENTS), "ratio"]
    order = [
        "model",
        "instrument",
        "target",
        "systems",
        *(f"{name}{end}" for name in measured for end in ("", "_error")),
    ]
    write_text(output, pd.concat(rows)[order].to_csv(index=False, float_format="%.6g"))


def _rows(table: pd.DataFrame, bounds: Mapping[str, pd.DataFrame], amplitudes: str) -> pd.DataFrame:
    """One row a target, of one model and instrument."""
    systems = table.loc[bounds[amplitudes].index]
    square = np.square(tables.prediction_errors(systems))
    result = pd.DataFrame({"target": ["overall", *TARGET_NAMES], "systems": len(systems)})
    limits = {
        treatment: scored(
            np.square(values[list(TARGET_NAMES)].to_numpy()), bootstrap_weights(len(values), derive("bootstrap"))
        )
        for treatment, values in bounds.items()
    }
    model = scored(square, bootstrap_weights(len(systems), derive("bootstrap")))
    for name, scores in {"rmse": model, **{f"limit_{treatment}": found for treatment, found in limits.items()}}.items():
        result[name], result[f"{name}_error"] = scores.values, scores.errors
    against = compared(model, limits[amplitudes])
    return result.assign(ratio=against.ratio, ratio_error=against.ratio_error)
