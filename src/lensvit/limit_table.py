"""The models' errors beside the limit of information: which systems have one, and tables/limit.csv."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lensvit import frames
from lensvit.errors import LensvitError
from lensvit.files import write_text
from lensvit.metrics import with_overall
from lensvit.parameters import TARGET_NAMES

NEAREST = 3.0  # standard deviations from a caustic, within which there is no limit (lensvit.limit)
TREATMENTS = ("known", "marginalised")  # of the amplitudes
ALL = "all"  # instruments


def limits(path: Path, amplitudes: str) -> pd.DataFrame:
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
    table = frames.read(path).set_index("id")
    table = table[table[f"valid_{amplitudes}"]]
    if table.empty:
        raise LensvitError(f"no test system has a limit of information in {path}: set limit.enabled to false")
    columns = {f"{name}_{amplitudes}": name for name in TARGET_NAMES}
    return table[["instrument", *columns]].rename(columns=columns)


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
    bounds = {treatment: limits(limit, treatment) for treatment in TREATMENTS}
    models = frames.predictions(predictions)
    chosen = bounds[amplitudes]
    names = chosen["instrument"].unique()
    rows = []
    for model, table in models.items():
        if not chosen.index.isin(table.index).all():
            raise LensvitError(f"{limit} and the predictions of {model} are of different systems: delete {limit}")
        for instrument in [ALL, *(names if len(names) > 1 else [])]:
            rows.append(_rows(table, bounds, amplitudes, instrument).assign(model=model, instrument=instrument))
    order = ["model", "instrument", "target", "systems", "rmse", *(f"limit_{name}" for name in TREATMENTS), "ratio"]
    write_text(output, pd.concat(rows)[order].to_csv(index=False, float_format="%.6g"))


def _rows(table: pd.DataFrame, bounds: dict[str, pd.DataFrame], amplitudes: str, instrument: str) -> pd.DataFrame:
    """One row a target, of one model and instrument."""
    part = {
        treatment: limit[(limit["instrument"] == instrument) | (instrument == ALL)] for treatment, limit in bounds.items()
    }
    systems = table.loc[part[amplitudes].index]
    error = frames.errors(systems)
    result = pd.DataFrame({"target": ["overall", *TARGET_NAMES], "systems": len(systems), "rmse": with_overall(error)})
    for treatment, limit in part.items():
        result[f"limit_{treatment}"] = with_overall(limit[list(TARGET_NAMES)].to_numpy())
    return result.assign(ratio=result["rmse"] / result[f"limit_{amplitudes}"])
