"""What refinement reaches: tables/refined.csv."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lensvit.chapters.grouping import of_group, with_all
from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.files import write_text
from lensvit.io.products import refined_errors
from lensvit.jobs.seeds import derive
from lensvit.parameters import TARGET_NAMES
from lensvit.statistics.compare import Comparison, Scores, compared, scored
from lensvit.statistics.metrics import bootstrap_weights, root_mean_square

MEASURED = ("rmse", "limit", "ratio", "z", "network")  # columns with a standard error
BESIDE = ("shared", "apart", "first_ratio", "first_ratio_error")  # columns of other starts than the first
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
        converged systems, and empty where there is none: rmse, limit (of information, root mean square over the same
        systems), ratio (rmse / limit), z (root mean square of error / sigma), and network (the rmse of the model before
        the fits), each with the bootstrap standard error ``{column}_error`` behind it, which is paired for the ratio;
        and sigma (median). Where there are several starts, shared is the number of systems whose fits from this and
        from the first one have converged, apart the root mean square of the difference of both in units of this one's
        sigma, and first_ratio the first one's ratio of rmse and limit for these systems, with first_ratio_error.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or predictions lack a system.
    """
    models = tables.read_predictions(predictions) if predictions else {}
    starts = {Path(path): tables.read_refined(Path(path)) for path in refined}
    parts, first = [], next(iter(starts.values()))
    for path, table in starts.items():
        for instrument in with_all(table["instrument"].unique()):
            some = of_group(table, "instrument", instrument)
            rows = _rows(some, models.get(path.stem), path)
            both = _beside(some, first) if table is not first else {}
            parts.append(rows.assign(start=path.stem, instrument=instrument, **dict.fromkeys(BESIDE, np.nan) | both))
    measured = [f"{name}{end}" for name in MEASURED for end in ("", "_error")]
    order = ["start", "instrument", "target", "systems", "converged", "cut", "seconds", *measured, "sigma", *BESIDE]
    write_text(output, pd.concat(parts)[order].to_csv(index=False, float_format="%.6g"))


def _rows(table: pd.DataFrame, network: pd.DataFrame | None, path: Path) -> pd.DataFrame:
    """One row a target, of one start and instrument."""
    good = table[table["converged"]]
    result = pd.DataFrame({"target": ["overall", *TARGET_NAMES], "systems": len(table), "converged": len(good)})
    result["cut"] = int(good["cut"].sum())
    result["seconds"] = table["seconds"].mean()
    result["sigma"] = np.nan
    if good.empty:
        return result.assign(**{f"{name}{end}": np.nan for name in MEASURED for end in ("", "_error")})
    square = np.square(refined_errors(table))
    limit, sigma = (tables.target_values(good, kind) for kind in ("limit", "sigma"))
    found = np.isfinite(limit).all(1)
    if not found.any():
        raise LensvitError(f"no system of {path} has a limit at its true parameters: delete it and run snakemake again")
    weights = bootstrap_weights(len(good), derive("bootstrap"))
    bound, against = _held_against(square[found], limit[found])
    scores = {"rmse": scored(square, weights), "limit": bound}
    result["ratio"], result["ratio_error"] = against.ratio, against.ratio_error
    scores["z"] = scored(square / np.square(sigma), weights, root_mean_square)
    result[["network", "network_error"]] = np.nan
    if network is not None:
        scores["network"] = scored(np.square(_errors_before(good, network, path)), weights)
    for name, score in scores.items():
        result[name], result[f"{name}_error"] = score.values, score.errors
    result["sigma"] = [np.nan, *np.median(sigma, axis=0)]
    return result


def _beside(table: pd.DataFrame, first: pd.DataFrame) -> dict[str, Any]:
    """How fits differ from those of the same systems from the first start: columns of one value a target."""
    good, others = (fits[fits["converged"]] for fits in (table, first))
    shared = good.index.intersection(others.index)
    if shared.empty:
        return {"shared": 0}
    good, others = good.loc[shared], others.loc[shared]
    offset = tables.target_values(good, "mean") - tables.target_values(others, "mean")
    apart = root_mean_square(np.square(offset / tables.target_values(good, "sigma")).mean(0))
    limit = tables.target_values(others, "limit")
    found = np.isfinite(limit).all(1)
    result = {"shared": len(shared), "apart": apart}
    if not found.any():
        return result
    _, ratio = _held_against(np.square(tables.prediction_errors(others)[found]), limit[found])
    return result | {"first_ratio": ratio.ratio, "first_ratio_error": ratio.ratio_error}


def _held_against(square: np.ndarray, limit: np.ndarray) -> tuple[Scores, Comparison]:
    """What the limits (n, K) come to, and what squared errors (n, K) of the same systems are to them."""
    weights = bootstrap_weights(len(square), derive("bootstrap"))
    bound = scored(np.square(limit), weights)
    return bound, compared(scored(square, weights), bound)


def _errors_before(good: pd.DataFrame, network: pd.DataFrame, path: Path) -> np.ndarray:
    """The network's errors (n, K) of the same systems."""
    if not good.index.isin(network.index).all():
        raise LensvitError(f"{path} and the predictions of {path.stem} are of different systems: delete {path}")
    return tables.prediction_errors(network.loc[good.index])
