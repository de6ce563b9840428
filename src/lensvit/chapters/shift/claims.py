"""What the paper prints and claims of systems out of distribution: computed from the table, never written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lensvit.chapters.quoting import OVERALL, heading
from lensvit.chapters.shift.table import CONTROL, FEWEST, LEFT_OUT, SCORES
from lensvit.io import tables
from lensvit.parameters import PARAMETERS, TARGETS, priors
from lensvit.statistics.compare import CLEAR

GOOD = 0.9  # area under the ROC curve from which on a score is said to find a shift
HONEST = ("coverage", "ordinary_coverage", "coverage_error", "z")
LABELS = {parameter.name: parameter.label for parameter in TARGETS}


def shift_numbers(table: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The part ``shift`` of numbers.json.

    Parameters
    ----------
    table : shift.csv. config : the run's, as plain data.

    Returns
    -------
    model : label of the network. left_out : the PSF, or None.
    fewest : systems, with fewer of which nothing is claimed. clear : standard errors of a clear difference.
    good : area under a ROC curve from which on a score finds a shift. scores : their keys.
    unseen : what leaving the PSF out costs, see :func:`_unseen`; None where none is.
    cases : one a contrast, see :func:`_case`. too_few : whether one of them has too few systems.
    silent : labels of the cases whose error grows while no score tells. worse : of all whose error grows.
    rows : "overall" first: target, label (None for overall), ratios by case (value, error).
    """
    content = tables.read_csv(table, "case")
    parts = {name: part.set_index("target") for name, part in content.groupby("case", sort=False)}
    cases = [_case(name, part, config) for name, part in parts.items()]
    told = [case for case in cases if case["key"] != CONTROL]
    left_out = config["shift"]["left_out"]
    return {
        "model": config["models"][config["shift"]["model"]]["label"],
        "left_out": left_out,
        "fewest": FEWEST,
        "clear": CLEAR,
        "good": GOOD,
        "scores": list(SCORES),
        "cases": cases,
        "too_few": any(case["too_few"] for case in cases),
        "worse": [case["label"] for case in told if case["error"] == "larger"],
        "silent": [case["label"] for case in told if case["error"] == "larger" and not case["flagged"]],
        "unseen": _unseen(parts) if left_out is not None else None,
        "rows": [
            {
                **heading(target),
                "ratios": {name: _value(part.loc[target], "ratio", "ratio_error") for name, part in parts.items()},
            }
            for target in (OVERALL, *LABELS)
        ],
    }


def _case(key: str, part: pd.DataFrame, config: Mapping[str, Any]) -> dict[str, Any]:
    """One contrast.

    key, label; systems, ordinary; too_few : whether either are too few for a claim.
    ratio : of the overall errors (value, error); error : "larger", "smaller", "same" or "too few".
    most : the target with the largest ratio (label, value, error).
    coverage, ordinary_coverage, coverage_error : of one sigma; honesty : "lower", "higher", "same" or "too few".
    z : root mean square of error / sigma.
    areas : by score: value, error, verdict ("found", "partly", "missed", "reversed" or "too few").
    flagged : whether a score finds some of them.
    priors, scene : what the case changes.
    """
    overall, targets = part.loc[OVERALL], part.drop(OVERALL)
    few = bool(min(overall["systems"], overall["ordinary_systems"]) < FEWEST)
    areas = {score: _area(overall, score, few) for score in SCORES}
    largest = targets["ratio"].idxmax()
    change = (overall["ratio"] - 1, overall["ratio_error"])
    honesty = (overall["coverage_change"], overall["coverage_error"])
    return {
        "key": key,
        "label": _label(key, config),
        "systems": int(overall["systems"]),
        "ordinary": int(overall["ordinary_systems"]),
        "too_few": few,
        "ratio": _value(overall, "ratio", "ratio_error"),
        "error": "too few" if few else _direction(*change, "larger", "smaller"),
        "most": {"label": LABELS[largest], **_value(targets.loc[largest], "ratio", "ratio_error")},
        **{name: float(overall[name]) for name in HONEST},
        "honesty": "too few" if few else _direction(*honesty, "higher", "lower"),
        "areas": areas,
        "flagged": any(area["verdict"] in ("found", "partly") for area in areas.values()),
        **_changes(key, config),
    }


def _label(key: str, config: Mapping[str, Any]) -> str:
    names = {LEFT_OUT: "unseen kernel", CONTROL: "control: kernel seen"}
    return names[key] if key in names else config["shift"]["cases"][key]["label"]


def _changes(key: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Priors : name, label, unit and the prior that stands in a case; scene : key, value and that of the run."""
    case = config["shift"]["cases"].get(key, {"priors": {}, "scene": {}})
    run = {name: _given(change) for name, change in config["priors"].items()}
    own = {name: _given(change) for name, change in case["priors"].items()}
    full = priors({name: {**({} if "kind" in change else run.get(name, {})), **change} for name, change in own.items()})
    return {
        "priors": [
            {"name": parameter.name, "label": parameter.label, "unit": parameter.unit, **vars(full[parameter.name])}
            for parameter in PARAMETERS
            if parameter.name in case["priors"]
        ],
        "scene": [
            {"key": name, "value": value, "before": config["scene"][name]} for name, value in case["scene"].items()
        ],
    }


def _given(change: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in change.items() if value is not None}


def _area(overall: pd.Series, score: str, few: bool) -> dict[str, Any]:
    value, error = float(overall[f"auc_{score}"]), float(overall[f"auc_{score}_error"])
    if few:
        verdict = "too few"
    elif value >= GOOD:
        verdict = "found"
    else:
        verdict = _direction(value - 0.5, error, "partly", "reversed").replace("same", "missed")
    return {"value": value, "error": error, "verdict": verdict}


def _direction(change: float, error: float, up: str, down: str) -> str:
    if abs(change) <= CLEAR * error:
        return "same"
    return up if change > 0 else down


def _unseen(parts: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """What leaving the PSF out costs beyond the PSF's own doing.

    value, error : ratio of the two ratios of errors, without it and with it, errors in quadrature.
    cost : "larger", "smaller", "same" or "too few".
    """
    left_out, control = (parts[name].loc[OVERALL] for name in (LEFT_OUT, CONTROL))
    ratio = left_out["ratio"] / control["ratio"]
    error = ratio * sum((row["ratio_error"] / row["ratio"]) ** 2 for row in (left_out, control)) ** 0.5
    few = min(left_out["systems"], left_out["ordinary_systems"]) < FEWEST
    return {
        "value": float(ratio),
        "error": float(error),
        "cost": "too few" if few else _direction(ratio - 1, error, "larger", "smaller"),
    }


def _value(row: pd.Series, value: str, error: str) -> dict[str, float]:
    return {"value": float(row[value]), "error": float(row[error])}
