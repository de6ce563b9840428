"""What several chapters need to quote their results: the run, labels, and shared parts of numbers.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from lensvit.io.settings import Settings
from lensvit.parameters import TARGETS

OVERALL = "overall"  # the row of all targets
PARAMETERS = {parameter.name: parameter for parameter in TARGETS}
METHOD_LABELS = {  # of what is no model
    "prior": "Priors", "refined": "Refined", "importance": "Exact posterior", "mcmc": "MCMC", "limit": "Limit",
    "ensemble": "Ensemble",
    "bayes": "Bayes error",
}  # fmt: skip


@dataclass(frozen=True)
class Context:
    """What a chapter's ``numbers`` may need of the run beside the chapter's own tables.

    Parameters
    ----------
    config
        The whole config, as plain data.
    systems
        The catalogue of all systems.
    models
        models/{model}/config.json of each model, with history.csv and provenance.json beside.
    durations
        Seconds of ``simulate``, ``train/{model}`` and ``evaluate/{model}``, where they were measured.
    """

    config: Mapping[str, Any]
    systems: pd.DataFrame
    models: Sequence[Path]
    durations: Mapping[str, float]

    @property
    def labels(self) -> dict[str, str]:
        """Model to its label, as printed."""
        return {name: entry["label"] for name, entry in self.config["models"].items()}

    @property
    def cameras(self) -> dict[str, str]:
        """Instrument to its label, as printed."""
        return {name: entry["label"] for name, entry in self.config["instruments"].items()}


class Numbers(Settings):
    """A part of numbers.json: frozen; unknown keys, NaN and infinity are errors."""


class Heading(Numbers):
    """What a row of a table is about: one target, or all of them."""

    target: str = Field(description='name of the target; "overall": all of them')
    label: str | None = Field(description="LaTeX without dollar signs; null for overall")
    unit: str = Field(description='unit of the target, as printed; "" where there is none')


class Extreme(Numbers):
    """A value of one target that is the least or the most of all."""

    label: str = Field(description="label of the target, LaTeX without dollar signs")
    value: float = Field(description="the value, without a unit")
    error: float | None = Field(None, description="its standard error; null: it is not known")


class Extremes(Numbers):
    """The least and the most of the targets' values."""

    least: Extreme | None = Field(description="target with the smallest value; null: there are no values")
    most: Extreme | None = Field(description="target with the largest value; null: there are no values")


class Measured(Numbers):
    """A value and its standard error."""

    value: float = Field(description="the value, without a unit")
    error: float = Field(description="its standard error")


class LabelledTarget(Numbers):
    """A target by its label alone."""

    label: str = Field(description="label of the target, LaTeX without dollar signs")


def heading(target: str) -> dict[str, Any]:
    """The fields of :class:`Heading`."""
    parameter = PARAMETERS.get(target)
    label, unit = (parameter.label, parameter.unit) if parameter else (None, "")
    return {"target": target, "label": label, "unit": unit}


def extremes(values: Mapping[str, float], errors: Mapping[str, float] | None = None) -> Extremes:
    """The least and the most of the values by target; None where there is no value at all.

    Parameters
    ----------
    values
        Target to its value, NaN where there is none.
    errors
        Target to the value's standard error; None: they are not known.
    """
    known = {target: value for target, value in values.items() if not pd.isna(value)}
    if not known:
        return Extremes(least=None, most=None)
    return Extremes(least=extreme(known, min(known, key=known.__getitem__), errors), most=largest(known, errors))


def largest(values: Mapping[str, float], errors: Mapping[str, float] | None = None) -> Extreme:
    """The target with the largest value; see :func:`extremes`."""
    return extreme(values, max(values, key=values.__getitem__), errors)


def extreme(values: Mapping[str, float], target: str, errors: Mapping[str, float] | None = None) -> Extreme:
    """Label and value of a target; see :func:`extremes`."""
    error = None if errors is None else number(errors[target])
    return Extreme(label=PARAMETERS[target].label, value=float(values[target]), error=error)


def number(value: float) -> float | None:
    """The value as JSON has it: None where there is none."""
    return None if pd.isna(value) else float(value)


# ---------------------------------------------------------------- tables

Row = Mapping[str, Any]  # the values of one row of a table by column
Rows = Mapping[str, Row]  # the rows of one group by target


def rows_of(table: pd.DataFrame) -> list[Row]:
    """The rows of a table in their order."""
    return [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]


def by_target(table: pd.DataFrame, *columns: str) -> dict[tuple[str, ...], Rows]:
    """The rows of each group by target, the groups in the order in which they first appear.

    Parameters
    ----------
    table
        A table with one row for each group and target.
    columns
        The columns whose values, together, are the key of a group.
    """
    found: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows_of(table):
        found.setdefault(tuple(row[column] for column in columns), {})[row["target"]] = row
    return dict(found)


def of_targets(rows: Rows, column: str) -> dict[str, float]:
    """The values of one column by target, without the row of all targets."""
    return {target: row[column] for target, row in rows.items() if target != OVERALL}


# ---------------------------------------------------------------- order


def own_first(content: Mapping[str, Any], shared: Iterable[str]) -> dict[str, Any]:
    """The content with the keys of a model that it shares with the config behind its own ones, in alphabetical order.

    So numbers.json has them. A new key of the shared model then needs no word here.
    """
    shared = sorted(shared)
    own = {key: value for key, value in content.items() if key not in shared}
    return own | {key: content[key] for key in shared}
