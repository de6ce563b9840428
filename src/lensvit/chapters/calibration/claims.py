"""What the paper prints and claims of calibration: computed from the table, never written by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lensvit.chapters.calibration.table import INTERVALS, JOINT, OVERALL, PREDICTED, RECALIBRATED
from lensvit.io import tables
from lensvit.parameters import TARGETS
from lensvit.statistics import calibration
from lensvit.statistics.compare import CLEAR

LEAST_P = 1e-4  # how far below one in ten thousand a p-value lies says nothing
PRIOR_NLL = (1 + math.log(2 * math.pi)) / 2
COUNTS = ("systems", "draws", "validation_systems", "validation_draws")
LABELS = {parameter.name: parameter.label for parameter in TARGETS}


def calibration_numbers(table: Path, labels: Mapping[str, str]) -> dict[str, Any]:
    """The part ``calibration`` of numbers.json.

    Parameters
    ----------
    table : calibration.csv.
    labels : model to its label, as printed.

    Returns
    -------
    systems, draws, validation_systems, validation_draws : how many there are.
    effective_systems : what the systems are worth to a test of the recalibrated predictions.
    too_few : whether a state of the predictions has no verdict, because there are too few systems or draws.
    few_systems, few_draws : fewer are too few.
    significance, band, levels : of the tests, of the figure's ranges, and the extreme levels of its intervals.
    intervals : the levels of coverage_68 and coverage_95.
    least_p : smaller p-values are printed as smaller than this.
    prior : the relative scores of a prediction that knows a Gaussian prior and nothing else: crps, nll, joint_nll.
    distance : standard errors by which a standard deviation of z-scores differs from one if it fails.
    models : one each, see :func:`_model`.
    """
    content = tables.read_csv(table, "model")
    order = content["model"].unique()
    rows = content.set_index(["model", "state", "target"]).sort_index()
    first = {state: rows.loc[(order[0], state, OVERALL)] for state in (PREDICTED, RECALIBRATED)}
    return {
        **{name: int(first[PREDICTED][name]) for name in COUNTS},
        "effective_systems": int(first[RECALIBRATED]["effective_systems"]),
        "too_few": {state: bool(row["verdict"] == "too few") for state, row in first.items()},
        "few_systems": calibration.FEW_SYSTEMS,
        "few_draws": calibration.FEW_DRAWS,
        "significance": calibration.SIGNIFICANCE,
        "band": calibration.BAND,
        "levels": [float(calibration.LEVELS[0]), float(calibration.LEVELS[-1])],
        "intervals": INTERVALS.tolist(),
        "least_p": LEAST_P,
        "prior": {"crps": 1 / math.sqrt(math.pi), "nll": PRIOR_NLL, "joint_nll": len(LABELS) * PRIOR_NLL},
        "distance": calibration.DISTANCE,
        "models": [_model(rows.loc[model], model, labels[model]) for model in order],
    }


def _model(rows: pd.DataFrame, key: str, label: str) -> dict[str, Any]:
    """One model.

    key, label; aleatoric_share, epistemic_share : of the predicted variance, mean over targets.
    least, most : the targets with the extreme factors on sigma (label, value, error).
    predicted, recalibrated : see :func:`_state`.
    change, change_error : of the mean relative negative log-likelihood by the recalibration [nat].
    effect : "better", "worse" or "none": whether that change is clear.
    """
    scales = rows.loc[RECALIBRATED].loc[list(LABELS)]
    overall = rows.loc[(RECALIBRATED, OVERALL)]
    change, error = float(overall["nll_change"]), float(overall["nll_change_error"])
    clear = abs(change) > CLEAR * error
    return {
        "key": key,
        "label": label,
        **{name: float(overall[name]) for name in ("aleatoric_share", "epistemic_share")},
        "least": _scale(scales, scales["scale"].idxmin()),
        "most": _scale(scales, scales["scale"].idxmax()),
        **{state: _state(rows.loc[state]) for state in (PREDICTED, RECALIBRATED)},
        "change": change,
        "change_error": error,
        "effect": "none" if not clear else "better" if change < 0 else "worse",
    }


def _scale(scales: pd.DataFrame, target: str) -> dict[str, Any]:
    row = scales.loc[target]
    return {"label": LABELS[target], "value": float(row["scale"]), "error": float(row["scale_error"])}


def _state(rows: pd.DataFrame) -> dict[str, Any]:
    """A model before or after recalibration.

    z_sd, z_sd_error; coverage_68, coverage_95, crps, nll : means over targets, the scores relative.
    sigmas : "small", "large" or "right": whether z_sd is clearly above or below one.
    off : the targets (label) that fail their test.
    marginal, joint : verdicts: "passes", "fails" or "too few"; joint_p : TARP's p-value.
    joint_nll : relative negative log-likelihood of all targets jointly; None with too few draws.
    """
    overall, joint = rows.loc[OVERALL], rows.loc[JOINT]
    z_sd, error = float(overall["z_sd"]), float(overall["z_sd_error"])
    clear = abs(z_sd - 1) > calibration.DISTANCE * error
    return {
        "z_sd": z_sd,
        "z_sd_error": error,
        "sigmas": "right" if not clear else "small" if z_sd > 1 else "large",
        **{name: float(overall[name]) for name in ("coverage_68", "coverage_95")},
        "crps": float(overall["crps_relative"]),
        "nll": float(overall["nll_relative"]),
        "off": [{"label": label} for name, label in LABELS.items() if rows.loc[name, "verdict"] == "fails"],
        "marginal": overall["verdict"],
        "joint": joint["verdict"],
        "joint_p": float(joint["p_value"]),
        "joint_nll": None if pd.isna(joint["nll_relative"]) else float(joint["nll_relative"]),
    }
