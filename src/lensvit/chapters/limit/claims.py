"""What the paper prints and claims of the limit of information: computed from the table, never written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lensvit.chapters.quoting import OVERALL, extreme, extremes, heading
from lensvit.io import tables
from lensvit.io.products import ALL, AMPLITUDE_TREATMENTS, NEAREST_CAUSTIC


def limit_numbers(
    table: Path, amplitudes: str, labels: Mapping[str, str], instruments: Mapping[str, str]
) -> dict[str, Any]:
    """The part ``limit`` of numbers.json.

    Parameters
    ----------
    table : limit.csv. amplitudes : "known" or "marginalised", which limit counts.
    labels : model to its label, as printed. instruments : instrument to its label.

    Returns
    -------
    amplitudes; systems : that have a limit; nearest : standard deviations from a caustic that it takes.
    overall : the limit of the overall error; other : that with the other treatment of the amplitudes.
    widened : the target (label, value) whose limit unknown amplitudes widen most, and its factor.
    instruments : where there are several, one each: label, value (of the overall limit).
    rows : "overall" first: target, label (None for overall), known, marginalised, ratios (by model key).
    models : one each: key, label, ratio (of the overall errors), least and most (label, value of the ratio).
    """
    content = tables.read_csv(table, "model", "instrument")
    parts = {key: part.set_index("target") for key, part in content.groupby(["instrument", "model"], sort=False)}
    models = list(content["model"].unique())
    first = parts[ALL, models[0]]
    chosen, other = (f"limit_{name}" for name in sorted(AMPLITUDE_TREATMENTS, key=lambda name: name != amplitudes))
    names = [name for name in content["instrument"].unique() if name != ALL]
    widened = (first["limit_marginalised"] / first["limit_known"]).drop(OVERALL)
    return {
        "amplitudes": amplitudes,
        "systems": int(first.loc[OVERALL, "systems"]),
        "nearest": NEAREST_CAUSTIC,
        "overall": float(first.loc[OVERALL, chosen]),
        "other": float(first.loc[OVERALL, other]),
        "widened": extreme(widened, widened.idxmax()),
        "instruments": [
            {"label": instruments[name], "value": float(parts[name, models[0]].loc[OVERALL, chosen])} for name in names
        ],
        "rows": [
            {
                **heading(target),
                **{name: float(first.loc[target, f"limit_{name}"]) for name in AMPLITUDE_TREATMENTS},
                "ratios": {model: float(parts[ALL, model].loc[target, "ratio"]) for model in models},
            }
            for target in first.index
        ],
        "models": [_model(parts[ALL, model]["ratio"], model, labels[model]) for model in models],
    }


def _model(ratios: pd.Series, key: str, label: str) -> dict[str, Any]:
    return {
        "key": key,
        "label": label,
        "ratio": float(ratios[OVERALL]),
        **extremes(ratios.drop(OVERALL)),
    }
