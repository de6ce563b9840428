"""What the paper may claim: comparisons computed from a run's numbers, never written by hand.

The columns and rows of Table 1 are those of :mod:`lensvit.chapters.accuracy.numbers`, as numbers.json has them.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lensvit.chapters.accuracy.numbers import Column, ErrorRow, OverallUncertainty, Pair, Part, Uncertainty
from lensvit.chapters.accuracy.published import ORIGINAL, PUBLISHED_COLUMNS, REFERENCES
from lensvit.chapters.accuracy.table import ENSEMBLE, MASS_TARGETS, PRIOR, SCATTER, SUMMARIES, SYSTEMS, TRAININGS
from lensvit.chapters.quoting import METHOD_LABELS, OVERALL, Context, heading, number
from lensvit.errors import LensvitError
from lensvit.io.files import read_json
from lensvit.io.tables import read_by_target, read_csv, read_predictions
from lensvit.jobs.seeds import derive
from lensvit.parameters import TARGETS
from lensvit.statistics.compare import CLEAR, is_clear
from lensvit.statistics.metrics import bootstrap_rows

STRONG = 2.0  # factor below the prior that is called strong
FINE = 0.1  # error of the prior [arcsec] below which a row is printed in milliarcseconds
WEAK = 1.1  # factor below the prior under which little was learned
# columns of Table 1 that are neither models nor published: kind and label
OTHER_COLUMNS = {
    "ensemble": ("ensemble", METHOD_LABELS["ensemble"]),
    "prior": ("baseline", "Prior mean"),
    "limit": ("limit", METHOD_LABELS["limit"]),
    "refined": ("refined", METHOD_LABELS["refined"]),
    "importance": ("exact", METHOD_LABELS["importance"]),
    "bayes": ("bayes", METHOD_LABELS["bayes"]),
}

# a column and a row of Table 1, as numbers.json has them
ColumnEntry = Mapping[str, Any]
RowEntry = Mapping[str, Any]


# ---------------------------------------------------------------- numbers


def numbers(tables: Sequence[Path], context: Context) -> Part:
    """The chapter's part of numbers.json.

    Parameters
    ----------
    tables
        table1.csv, table1_errors.csv and table1_differences.csv, then predictions/{model}.parquet of every model.
    context
        The run.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or Table 1 has a column that is not known.
    """
    rmse, errors = (read_by_target(path) for path in tables[:2])
    pairs = read_csv(tables[2], "first", "second", "target")
    families = {path.parent.name: read_json(path, "family")["family"] for path in context.models}
    return Part(
        columns=[_column(name, context.labels, families, errors) for name in rmse.columns],
        table=[
            ErrorRow(
                **heading(target),
                values=_by_column(rmse, target),
                errors={name: value for name, value in _by_column(errors, target).items() if not pd.isna(value)},
                pairs=[_pair(row) for row in pairs[pairs["target"] == target].to_dict("records")],
            )
            for target in rmse.index
        ],
        uncertainty=_uncertainty(read_predictions(list(tables[3:]))),
    )


def _pair(row: Mapping[Hashable, Any]) -> Pair:
    values = {name: number(row[name]) for name in ("difference_error", "ratio_error")}
    return Pair(**{name: row[name] for name in ("first", "second", "difference", "ratio")}, **values)


def _column(name: str, labels: Mapping[str, str], families: Mapping[str, str], errors: pd.DataFrame) -> Column:
    systems, trainings, scatter = (
        number(errors[name][row]) if name in errors else None for row in (SYSTEMS, TRAININGS, SCATTER)
    )
    whole = {
        "systems": None if systems is None else int(systems),
        "trainings": None if trainings is None else int(trainings),
        "scatter": scatter,
    }
    if name in families:
        return Column(key=name, label=labels[name], kind="model", reference=REFERENCES[families[name]], **whole)
    if name in PUBLISHED_COLUMNS:
        return Column(key=name, label=PUBLISHED_COLUMNS[name], kind="published", reference=None, **whole)
    if name in OTHER_COLUMNS:
        kind, label = OTHER_COLUMNS[name]
        return Column(key=name, label=label, kind=kind, reference=None, **whole)
    raise LensvitError(f"Table 1 has a column {name} that the paper does not know: is it of another config?")


def _by_column(table: pd.DataFrame, target: str) -> dict[str, float]:
    return {str(name): float(column[target]) for name, column in table.items()}


def _uncertainty(predictions: Mapping[str, pd.DataFrame]) -> list[OverallUncertainty | Uncertainty]:
    systems = len(next(iter(predictions.values())))
    again = bootstrap_rows(systems, derive("bootstrap"))
    measured = {
        (model, parameter.name): _honesty(table, parameter.name, again)
        for model, table in predictions.items()
        for parameter in TARGETS
    }
    rows = [
        Uncertainty(
            **heading(parameter.name),
            **_by_model({model: measured[model, parameter.name] for model in predictions}),
            percent_error={model: measured[model, parameter.name].percent for model in predictions},
            percent_standard_error={
                model: _deviation(measured[model, parameter.name].percents) for model in predictions
            },
        )
        for parameter in TARGETS
    ]
    means = {
        model: _Honesty(
            *(np.mean(part, axis=0) for part in zip(*(measured[model, row.target] for row in rows), strict=True))
        )
        for model in predictions
    }
    return [OverallUncertainty(**heading(OVERALL), **_by_model(means)), *rows]


class _Honesty(NamedTuple):
    """What is said of one model's uncertainties of a target, also for resampled sets of systems (B,)."""

    coverage: float
    coverages: np.ndarray
    epistemic: float
    epistemics: np.ndarray
    percent: float
    percents: np.ndarray


def _honesty(table: pd.DataFrame, target: str, again: np.ndarray) -> _Honesty:
    """The uncertainties of one model for a target.

    Parameters
    ----------
    table
        Its predictions.
    target
        Name of the target.
    again
        (B, n) rows of resampled sets of systems.
    """
    truth, mean, sigma, epistemic = (
        table[f"{target}_{kind}"].to_numpy() for kind in ("truth", "mean", "sigma", "epistemic")
    )
    inside, percent = np.abs(mean - truth) < sigma, np.abs((mean - truth) / truth)
    parts, whole = np.square(epistemic), np.square(sigma)
    return _Honesty(
        coverage=float(inside.mean()),
        coverages=inside[again].mean(1),
        epistemic=float(parts.mean() / whole.mean()),
        epistemics=parts[again].mean(1) / whole[again].mean(1),
        percent=float(np.median(percent)),
        percents=np.median(percent[again], axis=1),
    )


def _by_model(measured: Mapping[str, _Honesty]) -> dict[str, dict[str, float]]:
    """The fields of :class:`OverallUncertainty`."""
    return {
        "coverage": {model: float(found.coverage) for model, found in measured.items()},
        "coverage_error": {model: _deviation(found.coverages) for model, found in measured.items()},
        "epistemic_share": {model: float(found.epistemic) for model, found in measured.items()},
        "epistemic_error": {model: _deviation(found.epistemics) for model, found in measured.items()},
    }


def _deviation(again: np.ndarray) -> float:
    """The standard error by resampled sets of systems."""
    return float(np.std(again, ddof=1))


# ---------------------------------------------------------------- claims


def claims(columns: Sequence[ColumnEntry], rows: Sequence[RowEntry]) -> dict[str, Any]:
    """Every comparison that the templates make.

    Parameters
    ----------
    columns
        The columns of Table 1, see :class:`lensvit.chapters.accuracy.numbers.Column`.
    rows
        Its rows, see :class:`lensvit.chapters.accuracy.numbers.ErrorRow`.

    Returns
    -------
    overall
        The row of the overall error.
    targets
        The rows of single targets.
    mass
        Those of the targets that the mass has.
    rankings
        Row of several targets ("overall", "standardised", "mass") to its :func:`ranking`.
    lead_varies
        Whether a model is clearly ahead in one of these, and not in another.
    units
        Row to the unit in which it is printed: its ``name``, and the ``factor`` on what the row has.
    bold
        Row to the keys of the model with the smallest error and of all that are not clearly behind it; of none if
        there is one model.
    leads
        For each model that is clearly ahead of all others somewhere: ``column``, and ``rows`` where it is ahead.
    undecided
        The rows of targets in which no model is clearly ahead.
    contributors
        What the overall errors consist of, see :func:`contributors`.
    trainings
        The least and the largest number of trainings of a model.
    scatter
        Relative scatter of the overall error between trainings; None: all models were trained once.
    prior
        One entry for each model, see :func:`against_prior`.
    published
        One entry for each model with a published counterpart, see :func:`against_published`.
    ensemble
        The weighted mean of the models against the best of them, by :func:`together`; None: there is none.
    question
        Whether the published lead of one kind of network over the other is found again, see :func:`question`.
    chance
        Share of comparisons of equals whose difference is clear.
    clear, strong
        The thresholds ``CLEAR`` and ``STRONG``.
    """
    models = [column for column in columns if column["kind"] == "model"]
    by_row = {row["target"]: row for row in rows}
    targets = [row for row in rows if row["target"] not in SUMMARIES]
    leaders = {row["target"]: leader(row, models) for row in rows}
    leads = [
        {"column": model, "rows": [row for row in targets if leaders[row["target"]] == model["key"]]}
        for model in models
    ]
    rankings = {name: ranking(by_row[name], models) for name in SUMMARIES if name in by_row}
    trainings = [model.get("trainings") or 1 for model in models]
    return {
        "overall": by_row[OVERALL],
        "targets": targets,
        "mass": [row for row in targets if row["target"] in MASS_TARGETS],
        "rankings": rankings,
        "lead_varies": len({leaders[name] for name in rankings}) > 1,
        "units": {row["target"]: _printed(row) for row in rows},
        "bold": {row["target"]: level(row, models) if len(models) > 1 else [] for row in rows},
        "leads": [lead for lead in leads if lead["rows"]],
        "undecided": [row for row in targets if leaders[row["target"]] is None],
        "contributors": contributors(by_row[OVERALL], targets, columns),
        "trainings": [min(trainings), max(trainings)],
        "scatter": next((model["scatter"] for model in models if model.get("scatter") is not None), None),
        "prior": [against_prior(targets, model) for model in models],
        "published": [against_published(rows, model) for model in models if model.get("reference")],
        "ensemble": together(rows, models) if any(column["kind"] == "ensemble" for column in columns) else None,
        "question": question(rows, models),
        "chance": math.erfc(CLEAR / math.sqrt(2)),
        "clear": CLEAR,
        "strong": STRONG,
    }


def _printed(row: RowEntry) -> dict[str, Any]:
    fine = row["unit"] == "arcsec" and row["values"][PRIOR] < FINE
    return {"name": "mas", "factor": 1000} if fine else {"name": row["unit"], "factor": 1}


def compare(row: RowEntry, first: str, second: str) -> dict[str, Any]:
    """Two columns of a row on the same systems: ``difference``, ``ratio``, their standard errors, and ``clear``.

    Parameters
    ----------
    row
        The row. One of version 0.1.0 has no pairs; there the standard errors of the two columns are combined in
        quadrature, which errs on the side of caution.
    first
        Key of a column.
    second
        Key of another one, with which the first one is paired.
    """
    values = row["values"]
    difference, ratio = values[first] - values[second], values[first] / values[second]
    for pair in row.get("pairs", []):
        if {pair["first"], pair["second"]} == {first, second}:
            spreads = [pair["difference_error"], pair["ratio_error"]]
            error, spread = (math.nan if value is None else value for value in spreads)
            relative = spread / pair["ratio"]
            break
    else:
        errors = {key: row["errors"].get(key, 0.0) for key in (first, second)}
        error = math.hypot(*errors.values())
        relative = math.hypot(*(errors[key] / values[key] for key in errors))
    return {
        "difference": difference,
        "difference_error": number(error),
        "ratio": ratio,
        "ratio_error": number(ratio * relative),
        "clear": is_clear(difference, error),
    }


def best(row: RowEntry, models: Sequence[ColumnEntry]) -> str:
    """The key of the model with the smallest error in a row."""
    return min((model["key"] for model in models), key=lambda key: row["values"][key])


def level(row: RowEntry, models: Sequence[ColumnEntry]) -> list[str]:
    """The keys of the best model of a row and of all that are not clearly behind it."""
    first = best(row, models)
    keys = [model["key"] for model in models]
    return [key for key in keys if key == first or not compare(row, key, first)["clear"]]


def leader(row: RowEntry, models: Sequence[ColumnEntry]) -> str | None:
    """The best model's key if it is clearly ahead of every other, else None; a single model is ahead of none."""
    keys = level(row, models)
    return keys[0] if len(keys) == 1 < len(models) else None


def ranking(row: RowEntry, models: Sequence[ColumnEntry]) -> dict[str, Any]:
    """The models by their errors in a row.

    Returns
    -------
    row
        The row.
    order
        The models' columns, the smallest error first.
    clear
        Whether the first is clearly ahead of all others.
    second
        The second against the first, see :func:`compare`; None if there is one model.
    """
    order = sorted(models, key=lambda model: row["values"][model["key"]])
    return {
        "row": row,
        "order": order,
        "clear": leader(row, models) is not None,
        "second": compare(row, order[1]["key"], order[0]["key"]) if len(order) > 1 else None,
    }


def contributors(
    overall: RowEntry, targets: Sequence[RowEntry], columns: Sequence[ColumnEntry]
) -> list[dict[str, Any]]:
    """Which target the square of the overall error mostly comes from, for the models and the limit.

    Returns
    -------
    row
        The row of a target that is the largest contributor of some columns, the most frequent one first.
    entries
        These columns: ``column`` and ``share``.
    """
    found: dict[str, dict[str, Any]] = {}
    for column in columns:
        if column["kind"] in ("model", "limit"):
            key = column["key"]
            row = max(targets, key=lambda row: row["values"][key])
            share = (row["values"][key] / overall["values"][key]) ** 2
            entry = found.setdefault(row["target"], {"row": row, "entries": []})
            entry["entries"].append({"column": column, "share": share})
    return sorted(found.values(), key=lambda entry: -len(entry["entries"]))


def together(rows: Sequence[RowEntry], models: Sequence[ColumnEntry]) -> dict[str, Any]:
    """The ensemble of the models against the one that is best overall.

    Returns
    -------
    best
        The column of that model.
    overall
        The ensemble against it, see :func:`compare`.
    better, worse
        The rows of targets in which the ensemble is clearly better than each model, and clearly worse than one.
    """
    overall = next(row for row in rows if row["target"] == OVERALL)
    first = best(overall, models)
    groups: dict[str, list[RowEntry]] = {"better": [], "worse": []}
    for row in rows:
        if row["target"] in SUMMARIES:
            continue
        against = [compare(row, ENSEMBLE, model["key"]) for model in models]
        if all(each["clear"] and each["difference"] < 0 for each in against):
            groups["better"].append(row)
        if any(each["clear"] and each["difference"] > 0 for each in against):
            groups["worse"].append(row)
    column = next(model for model in models if model["key"] == first)
    return {"best": column, "overall": compare(overall, ENSEMBLE, first), **groups}


def against_prior(targets: Sequence[RowEntry], model: ColumnEntry) -> dict[str, Any]:
    """A model against the error of predicting the prior's mean.

    Returns
    -------
    column
        The model's column.
    strong, weak, constant
        The rows whose factor (error of the prior over the model's) is at least ``STRONG``, those where it is below
        ``WEAK``, and those in which the model is not clearly better than the constant.
    most
        The row with the largest factor.
    factors
        Target to the prior's error against the model's, see :func:`compare`.
    """
    key = model["key"]
    factors = {row["target"]: compare(row, PRIOR, key) for row in targets}
    groups: dict[str, list[RowEntry]] = {"strong": [], "weak": [], "constant": []}
    for row in targets:
        factor = factors[row["target"]]["ratio"]
        if factor < 1 or not factors[row["target"]]["clear"]:
            groups["constant"].append(row)
        elif factor >= STRONG:
            groups["strong"].append(row)
        elif factor < WEAK:
            groups["weak"].append(row)
    return {
        "column": model,
        **groups,
        "most": max(targets, key=lambda row: factors[row["target"]]["ratio"]),
        "factors": factors,
    }


def against_published(rows: Sequence[RowEntry], model: ColumnEntry) -> dict[str, Any]:
    """A model against its counterpart in the original paper.

    The published errors have standard errors of their own, which were not printed. They count as those of the
    model, in proportion, for the size of the published test set; the scatter between trainings, where it is known, is
    the same whatever that size.

    Returns
    -------
    column
        The model's column.
    reference
        The key of the published column.
    ratio, ratio_error
        The overall error over the published one.
    lower, higher
        The rows of targets whose error differs clearly from the published one.
    level
        The other rows of targets.
    """
    key, reference = model["key"], model["reference"]
    size = math.sqrt((model.get("systems") or ORIGINAL["test"]) / ORIGINAL["test"])
    scatter = model.get("scatter") or 0.0
    groups: dict[str, list[RowEntry]] = {"lower": [], "higher": [], "level": []}
    for row in rows:
        value, published = row["values"][key], row["values"][reference]
        relative = row["errors"].get(key, math.nan) / value
        sampling = float(np.sqrt(np.maximum(relative**2 - scatter**2, 0.0)))  # without the scatter; NaN stays NaN
        theirs = math.hypot(sampling * size, scatter)
        if row["target"] == OVERALL:
            ratio, ratio_error = value / published, number(value / published * math.hypot(relative, theirs))
        if row["target"] not in SUMMARIES:
            difference = value - published
            clear = is_clear(difference, math.hypot(value * relative, published * theirs))
            groups["level" if not clear else "lower" if difference < 0 else "higher"].append(row)
    return {"column": model, "reference": reference, "ratio": ratio, "ratio_error": ratio_error, **groups}


def question(rows: Sequence[RowEntry], models: Sequence[ColumnEntry]) -> dict[str, Any] | None:
    """Whether the published leads of two kinds of network are found again.

    Returns
    -------
    None
        If there is not just one model for each of the published ones.
    first, second
        The models' columns, that whose published counterpart has the smaller overall error first.
    overall
        What was found of the overall error: "confirmed" (the published leader is clearly ahead), "reversed" (the other
        one is) or "open".
    ahead, behind
        The rows of targets in which the published counterpart of ``first`` has the smaller error, and the others.
    confirmed, reversed, open
        The rows of targets by what was found.
    """
    kept = {model["reference"]: model for model in models if model.get("reference")}
    if len(kept) < 2 or sum(bool(model.get("reference")) for model in models) > 2:
        return None
    overall = next(row for row in rows if row["target"] == OVERALL)
    first, second = sorted(kept.values(), key=lambda model: overall["values"][model["reference"]])
    groups: dict[str, list[RowEntry]] = {name: [] for name in ("ahead", "behind", "confirmed", "reversed", "open")}
    for row in rows:
        if row["target"] not in SUMMARIES:
            values = row["values"]
            groups["ahead" if values[first["reference"]] < values[second["reference"]] else "behind"].append(row)
            groups[_found(row, first, second)].append(row)
    return {"first": first, "second": second, "overall": _found(overall, first, second), **groups}


def _found(row: RowEntry, first: ColumnEntry, second: ColumnEntry) -> str:
    """What a row says of the published lead of one of two models."""
    found = compare(row, first["key"], second["key"])
    if not found["clear"]:
        return "open"
    published = row["values"][first["reference"]] - row["values"][second["reference"]]
    return "confirmed" if (found["difference"] < 0) == (published < 0) else "reversed"
