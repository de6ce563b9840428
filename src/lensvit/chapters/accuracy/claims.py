"""What the paper may claim: comparisons computed from a run's numbers, never written by hand.

Table columns are of one ``kind`` each: ``model`` (this run), ``refined``, ``baseline``, ``limit`` or ``published``.
A row has ``values`` (column key -> RMSE or None) and ``errors`` (model key -> standard error
of the RMSE from the finite test set).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lensvit.statistics.compare import CLEAR

STRONG = 2.0  # factor below the prior that is called strong
WEAK = 1.1  # factor below the prior under which nothing was learned

Row = Mapping[str, Any]
Column = Mapping[str, Any]


def claims(columns: Sequence[Column], rows: Sequence[Row]) -> dict[str, Any]:
    """Every comparison that the templates make.

    Returns
    -------
    overall : the row of the overall error.
    targets : the other rows.
    best : target -> key of the model with the smallest error.
    ranking : model columns, the smallest overall error first.
    ranking_clear : whether the first is clearly ahead of the second overall.
    leads : one {column, rows} a model that is clearly ahead of all others somewhere.
    undecided : rows in which no model is clearly ahead.
    prior : one entry a model, see :func:`against_prior`.
    published : one entry a model with a published counterpart, see :func:`against_published`.
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


def best(row: Row, models: Sequence[Column]) -> str:
    """The key of the model with the smallest error in a row."""
    return min((model["key"] for model in models), key=lambda key: row["values"][key])


def leader(row: Row, models: Sequence[Column]) -> str | None:
    """The best model's key if it is clearly ahead of every other, else None.

    Clear: by more than ``CLEAR`` standard errors of the two RMSE, combined in quadrature. All
    models see the same test systems, so that this errs on the side of caution. None too where
    there is one model only.
    """
    first = best(row, models)
    others = [model["key"] for model in models if model["key"] != first]
    values, errors = row["values"], row["errors"]
    ahead = [values[key] - values[first] > CLEAR * math.hypot(errors[key], errors[first]) for key in others]
    return first if ahead and all(ahead) else None


def against_prior(targets: Sequence[Row], model: Column) -> dict[str, Any]:
    """A model against the error of predicting the prior's mean.

    Returns
    -------
    column : the model's; strong, some, none : the rows whose factor (prior / model) is at least
    ``STRONG``, in between, and below ``WEAK``; least, most : rows with the extreme factors;
    factors : target -> factor.
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


def against_published(rows: Sequence[Row], model: Column) -> dict[str, Any]:
    """A model against its counterpart in the original paper.

    Returns
    -------
    column : the model's; ratio : overall error over the published one; lower, higher : the rows
    of targets whose error differs from the published by more than ``CLEAR`` standard errors
    of this run's; level : the rest.
    """
    key, reference = model["key"], model["reference"]
    groups: dict[str, list[Row]] = {"lower": [], "higher": [], "level": []}
    for row in rows:
        if row["target"] == "overall":
            ratio = row["values"][key] / row["values"][reference]
            continue
        difference = row["values"][key] - row["values"][reference]
        clear = abs(difference) > CLEAR * row["errors"][key]
        groups["level" if not clear else "lower" if difference < 0 else "higher"].append(row)
    return {"column": model, "reference": reference, "ratio": ratio, **groups}
