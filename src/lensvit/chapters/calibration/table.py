"""Calibration: every model's draws against the truth, as predicted and with recalibrated sigmas.

The scale of each target's sigma is fitted on the validation split alone, and the test split judges it. Both states of
each model go into the tables, so that the figure and the paper show both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.files import write_text
from lensvit.io.hdf5 import read_datasets
from lensvit.jobs.seeds import derive
from lensvit.parameters import TARGET_NAMES
from lensvit.statistics import calibration
from lensvit.statistics.metrics import mean_error

SUMMARY = ("id", *(f"{name}_{kind}" for name in TARGET_NAMES for kind in ("truth", "aleatoric", "epistemic")))

PREDICTED, RECALIBRATED = "predicted", "recalibrated"
OVERALL, JOINT = "overall", "joint"  # rows beside the targets: all of them one by one, and all jointly

INTERVALS = np.array([0.68, 0.95])  # central intervals whose coverage stands in the table
AVERAGED = (  # columns without a unit, of which "overall" has the mean over the targets
    "coverage_68", "coverage_95", "crps_relative", "nll_relative", "nll_change", "aleatoric_share", "epistemic_share",
)  # fmt: skip
BOUND = ("bound", "is_floor", "at_bound", "beyond_bound", "near_bound", "coverage_at_bound", "coverage_off_bound",
         "coverage_at_bound_error", "coverage_off_bound_error")  # fmt: skip
SEVERAL = 5  # systems of exactly one value, of which that is no accident
MANY = 0.02  # share of the systems on a bound from which on it is spoken of


@dataclass(frozen=True)
class SplitPredictions:
    """The predictions of one split, in physical units.

    Parameters
    ----------
    ids
        Ids of n systems.
    draws
        (P, n, K).
    truth
        (n, K).
    aleatoric
        (n, K) the aleatoric part of sigma.
    epistemic
        (n, K) the epistemic part of sigma.
    """

    ids: list[str]
    draws: np.ndarray
    truth: np.ndarray
    aleatoric: np.ndarray
    epistemic: np.ndarray


@dataclass(frozen=True)
class State:
    """A model's draws of the test split, as they are or recalibrated.

    Parameters
    ----------
    name
        "predicted" or "recalibrated".
    draws
        (P, n, K).
    scale
        (K,) factor on sigma.
    scale_error
        (K,) its standard error.
    common_error
        Relative error of the factors in the mean over the targets, which may be correlated.
    worth
        The number of systems that a test of these draws is worth.
    passes
        The fewest passes that the draws and the factors build on.
    """

    name: str
    draws: np.ndarray
    scale: np.ndarray
    scale_error: np.ndarray
    common_error: float
    worth: float
    passes: int


def calibrate(
    predictions: list[Path], validation: list[Path], output: Path, coverage: Path, pit: Path, joint: Path
) -> None:
    """Write the tables of calibration: draws against the truth, as predicted and recalibrated.

    Parameters
    ----------
    predictions
        predictions/{model}.h5 of the test split, each with its .parquet beside it.
    validation
        predictions/validation/{model}.h5 of the same models, each with its .parquet beside it.
    output
        calibration.csv, one row a model, state ("predicted", "recalibrated") and target, one for all targets one by
        one ("overall") and one for all jointly ("joint"). Its columns are those of :func:`summary`.
    coverage
        coverage.csv, one row for each of these but "overall" and each level: the share of systems whose truth lies in
        the interval (for "joint": in the ball of TARP), and the limits of a calibrated model.
    pit
        pit.csv, for the same: histograms of the PIT values (for "joint": of those of TARP), and such limits.
    joint
        joint.csv, one row a system: the joint relative negative log-likelihood, and the value of TARP.

    Raises
    ------
    LensvitError
        If a file is absent or broken, the draws are too few, or the two splits share systems.
    """
    fitted = {Path(path).stem: Path(path) for path in validation}
    if sorted(fitted) != sorted(Path(path).stem for path in predictions):
        raise LensvitError("--predictions and --validation name different models: give both of each")
    found: dict[Path, list[dict[str, Any]]] = {output: [], coverage: [], pit: [], joint: []}
    for path in map(Path, predictions):
        test, other = read_split(path), read_split(fitted[path.stem])
        if set(test.ids) & set(other.ids):
            raise LensvitError(f"{path} and {fitted[path.stem]} share systems: give predictions of two splits")
        for state in states(test, other):
            labels = {"model": path.stem, "state": state.name}
            values = uniform_values(state, test.truth, derive("calibration", path.stem))
            made = {
                output: summary(state, values, test, other),
                coverage: curves(values, state.worth),
                pit: histograms(values, state.worth),
                joint: each_system(state, values, test, other),
            }
            for table, rows in made.items():
                found[table] += [labels | row for row in rows]
    for table, content in found.items():
        write_text(table, pd.DataFrame(content).to_csv(index=False, float_format="%.6g"))


def read_split(path: Path) -> SplitPredictions:
    """The predictions of a model for one split.

    Parameters
    ----------
    path
        The HDF5 file of the draws; their summary lies in the Parquet file beside it.

    Raises
    ------
    LensvitError
        If one is absent or broken, they disagree, or the draws are too few or not finite.
    """
    table = tables.read_parquet(path.with_suffix(".parquet"), *SUMMARY)
    ids, draws = read_datasets(path, "id", "draws")
    if list(table["id"]) != list(ids) or draws.shape[1:] != (len(ids), len(TARGET_NAMES)):
        raise LensvitError(f"{path} and its .parquet are of different systems: delete both and run snakemake again")
    least = calibration.FEWEST_DRAWS
    if len(draws) < least:
        raise LensvitError(f"{path} has {len(draws)} passes, a calibration needs {least}: raise them in the config")
    if not np.isfinite(draws).all():
        raise LensvitError(f"{path} has draws that are not finite: its network has diverged, train it differently")
    kinds = ("truth", "aleatoric", "epistemic")
    return SplitPredictions(list(ids), draws.astype(float), *(tables.target_values(table, kind) for kind in kinds))


def states(test: SplitPredictions, validation: SplitPredictions) -> Iterator[State]:
    """The test split's draws as predicted, then with the scale that the validation split asks for."""
    passes, systems, targets = test.draws.shape
    yield State(PREDICTED, test.draws, np.ones(targets), np.zeros(targets), 0.0, systems, passes)
    z = calibration.z_scores(validation.draws, validation.truth)
    scale, error = calibration.fit_scale(z)
    deviation, deviation_error = calibration.spread(z)
    yield State(
        RECALIBRATED,
        calibration.rescaled(test.draws, scale),
        scale,
        error,
        deviation_error / deviation,
        calibration.effective(systems, len(validation.truth)),
        min(passes, len(validation.draws)),
    )


# ---------------------------------------------------------------- tables


def uniform_values(state: State, truth: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Values (n,) that are uniform under calibration: the PIT of each target, and TARP's of all jointly.

    Parameters
    ----------
    state
        The draws.
    truth
        (n, K).
    seed
        The same for both states of a model, so that the scale is their only difference.
    """
    rng = np.random.default_rng(seed)
    single = calibration.pit(state.draws, truth, rng)
    return {**dict(zip(TARGET_NAMES, single.T, strict=True)), JOINT: calibration.tarp(state.draws, truth, rng)}


def summary(
    state: State, values: dict[str, np.ndarray], test: SplitPredictions, validation: SplitPredictions
) -> Iterator[dict[str, Any]]:
    """One row for "overall", one for each target and one for "joint".

    Their columns are

    - systems, draws, validation_systems, validation_draws: how many there are;
    - effective_systems: how many they are worth to a test;
    - p_value and verdict: of the test that the PIT values (for "joint": those of TARP) are uniform; "overall" fails if
      any target does;
    - those of :func:`scores`, of which "joint" has the likelihoods alone.

    Parameters
    ----------
    state
        The draws of the test split.
    values
        See :func:`uniform_values`.
    test
        Predictions of the test split.
    validation
        Predictions of the validation split.
    """
    counts = {
        "systems": len(test.truth), "draws": len(test.draws),
        "validation_systems": len(validation.truth), "validation_draws": len(validation.draws),
        "effective_systems": state.worth,
    }  # fmt: skip
    p_values = {name: float(calibration.uniformity(value, state.worth)) for name, value in values.items()}
    targets = len(TARGET_NAMES)
    p_values[OVERALL] = min(1.0, targets * min(p_values[name] for name in TARGET_NAMES))
    unit = validation.truth.std(0)
    table = scores(state, values, test, unit) | {JOINT: joint_scores(state, test, unit)}
    for name in (OVERALL, *TARGET_NAMES, JOINT):
        tests = targets if name in TARGET_NAMES else 1
        word = calibration.verdict(p_values[name], tests, state.worth, state.passes)
        yield {"target": name, **counts, **table.get(name, {}), "p_value": p_values[name], "verdict": word}


def scores(
    state: State, values: dict[str, np.ndarray], test: SplitPredictions, unit: np.ndarray
) -> dict[str, dict[str, Any]]:
    """What a prediction is like, for "overall" and for each target.

    The columns are

    - scale, scale_error: the factor on sigma, from the validation split;
    - z_mean, z_sd, z_sd_error: mean and standard deviation of (truth - mean) / sigma; the error includes that of the
      factor;
    - coverage_68, coverage_95: coverage of the central intervals;
    - crps, nll: scores in the target's unit; crps_relative, nll_relative: the same in units of ``unit``;
    - coverage_68_error, coverage_95_error, crps_relative_error, nll_relative_error: their standard errors;
    - nll_change, nll_change_error: change from the prediction as it was, with its paired standard error;
    - aleatoric_share, epistemic_share: shares of the predicted variance;
    - bound, is_floor, at_bound, beyond_bound, near_bound, coverage_at_bound, coverage_off_bound: where many truths lie
      exactly on the floor or the ceiling of a prior, see :func:`at_bound`.

    Of what has no unit, "overall" has the means over the targets.

    Parameters
    ----------
    state
        The draws of the test split.
    values
        PIT values, see :func:`uniform_values`.
    test
        Predictions of the test split.
    unit
        (K,) the scatter of each target's true values.
    """
    z = calibration.z_scores(state.draws, test.truth)
    z_sd, z_sd_error = np.transpose([calibration.spread(column) for column in z.T])
    z_overall, z_overall_error = calibration.spread(z)
    ranks = np.column_stack([values[name] for name in TARGET_NAMES])
    crps = calibration.crps(state.draws, test.truth)  # (n, K)
    likelihood = calibration.negative_log_likelihood(state.draws, test.truth)  # (n, K)
    change = likelihood - calibration.negative_log_likelihood(test.draws, test.truth)
    variance = np.square(test.draws.std(0)).mean(0)
    means = {  # over the systems, of values (n, K)
        "coverage_68": calibration.inside(ranks, INTERVALS[0]),
        "coverage_95": calibration.inside(ranks, INTERVALS[1]),
        "crps_relative": crps / unit,
        "nll_relative": likelihood - np.log(unit),
        "nll_change": change,
    }
    columns = {
        "scale": state.scale,
        "scale_error": state.scale_error,
        "z_mean": z.mean(0),
        "z_sd": z_sd,
        "z_sd_error": np.hypot(z_sd_error, z_sd * state.scale_error / state.scale),
        "crps": crps.mean(0),
        "nll": likelihood.mean(0),
        **{name: each.mean(0) for name, each in means.items()},
        **{f"{name}_error": mean_error(each) for name, each in means.items()},
        "aleatoric_share": np.square(test.aleatoric).mean(0) / variance,
        "epistemic_share": np.square(test.epistemic).mean(0) / variance,
    }
    ends = [
        at_bound(test.truth[:, target], state.draws[..., target], means["coverage_68"][:, target])
        for target in range(len(unit))
    ]
    columns |= {name: [end[name] for end in ends] for name in BOUND}
    overall: dict[str, Any] = {name: float(columns[name].mean()) if name in AVERAGED else None for name in columns}
    overall |= {
        "z_sd": z_overall,
        "z_sd_error": np.hypot(z_overall_error, z_overall * state.common_error),
        **{f"{name}_error": float(mean_error(each.mean(1))) for name, each in means.items()},
    }
    single = {
        name: {column: content[number] for column, content in columns.items()}
        for number, name in enumerate(TARGET_NAMES)
    }
    return {OVERALL: overall, **single}


def at_bound(truth: np.ndarray, draws: np.ndarray, covered: np.ndarray) -> dict[str, float]:
    """What a bound of the prior, on which many truths lie exactly, does to the predictions of one target.

    Parameters
    ----------
    truth
        (n,).
    draws
        (P, n).
    covered
        (n,) whether the central interval of 68% holds the truth.

    Returns
    -------
    dict[str, float]
        bound, the floor (is_floor: 1) or ceiling (0); the shares of the systems on it (at_bound), of those whose mean
        is predicted beyond it (beyond_bound) and of those that have it within one sigma of the mean, or beyond
        (near_bound); and the coverage of the systems on it and off it. All are NaN where fewer than ``SEVERAL``, or a
        smaller share than ``MANY``, share an end.
    """
    result = dict.fromkeys(BOUND, np.nan)
    low, high = truth.min(), truth.max()
    end = max((low, high), key=lambda value: (truth == value).sum())
    there = truth == end
    if there.sum() < SEVERAL or not MANY <= there.mean() < 1:
        return result
    side = 1 if end == low else -1
    distance, sigma = side * (draws.mean(0) - end), draws.std(0)
    return {
        "bound": float(end),
        "is_floor": float(end == low),
        "at_bound": float(there.mean()),
        "beyond_bound": float((distance < 0).mean()),
        "near_bound": float((distance < sigma).mean()),
        "coverage_at_bound": float(covered[there].mean()),
        "coverage_off_bound": float(covered[~there].mean()),
        "coverage_at_bound_error": float(mean_error(covered[there])),
        "coverage_off_bound_error": float(mean_error(covered[~there])),
    }


def joint_scores(state: State, test: SplitPredictions, unit: np.ndarray) -> dict[str, float]:
    """The likelihoods of :func:`scores`, of all targets of a system jointly; NaN where there are too few draws."""
    likelihood = calibration.joint_negative_log_likelihood(state.draws, test.truth)
    change = likelihood - calibration.joint_negative_log_likelihood(test.draws, test.truth)
    return {
        "nll": likelihood.mean(),
        "nll_relative": likelihood.mean() - np.log(unit).sum(),
        "nll_relative_error": mean_error(likelihood),
        "nll_change": change.mean(),
        "nll_change_error": mean_error(change),
    }


def curves(values: dict[str, np.ndarray], worth: float) -> Iterator[dict[str, Any]]:
    """Rows of the coverage at each level, with the limits of a calibrated model."""
    low, high = calibration.band(calibration.LEVELS, worth)
    for name, value in values.items():
        found = calibration.nearer(value) if name == JOINT else calibration.central(value)
        for level, share, *limits in zip(calibration.LEVELS, found, low, high, strict=True):
            yield {"target": name, "level": level, "coverage": share, "low": limits[0], "high": limits[1]}


def each_system(
    state: State, values: dict[str, np.ndarray], test: SplitPredictions, validation: SplitPredictions
) -> Iterator[dict[str, Any]]:
    """One row a test system: its joint relative negative log-likelihood, and the value of TARP."""
    likelihood = calibration.joint_negative_log_likelihood(state.draws, test.truth)
    likelihood -= np.log(validation.truth.std(0)).sum()
    for name, score, value in zip(test.ids, likelihood, values[JOINT], strict=True):
        yield {"id": name, "nll_relative": score, "tarp": value}


def histograms(values: dict[str, np.ndarray], worth: float) -> Iterator[dict[str, Any]]:
    """Rows of the share of systems in each bin, with the limits of a calibrated model."""
    edges = np.linspace(0, 1, calibration.BINS + 1)
    low, high = calibration.band(np.array(1 / calibration.BINS), worth)
    for name, value in values.items():
        shares = np.histogram(value, edges)[0] / len(value)
        for start, end, share in zip(edges, edges[1:], shares, strict=False):
            yield {"target": name, "from": start, "to": end, "share": share, "low": low, "high": high}
