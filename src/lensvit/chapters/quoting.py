"""Parts of what the paper quotes that many of its sections have: headings of rows, extremes, numbers that may lack."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lensvit.parameters import TARGETS

OVERALL = "overall"  # the row of all targets
PARAMETERS = {parameter.name: parameter for parameter in TARGETS}


def heading(target: str) -> dict[str, Any]:
    """target, label (LaTeX; None for overall), unit."""
    parameter = PARAMETERS.get(target)
    label, unit = (parameter.label, parameter.unit) if parameter else (None, "")
    return {"target": target, "label": label, "unit": unit}


def extremes(values: pd.Series) -> dict[str, dict[str, Any] | None]:
    """Least and most of values by target, each with label and value; None without values."""
    known = values.dropna()
    if known.empty:
        return {"least": None, "most": None}
    return {"least": extreme(known, known.idxmin()), "most": extreme(known, known.idxmax())}


def extreme(values: pd.Series, target: str) -> dict[str, Any]:
    """Label and value of a target."""
    return {"label": PARAMETERS[target].label, "value": float(values[target])}


def number(value: float) -> float | None:
    """For JSON: None for what is not there."""
    return None if pd.isna(value) else float(value)
