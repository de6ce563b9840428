"""What refinement reaches: tables/refined.csv."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lensvit.chapters.grouping import of_group, with_all
from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.files import write_text
from lensvit.io.products import refined_errors
from lensvit.jobs.seeds import derive
from lensvit.parameters import TARGET_NAMES
from lensvit.statistics.metrics import standard_errors, with_overall

PRIOR = "prior"  # the start at the means of the priors, beside those from draws of a model


def refined_table(refined: list[Path], predictions: list[Path], output: Path) -> None:
    """Write what the fits from each start reach.

    Parameters
    ----------
    refined
        refined/{start}.parquet; the file's stem is the model from whose draws the fits started, or ``prior``.
    predictions
        predictions/{model}.parquet of these models.
    output
        CSV, one row a start, instrument ("all", then each if there are several) and target ("overall" first):
        systems, converged (their number), cut (how many of these a limit of a uniform prior cuts off) and seconds
        (a system, converged or not). The other columns are of the
        converged systems, and empty where there is none: rmse, rmse_error (its bootstrap standard error), limit (of
        information, root mean square over the same systems), ratio (rmse / limit), sigma (median), z (root mean
        square of error / sigma), and network (the rmse of the model before the fits).

    Raises
    ------
    LensvitError
        If a file is absent or broken, or predictions lack a system.
    """
    models = tables.read_predictions(predictions) if predictions else {}
    parts = []
    for path in map(Path, refined):
        table = tables.read_refined(path)
        for instrument in with_all(table["instrument"].unique()):
            rows = _rows(of_group(table, "instrument", instrument), models.get(path.stem), path)
            parts.append(rows.assign(start=path.stem, instrument=instrument))
    result = pd.concat(parts)
    order = ["start", "instrument", *result.columns.drop(["start", "instrument"])]
    write_text(output, result[order].to_csv(index=False, float_format="%.6g"))


def _rows(table: pd.DataFrame, network: pd.DataFrame | None, path: Path) -> pd.DataFrame:
    """One row a target, of one start and instrument."""
    good = table[table["converged"]]
    result = pd.DataFrame({"target": ["overall", *TARGET_NAMES], "systems": len(table), "converged": len(good)})
    result["cut"] = int(good["cut"].sum())
    result["seconds"] = table["seconds"].mean()
    names = ("rmse", "rmse_error", "limit", "ratio", "sigma", "z", "network")
    if good.empty:
        return result.assign(**dict.fromkeys(names, np.nan))
    error = refined_errors(table)
    limit, sigma = (tables.target_values(good, kind) for kind in ("limit", "sigma"))
    score = np.square(error / sigma)
    found = np.isfinite(limit).all(1)
    if not found.any():
        raise LensvitError(f"no system of {path} has a limit at its true parameters: delete it and run snakemake again")
    result["rmse"] = with_overall(error)
    result["rmse_error"] = standard_errors(error, derive("bootstrap", "refined"))
    result["limit"] = with_overall(limit[found])
    result["ratio"] = with_overall(error[found]) / result["limit"]
    result["sigma"] = [np.nan, *np.median(sigma, axis=0)]
    result["z"] = np.sqrt([score.mean(), *score.mean(0)])
    result["network"] = np.nan if network is None else with_overall(_errors_before(good, network, path))
    return result


def _errors_before(good: pd.DataFrame, network: pd.DataFrame, path: Path) -> np.ndarray:
    """The network's errors (n, K) of the same systems."""
    if not good.index.isin(network.index).all():
        raise LensvitError(f"{path} and the predictions of {path.stem} are of different systems: delete {path}")
    return tables.prediction_errors(network.loc[good.index])
