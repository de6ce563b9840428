"""What the paper prints and claims of calibration: computed from the tables, never written by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from lensvit.chapters.calibration.covariance_claims import covariance_pairs
from lensvit.chapters.calibration.numbers import (
    Calibration,
    CalibrationModel,
    CalibrationState,
    Part,
    PriorBound,
    PriorScores,
    SigmaFactor,
    TooFew,
)
from lensvit.chapters.calibration.table import INTERVALS, JOINT, OVERALL, PREDICTED, RECALIBRATED
from lensvit.chapters.quoting import Context, LabelledTarget, Rows, by_target, number, of_targets
from lensvit.io.tables import read_csv
from lensvit.parameters import TARGETS
from lensvit.statistics import calibration
from lensvit.statistics.compare import is_clear

LEAST_P = 1e-4  # how far below one in ten thousand a p-value lies says nothing
PRIOR_NLL = (1 + math.log(2 * math.pi)) / 2
COUNTS = ("systems", "draws", "validation_systems", "validation_draws")
LABELS = {parameter.name: parameter.label for parameter in TARGETS}


def numbers(tables: Sequence[Path], context: Context) -> Part:
    """The chapter's part of numbers.json.

    Parameters
    ----------
    tables
        calibration.csv and joint.csv.
    context
        The run.

    Raises
    ------
    LensvitError
        If a table is absent or empty.
    """
    table, joint = tables
    return Part(
        calibration=_calibration(table, context.labels),
        posteriors=covariance_pairs(joint, context.models, context.labels),
    )


def _calibration(table: Path, labels: Mapping[str, str]) -> Calibration:
    parts = by_target(read_csv(table, "model"), "model", "state")
    order = list(dict.fromkeys(model for model, _ in parts))
    first = {state: parts[order[0], state][OVERALL] for state in (PREDICTED, RECALIBRATED)}
    return Calibration(
        **{name: int(first[PREDICTED][name]) for name in COUNTS},
        effective_systems=int(first[RECALIBRATED]["effective_systems"]),
        too_few=TooFew(**{state: row["verdict"] == "too few" for state, row in first.items()}),
        few_systems=calibration.FEW_SYSTEMS,
        few_draws=calibration.FEW_DRAWS,
        significance=calibration.SIGNIFICANCE,
        band=calibration.BAND,
        levels=[float(calibration.LEVELS[0]), float(calibration.LEVELS[-1])],
        intervals=INTERVALS.tolist(),
        least_p=LEAST_P,
        prior=PriorScores(crps=1 / math.sqrt(math.pi), nll=PRIOR_NLL, joint_nll=len(LABELS) * PRIOR_NLL),
        distance=calibration.DISTANCE,
        models=[_model(parts[model, PREDICTED], parts[model, RECALIBRATED], model, labels[model]) for model in order],
    )


def _model(predicted: Rows, recalibrated: Rows, key: str, label: str) -> CalibrationModel:
    scales = of_targets({name: recalibrated[name] for name in LABELS}, "scale")
    overall = recalibrated[OVERALL]
    change, error = overall["nll_change"], overall["nll_change_error"]
    return CalibrationModel(
        key=key,
        label=label,
        aleatoric_share=overall["aleatoric_share"],
        epistemic_share=overall["epistemic_share"],
        least=_factor(recalibrated, min(scales, key=scales.__getitem__)),
        most=_factor(recalibrated, max(scales, key=scales.__getitem__)),
        predicted=_state(predicted),
        recalibrated=_state(recalibrated),
        change=change,
        change_error=error,
        effect="none" if not is_clear(change, error) else "better" if change < 0 else "worse",
        bounds=[
            PriorBound(
                label=parameter.label,
                value=row["bound"],
                unit=parameter.unit,
                is_floor=row["is_floor"] == 1,
                there=row["at_bound"],
                beyond=row["beyond_bound"],
                near=row["near_bound"],
                covered=row["coverage_at_bound"],
                covered_error=number(row["coverage_at_bound_error"]),
                covered_elsewhere=row["coverage_off_bound"],
                covered_elsewhere_error=number(row["coverage_off_bound_error"]),
            )
            for parameter in TARGETS
            if number((row := predicted[parameter.name])["bound"]) is not None
        ],
    )


def _factor(rows: Rows, target: str) -> SigmaFactor:
    return SigmaFactor(label=LABELS[target], value=rows[target]["scale"], error=rows[target]["scale_error"])


def _state(rows: Rows) -> CalibrationState:
    overall, joint = rows[OVERALL], rows[JOINT]
    z_sd, error = overall["z_sd"], overall["z_sd_error"]
    fails = abs(z_sd - 1) > calibration.DISTANCE * error
    return CalibrationState(
        z_sd=z_sd,
        z_sd_error=error,
        sigmas="right" if not fails else "small" if z_sd > 1 else "large",
        coverage_68=overall["coverage_68"],
        coverage_68_error=overall["coverage_68_error"],
        coverage_95=overall["coverage_95"],
        coverage_95_error=overall["coverage_95_error"],
        crps=overall["crps_relative"],
        crps_error=overall["crps_relative_error"],
        nll=overall["nll_relative"],
        nll_error=overall["nll_relative_error"],
        off=[LabelledTarget(label=label) for name, label in LABELS.items() if rows[name]["verdict"] == "fails"],
        marginal=overall["verdict"],
        joint=joint["verdict"],
        joint_p=joint["p_value"],
        joint_nll=number(joint["nll_relative"]),
        joint_nll_error=number(joint["nll_relative_error"]),
    )
