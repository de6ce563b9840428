"""What exact posteriors reach and cost, beside the refinement and the limit on the same systems: importance.csv."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lensvit.chapters.grouping import of_group, with_all
from lensvit.io import tables
from lensvit.io.files import write_text
from lensvit.io.products import read_samples
from lensvit.jobs.seeds import derive
from lensvit.parameters import TARGET_COLUMNS, TARGET_NAMES
from lensvit.statistics import calibration
from lensvit.statistics.compare import Measure, scored
from lensvit.statistics.metrics import bootstrap_weights, mean_error, root_mean_square, roots

COSTS = ("calls", "seconds", "ess")
WITH_ERROR = ("rmse", "bayes", "limit", "refined", "width", "offset", "z")
OF_CERTIFIED = (*(f"{name}{end}" for name in WITH_ERROR for end in ("", "_error")), "p")
FEWEST = 10  # systems of which simulation-based calibration can say something


def importance_table(
    importance: Path,
    output: Path,
    limit: Path | None = None,
    amplitudes: str = "known",
    refined: Path | None = None,
) -> None:
    """Write what exact posteriors reach and cost.

    Parameters
    ----------
    importance
        importance.parquet, with the samples (.h5) beside it.
    output
        CSV, one row an instrument ("all", then each if there are several) and target ("overall" first):
        systems; certified (their number); for each reason the number without a certificate for it; calls,
        seconds and ess, means over the certified systems. The other columns are of the certified systems and
        empty where there is none: rmse (of posterior means), bayes (root mean posterior variance), limit (of
        information, root mean square over those with a limit), refined (rmse of their converged fits), width (mean
        ratio of sigma to Laplace's), offset (of Laplace's mean from the exact one, root mean square in sigma) and z
        (root mean square of error / sigma), each with its standard error by these systems alone,
        ``{column}_error``, behind it; and p (of simulation-based calibration, whose test of all targets jointly
        stands in the row "overall").
    limit
        limit.parquet, if there is one.
    amplitudes
        Which limit is meant: that with the amplitudes "known" or "marginalised".
    refined
        refined/{model}.parquet, if there is one.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    path = Path(importance)
    table = tables.read_importance(path)
    bounds = None if limit is None else tables.read_limits(limit, amplitudes)
    fits = None if refined is None else tables.read_refined(refined)
    parts = []
    for instrument in with_all(table["instrument"].unique()):
        some = of_group(table, "instrument", instrument)
        rows = _rows(some)
        good = tables.certified(some)
        if len(good):
            rows = _of_certified(rows, good, read_samples(path, good.index), instrument)
            rows = rows.assign(**_limit(good, bounds, amplitudes), **_beside(good, fits))
        parts.append(rows.assign(instrument=instrument))
    result = pd.concat(parts)
    order = ["instrument", "target", *(name for name in result.columns if name not in ("instrument", "target"))]
    write_text(output, result[order].to_csv(index=False, float_format="%.6g"))


def _rows(table: pd.DataFrame) -> pd.DataFrame:
    """One row a target, with what is the same for all of them."""
    good = tables.certified(table)
    result = pd.DataFrame({"target": ["overall", *TARGET_NAMES], "systems": len(table), "certified": len(good)})
    for reason in tables.REASONS:
        result[reason] = int((table["reason"] == reason).sum())
    for name in COSTS:
        result[name] = good[name].mean()
    return result.assign(**dict.fromkeys(OF_CERTIFIED, np.nan))


def _of_certified(rows: pd.DataFrame, good: pd.DataFrame, samples: np.ndarray, instrument: str) -> pd.DataFrame:
    """The rows with what certified posteriors, with samples (n, S, 14), say by themselves."""
    error, sigma = tables.prediction_errors(good), tables.target_values(good, "sigma")
    rows = rows.assign(
        **_scored("rmse", error), **_scored("bayes", sigma), **_scored("z", error / sigma, root_mean_square)
    )
    if len(good) < FEWEST:
        return rows
    drawn = samples[..., TARGET_COLUMNS].swapaxes(0, 1)
    truth, random = tables.target_values(good, "truth"), np.random.default_rng(derive("calibration", instrument))
    found = calibration.self_consistency(drawn, truth, random)
    return rows.assign(p=[found.joint, *found.smooth])


def _scored(name: str, values: np.ndarray, measure: Measure = roots) -> dict[str, np.ndarray]:
    """A column of root mean squares of values (n, K), and that of their standard errors."""
    score = scored(np.square(values), bootstrap_weights(len(values), derive("bootstrap")), measure)
    return {name: score.values, f"{name}_error": score.errors}


def _limit(good: pd.DataFrame, bounds: pd.DataFrame | None, amplitudes: str) -> dict[str, np.ndarray]:
    """The limit of information of the certified systems that have one; nothing if none has."""
    if bounds is None:
        return {}
    some = bounds[bounds.index.isin(good.index) & bounds[f"valid_{amplitudes}"]]
    if some.empty:
        return {}
    return _scored("limit", some[[f"{name}_{amplitudes}" for name in TARGET_NAMES]].to_numpy())


def _beside(good: pd.DataFrame, fits: pd.DataFrame | None) -> dict[str, np.ndarray]:
    """What the converged fits of the certified systems are in units of the exact posteriors."""
    if fits is None:
        return {}
    fits = fits[fits["converged"]]
    both = good.index[good.index.isin(fits.index)]
    if not len(both):
        return {}
    exact, fit = good.loc[both], fits.loc[both]
    sigma = tables.target_values(exact, "sigma")
    ratio = sigma / tables.target_values(fit, "sigma")
    offset = (tables.target_values(fit, "mean") - tables.target_values(exact, "mean")) / sigma
    every = np.column_stack([ratio.mean(1), ratio])  # the targets of a system are not independent
    return {
        **_scored("refined", tables.prediction_errors(fit)),
        "width": every.mean(0),
        "width_error": mean_error(every),
        **_scored("offset", offset, root_mean_square),
    }
