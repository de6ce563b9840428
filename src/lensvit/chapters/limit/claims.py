"""What the paper prints and claims of the limit of information: computed from the table, never written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lensvit.chapters.grouping import ALL
from lensvit.chapters.limit.numbers import InstrumentLimit, LimitModel, LimitNumbers, LimitRow, Part, Signals
from lensvit.chapters.quoting import OVERALL, Context, Rows, by_target, extremes, heading, largest, number, of_targets
from lensvit.io.products import AMPLITUDE_TREATMENTS, NEAREST_CAUSTIC
from lensvit.io.tables import LIGHTS, read_csv


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
        overall_error=number(first[OVERALL][f"{chosen}_error"]),
        other=first[OVERALL][other],
        other_error=number(first[OVERALL][f"{other}_error"]),
        pooled=first[OVERALL]["pooled"],
        coarse=first[OVERALL]["coarse"],
        coarse_classes=int(first[OVERALL]["coarse_classes"]),
        fine=first[OVERALL]["fine"],
        fine_classes=int(first[OVERALL]["fine_classes"]),
        widened=largest({target: unknown[target] / known[target] for target in known}),
        instruments=[
            InstrumentLimit(
                label=context.cameras[name],
                value=parts[name, models[0]][OVERALL][chosen],
                error=number(parts[name, models[0]][OVERALL][f"{chosen}_error"]),
            )
            for name in names
            if name != ALL
        ],
        signals=[
            Signals(
                label=context.cameras.get(name),
                **{light: parts[name, models[0]][OVERALL][f"signal_{light}"] for light in LIGHTS},
            )
            for name in (names[1:] or names)
        ],
        rows=[
            LimitRow(
                **heading(target),
                known=row["limit_known"],
                marginalised=row["limit_marginalised"],
                known_error=number(row["limit_known_error"]),
                marginalised_error=number(row["limit_marginalised_error"]),
                ratios={model: parts[ALL, model][target]["ratio"] for model in models},
                ratio_errors={model: number(parts[ALL, model][target]["ratio_error"]) for model in models},
                gaps={model: parts[ALL, model][target]["gap"] for model in models},
                gap_errors={model: number(parts[ALL, model][target]["gap_error"]) for model in models},
            )
            for target, row in first.items()
        ],
        models=[_model(parts[ALL, model], model, context.labels[model]) for model in models],
    )
    return Part(limit=limit)


def _model(rows: Rows, key: str, label: str) -> LimitModel:
    ends = extremes(of_targets(rows, "ratio"), of_targets(rows, "ratio_error"))
    overall = rows[OVERALL]
    return LimitModel(
        key=key,
        label=label,
        ratio=overall["ratio"],
        ratio_error=number(overall["ratio_error"]),
        least=ends.least,
        most=ends.most,
        lost=overall["lost"],
        lost_error=number(overall["lost_error"]),
        lost_most=largest(of_targets(rows, "lost"), of_targets(rows, "lost_error")),
        gap=overall["gap"],
        gap_error=number(overall["gap_error"]),
    )
