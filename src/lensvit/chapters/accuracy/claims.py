"""What the paper may claim: comparisons computed from a run's numbers, never written by hand.

The columns and rows of Table 1 are those of :mod:`lensvit.chapters.accuracy.numbers`, as numbers.json has them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lensvit.chapters.accuracy.numbers import Column, ErrorRow, OverallUncertainty, Part, Uncertainty
from lensvit.chapters.accuracy.published import PUBLISHED_COLUMNS, REFERENCES
from lensvit.chapters.accuracy.table import SYSTEMS
from lensvit.chapters.quoting import METHOD_LABELS, OVERALL, Context, heading
from lensvit.errors import LensvitError
from lensvit.io.files import read_json
from lensvit.io.tables import read_by_target, read_predictions
from lensvit.parameters import TARGETS
from lensvit.statistics.compare import CLEAR, is_clear

STRONG = 2.0  # factor below the prior that is called strong
WEAK = 1.1  # factor below the prior under which nothing was learned
# columns of Table 1 that are neither models nor published: kind and label
OTHER_COLUMNS = {
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
        table1.csv and table1_errors.csv, then predictions/{model}.parquet of every model.
    context
        The run.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or Table 1 has a column that is not known.
    """
    rmse, errors = (read_by_target(path) for path in tables[:2])
    families = {path.parent.name: read_json(path, "family")["family"] for path in context.models}
    systems = errors.loc[SYSTEMS].to_dict() if SYSTEMS in errors.index else {}
    return Part(
        columns=[_column(name, context.labels, families, systems.get(name)) for name in rmse.columns],
        table=[
            ErrorRow(**heading(target), values=_by_column(rmse, target), errors=_by_column(errors, target))
            for target in rmse.index
        ],
        uncertainty=_uncertainty(read_predictions(list(tables[2:]))),
    )


def _column(name: str, labels: Mapping[str, str], families: Mapping[str, str], systems: float | None) -> Column:
    count = None if systems is None else int(systems)
    if name in families:
        return Column(key=name, label=labels[name], kind="model", reference=REFERENCES[families[name]], systems=count)
    if name in PUBLISHED_COLUMNS:
        return Column(key=name, label=PUBLISHED_COLUMNS[name], kind="published", reference=None, systems=None)
    if name in OTHER_COLUMNS:
        kind, label = OTHER_COLUMNS[name]
        return Column(key=name, label=label, kind=kind, reference=None, systems=count)
    raise LensvitError(f"Table 1 has a column {name} that the paper does not know: is it of another config?")


def _by_column(table: pd.DataFrame, target: str) -> dict[str, float]:
    return {str(name): float(column[target]) for name, column in table.items()}


def _uncertainty(predictions: Mapping[str, pd.DataFrame]) -> list[OverallUncertainty | Uncertainty]:
    rows = [_target_uncertainty(parameter.name, predictions) for parameter in TARGETS]
    overall = OverallUncertainty(
        **heading(OVERALL),
        coverage={model: _mean(row.coverage[model] for row in rows) for model in predictions},
        epistemic_share={model: _mean(row.epistemic_share[model] for row in rows) for model in predictions},
    )
    return [overall, *rows]


def _target_uncertainty(target: str, predictions: Mapping[str, pd.DataFrame]) -> Uncertainty:
    coverage, share, percent = {}, {}, {}
    for model, table in predictions.items():
        truth, mean, sigma, epistemic = (
            table[f"{target}_{kind}"].to_numpy() for kind in ("truth", "mean", "sigma", "epistemic")
        )
        coverage[model] = float(np.mean(np.abs(mean - truth) < sigma))
        share[model] = float(np.mean(epistemic**2) / np.mean(sigma**2))
        percent[model] = float(np.median(np.abs((mean - truth) / truth)))
    return Uncertainty(**heading(target), coverage=coverage, epistemic_share=share, percent_error=percent)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


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
        The other rows.
    best
        Target to the key of the model with the smallest error.
    ranking
        The models' columns, the smallest overall error first.
    ranking_clear
        Whether the first is clearly ahead of the second overall.
    leads
        For each model that is clearly ahead of all others somewhere: ``column``, and ``rows`` where it is ahead.
    undecided
        The rows in which no model is clearly ahead.
    prior
        One entry for each model, see :func:`against_prior`.
    published
        One entry for each model with a published counterpart, see :func:`against_published`.
    clear, strong, weak
        The thresholds ``CLEAR``, ``STRONG`` and ``WEAK``.
    """
    models = [column for column in columns if column["kind"] == "model"]
    overall = next(row for row in rows if row["target"] == "overall")
    targets = [row for row in rows if row["target"] != "overall"]
    leaders = {row["target"]: leader(row, models) for row in rows}
    leads = [
        {"column": model, "rows": [row for row in targets if leaders[row["target"]] == model["key"]]}
        for model in models
    ]
    return {
        "overall": overall,
        "targets": targets,
        "best": {row["target"]: best(row, models) for row in rows},
        "ranking": sorted(models, key=lambda model: overall["values"][model["key"]]),
        "ranking_clear": leaders["overall"] is not None,
        "leads": [lead for lead in leads if lead["rows"]],
        "undecided": [row for row in targets if leaders[row["target"]] is None],
        "prior": [against_prior(targets, model) for model in models],
        "published": [against_published(rows, model) for model in models if model.get("reference")],
        "clear": CLEAR,
        "strong": STRONG,
        "weak": WEAK,
    }


def best(row: RowEntry, models: Sequence[ColumnEntry]) -> str:
    """The key of the model with the smallest error in a row."""
    return min((model["key"] for model in models), key=lambda key: row["values"][key])


def leader(row: RowEntry, models: Sequence[ColumnEntry]) -> str | None:
    """The best model's key if it is clearly ahead of every other, else None.

    Standard errors of the two RMSE are combined in quadrature. All models see the same test systems, so that this
    errs on the side of caution. A single model is ahead of none.
    """
    first = best(row, models)
    others = [model["key"] for model in models if model["key"] != first]
    values, errors = row["values"], row["errors"]
    ahead = [is_clear(values[key] - values[first], math.hypot(errors[key], errors[first])) for key in others]
    return first if ahead and all(ahead) else None


def against_prior(targets: Sequence[RowEntry], model: ColumnEntry) -> dict[str, Any]:
    """A model against the error of predicting the prior's mean.

    Returns
    -------
    column
        The model's column.
    strong, some, none
        The rows whose factor (error of the prior over the model's) is at least ``STRONG``, in between, and below
        ``WEAK``.
    least, most
        The rows with the extreme factors.
    factors
        Target to its factor.
    """
    factors = {row["target"]: row["values"]["prior"] / row["values"][model["key"]] for row in targets}
    return {
        "column": model,
        "strong": [row for row in targets if factors[row["target"]] >= STRONG],
        "some": [row for row in targets if WEAK <= factors[row["target"]] < STRONG],
        "none": [row for row in targets if factors[row["target"]] < WEAK],
        "least": min(targets, key=lambda row: factors[row["target"]]),
        "most": max(targets, key=lambda row: factors[row["target"]]),
        "factors": factors,
    }


def against_published(rows: Sequence[RowEntry], model: ColumnEntry) -> dict[str, Any]:
    """A model against its counterpart in the original paper.

    Returns
    -------
    column
        The model's column.
    reference
        The key of the published column.
    ratio
        The overall error over the published one.
    lower, higher
        The rows of targets whose error differs clearly from the published one, by this run's standard error.
    level
        The other rows of targets.
    """
    key, reference = model["key"], model["reference"]
    groups: dict[str, list[RowEntry]] = {"lower": [], "higher": [], "level": []}
    for row in rows:
        if row["target"] == "overall":
            ratio = row["values"][key] / row["values"][reference]
            continue
        difference = row["values"][key] - row["values"][reference]
        clear = is_clear(difference, row["errors"][key])
        groups["level" if not clear else "lower" if difference < 0 else "higher"].append(row)
    return {"column": model, "reference": reference, "ratio": ratio, **groups}
