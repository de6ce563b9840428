"""What the paper prints and claims of systems out of distribution: computed from the table, never written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lensvit.chapters.quoting import OVERALL, Context, Measured, Row, Rows, by_target, heading, of_targets
from lensvit.chapters.shift.numbers import (
    Part,
    ScoreArea,
    ShiftContrast,
    ShiftedPrior,
    ShiftedScene,
    ShiftNumbers,
    ShiftRow,
    UnseenKernel,
    WorstTarget,
)
from lensvit.chapters.shift.table import CONTROL, FEWEST, LEFT_OUT, SCORES
from lensvit.io.tables import read_csv
from lensvit.lensing.settings import Scene
from lensvit.parameters import TABLE, TARGETS, priors
from lensvit.statistics.compare import is_clear

GOOD = 0.9  # area under the ROC curve from which on a score is said to find a shift
LABELS = {parameter.name: parameter.label for parameter in TARGETS}

Word = TypeVar("Word", bound=str)


def numbers(tables: Sequence[Path], context: Context) -> Part:
    """The chapter's part of numbers.json.

    Parameters
    ----------
    tables
        shift.csv.
    context
        The run.

    Raises
    ------
    LensvitError
        If the table is absent or empty.
    """
    (table,) = tables
    config = context.config
    parts = {case: rows for (case,), rows in by_target(read_csv(table, "case"), "case").items()}
    cases = [_case(name, rows, config) for name, rows in parts.items()]
    worse = [case for case in cases if case.key != CONTROL and case.error == "larger"]
    left_out = config["shift"]["left_out"]
    shift = ShiftNumbers(
        model=context.labels[config["shift"]["model"]],
        left_out=left_out,
        fewest=FEWEST,
        good=GOOD,
        scores=list(SCORES),
        cases=cases,
        too_few=any(case.too_few for case in cases),
        worse=[case.label for case in worse],
        silent=[case.label for case in worse if not case.flagged],
        unseen=_unseen(parts) if left_out is not None else None,
        rows=[
            ShiftRow(**heading(target), ratios={name: _ratio(rows[target]) for name, rows in parts.items()})
            for target in (OVERALL, *LABELS)
        ],
    )
    return Part(shift=shift)


def _case(key: str, rows: Rows, config: Mapping[str, Any]) -> ShiftContrast:
    overall, ratios = rows[OVERALL], of_targets(rows, "ratio")
    few = min(overall["systems"], overall["ordinary_systems"]) < FEWEST
    areas = {score: _area(overall, score, few) for score in SCORES}
    worst = max(ratios, key=ratios.__getitem__)
    change = (overall["ratio"] - 1, overall["ratio_error"])
    honesty = (overall["coverage_change"], overall["coverage_error"])
    return ShiftContrast(
        key=key,
        label=_label(key, config),
        systems=int(overall["systems"]),
        ordinary=int(overall["ordinary_systems"]),
        too_few=few,
        ratio=_ratio(overall),
        error="too few" if few else _direction(*change, "larger", "same", "smaller"),
        most=WorstTarget(label=LABELS[worst], value=rows[worst]["ratio"], error=rows[worst]["ratio_error"]),
        coverage=overall["coverage"],
        ordinary_coverage=overall["ordinary_coverage"],
        coverage_error=overall["coverage_error"],
        z=overall["z"],
        honesty="too few" if few else _direction(*honesty, "higher", "same", "lower"),
        areas=areas,
        flagged=any(area.verdict in ("found", "partly") for area in areas.values()),
        priors=_priors(key, config),
        scene=_scene(key, config),
    )


def _label(key: str, config: Mapping[str, Any]) -> str:
    names = {LEFT_OUT: "unseen kernel", CONTROL: "control: kernel seen"}
    return names[key] if key in names else config["shift"]["cases"][key]["label"]


def _priors(key: str, config: Mapping[str, Any]) -> list[ShiftedPrior]:
    """The priors that a case changes: the case's fields over those of the run over the paper's."""
    case = config["shift"]["cases"].get(key, {"priors": {}})
    run = {name: _given(change) for name, change in config["priors"].items()}
    own = {name: _given(change) for name, change in case["priors"].items()}
    changes = {name: {**({} if "kind" in change else run.get(name, {})), **change} for name, change in own.items()}
    full = priors(changes, tuple(TABLE))
    return [
        ShiftedPrior(name=parameter.name, label=parameter.label, unit=parameter.unit, **vars(full[parameter.name]))
        for parameter in TABLE.values()
        if parameter.name in case["priors"]
    ]


def _scene(key: str, config: Mapping[str, Any]) -> list[ShiftedScene]:
    """The keys of the scene that a case changes, those of its magnitudes one by one."""
    found = []
    for name, value in config["shift"]["cases"].get(key, {"scene": {}})["scene"].items():
        before = config["scene"].get(name, Scene.model_fields[name].default)
        if isinstance(value, Mapping):
            found += [
                ShiftedScene(key=f"{name}.{part}", value=one, before=(before or {}).get(part))
                for part, one in value.items()
            ]
        else:
            found.append(ShiftedScene(key=name, value=value, before=before))
    return found


def _given(change: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in change.items() if value is not None}


def _area(overall: Row, score: str, few: bool) -> ScoreArea:
    value, error = overall[f"auc_{score}"], overall[f"auc_{score}_error"]
    if few:
        return ScoreArea(value=value, error=error, verdict="too few")
    if value >= GOOD:
        return ScoreArea(value=value, error=error, verdict="found")
    return ScoreArea(value=value, error=error, verdict=_direction(value - 0.5, error, "partly", "missed", "reversed"))


def _direction(change: float, error: float, up: Word, same: Word, down: Word) -> Word:
    """One of three words: for a change that is clear and positive, for one that is not clear, for a negative one."""
    if not is_clear(change, error):
        return same
    return up if change > 0 else down


def _unseen(parts: Mapping[str, Rows]) -> UnseenKernel:
    """The ratio of errors without the PSF over that of the network that has seen it; errors in quadrature."""
    left_out, control = (parts[name][OVERALL] for name in (LEFT_OUT, CONTROL))
    ratio = left_out["ratio"] / control["ratio"]
    error = ratio * sum((row["ratio_error"] / row["ratio"]) ** 2 for row in (left_out, control)) ** 0.5
    few = min(left_out["systems"], left_out["ordinary_systems"]) < FEWEST
    return UnseenKernel(
        value=ratio,
        error=error,
        cost="too few" if few else _direction(ratio - 1, error, "larger", "same", "smaller"),
    )


def _ratio(row: Row) -> Measured:
    return Measured(value=row["ratio"], error=row["ratio_error"])
