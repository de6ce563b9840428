"""What the paper prints and claims of the ablation: computed from its table, never written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lensvit.chapters.ablation.numbers import (
    AblationModel,
    AblationNumbers,
    AblationOrigin,
    AblationRow,
    AblationValue,
    AblationVariant,
    AblationVerdict,
    Part,
)
from lensvit.chapters.ablation.table import SAMPLING
from lensvit.chapters.quoting import Context, Row, number, rows_of
from lensvit.io.files import read_json
from lensvit.io.tables import read_csv
from lensvit.statistics.compare import is_clear

VALUES = ("rmse", "error", "difference", "difference_error")


def numbers(tables: Sequence[Path], context: Context) -> Part:
    """The chapter's part of numbers.json.

    Parameters
    ----------
    tables
        ablation.csv and ablation.json, of this run or of an earlier one.
    context
        The run.

    Raises
    ------
    LensvitError
        If the table is absent or empty.
    """
    table, provenance = tables
    content = read_csv(table, "model", "model_label", "variant", "label", "recipe")
    rows = rows_of(content)
    parts = {key: [row for row in rows if row["model"] == key] for key in dict.fromkeys(row["model"] for row in rows)}
    labels: dict[str, str] = {}
    for row in rows:
        labels.setdefault(row["variant"], row["label"])
    ablation = AblationNumbers(
        origin=AblationOrigin(**read_json(provenance)),
        sampled=SAMPLING in content,
        models=[_model(key, part) for key, part in parts.items()],
        rows=[
            AblationRow(label=label or None, values={key: _value(part, variant) for key, part in parts.items()})
            for variant, label in labels.items()
        ],
    )
    return Part(ablation=ablation)


def _model(key: str, rows: Sequence[Row]) -> AblationModel:
    first, *others = rows
    variants = [
        AblationVariant(
            label=row["label"],
            ratio=row["rmse"] / first["rmse"],
            verdict=verdict(row["difference"], row["difference_error"]),
            recipe=bool(row["recipe"]),
        )
        for row in others
    ]
    variants.sort(key=lambda variant: -max(variant.ratio, 1 / variant.ratio))
    single = [variant for variant in variants if not variant.recipe]
    seeds = [int(row["seeds"]) for row in rows]
    error = number(first["error"])
    return AblationModel(
        key=key,
        label=first["model_label"],
        recipe=first["recipe"],
        seeds=[min(seeds), max(seeds)],
        images=int(first["images"]),
        rmse=first["rmse"],
        error=error,
        scatter=None if error is None else error / first["rmse"] * seeds[0] ** 0.5,
        recipes=[variant for variant in variants if variant.recipe],
        worse=[variant for variant in single if variant.verdict == "worse"],
        better=[variant for variant in single if variant.verdict == "better"],
        undecided=[variant for variant in single if variant.verdict == "undecided"],
    )


def verdict(difference: float, error: float) -> AblationVerdict | None:
    """What a variant does to the error of a model.

    Parameters
    ----------
    difference
        The variant's error minus the model's.
    error
        The standard error of the difference; without one nothing is said, and the result is None.
    """
    if pd.isna(error):
        return None
    if not is_clear(difference, error):
        return "undecided"
    return "worse" if difference > 0 else "better"


def _value(rows: Sequence[Row], variant: str) -> AblationValue | None:
    row = next((row for row in rows if row["variant"] == variant), None)
    if row is None:
        return None
    return AblationValue(
        **{name: number(row[name]) for name in VALUES},
        seeds=int(row["seeds"]),
        verdict=verdict(row["difference"], row["difference_error"]),
    )
