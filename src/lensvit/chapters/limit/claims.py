"""What the paper prints and claims of the limit of information: computed from the table, never written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lensvit.chapters.grouping import ALL
from lensvit.chapters.limit.numbers import InstrumentLimit, LimitModel, LimitNumbers, LimitRow, Part
from lensvit.chapters.quoting import OVERALL, Context, Rows, by_target, extremes, heading, largest, of_targets
from lensvit.io.products import AMPLITUDE_TREATMENTS, NEAREST_CAUSTIC
from lensvit.io.tables import read_csv


def numbers(tables: Sequence[Path], context: Context) -> Part:
    """The chapter's part of numbers.json.

    Parameters
    ----------
    tables
        limit.csv.
    context
        The run.

    Raises
    ------
    LensvitError
        If the table is absent or empty.
    """
    (table,) = tables
    parts = by_target(read_csv(table, "model", "instrument"), "instrument", "model")
    names, models = (list(dict.fromkeys(part)) for part in zip(*parts, strict=True))
    first = parts[ALL, models[0]]
    amplitudes = context.config["limit"]["amplitudes"]
    chosen, other = (f"limit_{name}" for name in sorted(AMPLITUDE_TREATMENTS, key=lambda name: name != amplitudes))
    known, unknown = (of_targets(first, f"limit_{name}") for name in AMPLITUDE_TREATMENTS)
    limit = LimitNumbers(
        amplitudes=amplitudes,
        systems=int(first[OVERALL]["systems"]),
        nearest=NEAREST_CAUSTIC,
        overall=first[OVERALL][chosen],
        other=first[OVERALL][other],
        pooled=first[OVERALL]["pooled"],
        sorted=first[OVERALL]["sorted"],
        classes=int(first[OVERALL]["classes"]),
        widened=largest({target: unknown[target] / known[target] for target in known}),
        instruments=[
            InstrumentLimit(label=context.cameras[name], value=parts[name, models[0]][OVERALL][chosen])
            for name in names
            if name != ALL
        ],
        rows=[
            LimitRow(
                **heading(target),
                known=row["limit_known"],
                marginalised=row["limit_marginalised"],
                ratios={model: parts[ALL, model][target]["ratio"] for model in models},
                gaps={model: parts[ALL, model][target]["gap"] for model in models},
            )
            for target, row in first.items()
        ],
        models=[_model(parts[ALL, model], model, context.labels[model]) for model in models],
    )
    return Part(limit=limit)


def _model(rows: Rows, key: str, label: str) -> LimitModel:
    ends, gaps = (extremes(of_targets(rows, name)) for name in ("ratio", "gap"))
    overall = rows[OVERALL]
    return LimitModel(
        key=key,
        label=label,
        ratio=overall["ratio"],
        least=ends.least,
        most=ends.most,
        lost=overall["lost"],
        lost_most=largest(of_targets(rows, "lost")),
        gap=overall["gap"],
        gap_least=gaps.least,
        gap_most=gaps.most,
    )
