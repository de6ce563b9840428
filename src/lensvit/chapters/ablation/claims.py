"""What the paper prints and claims of the ablation: computed from its table, never written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from lensvit.chapters.quoting import number
from lensvit.io import tables

CLEAR = 3.0  # standard errors from which a difference is clear: among a few dozen none is by chance
VALUES = ("rmse", "error", "difference", "difference_error")


def ablation_numbers(table: Path, provenance: Path) -> dict[str, Any]:
    """The part ``ablation`` of numbers.json.

    Parameters
    ----------
    table, provenance : ablation.csv and ablation.json, of this run or of an earlier one.

    Returns
    -------
    clear : standard errors from which a difference is clear.
    origin : run, data (sizes of the splits), passes, date, commit, cores, hardware, python, versions.
    models : one each: key, label, recipe (its name), seeds (fewest and most), images (seen in one training), rmse and
        error of the model as it is, scatter (relative, between seeds); and lists of variants (label, ratio of the
        errors, verdict, recipe: whether it has another one), the largest effect first: recipes, those with another
        recipe; worse, better and undecided, of the rest.
    rows : one a variant, the models as they are first (label None): label, and by model key, or None: values rmse,
        error, difference, difference_error, seeds, verdict.

    A ``verdict`` is "worse", "better", "undecided", or None where nothing was trained twice.
    """
    content = tables.read_csv(table, "model", "model_label", "variant", "label", "recipe")
    parts = dict(list(content.groupby("model", sort=False)))
    rows = content.drop_duplicates("variant")
    return {
        "clear": CLEAR,
        "origin": json.loads(Path(provenance).read_text(encoding="utf-8")),
        "models": [_model(key, part) for key, part in parts.items()],
        "rows": [
            {
                "label": row["label"] or None,
                "values": {key: _value(part[part["variant"] == row["variant"]]) for key, part in parts.items()},
            }
            for _, row in rows.iterrows()
        ],
    }


def _model(key: str, part: pd.DataFrame) -> dict[str, Any]:
    first, others = part.iloc[0], part.iloc[1:]
    entries = [
        {
            "label": row["label"],
            "ratio": float(row["rmse"] / first["rmse"]),
            "verdict": verdict(row["difference"], row["difference_error"]),
            "recipe": bool(row["recipe"]),
        }
        for _, row in others.iterrows()
    ]
    entries.sort(key=lambda entry: -max(entry["ratio"], 1 / entry["ratio"]))
    single = [entry for entry in entries if not entry["recipe"]]
    error = number(first["error"])
    return {
        "key": key,
        "label": first["model_label"],
        "recipe": first["recipe"],
        "seeds": [int(part["seeds"].min()), int(part["seeds"].max())],
        "images": int(first["images"]),
        "rmse": float(first["rmse"]),
        "error": error,
        "scatter": None if error is None else float(error / first["rmse"] * first["seeds"] ** 0.5),
        "recipes": [entry for entry in entries if entry["recipe"]],
        **{kind: [entry for entry in single if entry["verdict"] == kind] for kind in ("worse", "better", "undecided")},
    }


def verdict(difference: float, error: float) -> str | None:
    """What leaving a part away does to the error: "worse", "better", "undecided"; None without an ``error``."""
    if pd.isna(error):
        return None
    if abs(difference) <= CLEAR * error:
        return "undecided"
    return "worse" if difference > 0 else "better"


def _value(rows: pd.DataFrame) -> dict[str, Any] | None:
    if rows.empty:
        return None
    row = rows.iloc[0]
    values = {name: number(row[name]) for name in VALUES}
    return {**values, "seeds": int(row["seeds"]), "verdict": verdict(row["difference"], row["difference_error"])}
