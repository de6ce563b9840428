"""What the paper prints of exact posteriors: computed from the table, never written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lensvit.chapters.grouping import ALL
from lensvit.chapters.importance.numbers import ImportanceNumbers, Part, SampledInstrument, SampledRow
from lensvit.chapters.quoting import OVERALL, Context, Row, by_target, extremes, heading, number, of_targets
from lensvit.inference.settings import LARGEST_K
from lensvit.io.tables import REASONS, read_csv

UNLIKELY = 0.05  # probability below which a p-value is told from chance
WITH_ERROR = ("limit", "refined", "width", "offset", "z")  # the errors of the others stand in Table 1
VALUES = ("rmse", "bayes", *(f"{name}{end}" for name in WITH_ERROR for end in ("", "_error")), "p")


def numbers(tables: Sequence[Path], context: Context) -> Part:
    """The chapter's part of numbers.json.

    Parameters
    ----------
    tables
        importance.csv.
    context
        The run.

    Raises
    ------
    LensvitError
        If the table is absent or empty.
    """
    (table,) = tables
    parts = by_target(read_csv(table, "instrument"), "instrument")
    rows = parts[(ALL,)]
    overall, setting = rows[OVERALL], context.config["importance"]
    cameras = [camera for (camera,) in parts if camera != ALL]
    tests = {target: value for target, value in of_targets(rows, "p").items() if not pd.isna(value)}
    return Part(
        importance=ImportanceNumbers(
            **_counts(overall),
            share=overall["certified"] / overall["systems"],
            ess=number(overall["ess"]),
            effective=setting["effective"],
            most=setting["max_calls"],
            reasons={reason: int(overall[reason]) for reason in REASONS},
            instruments=[
                SampledInstrument(label=context.cameras[camera], **_counts(parts[(camera,)][OVERALL]))
                for camera in cameras
            ],
            rows=[
                SampledRow(**heading(target), **{name: number(row[name]) for name in VALUES})
                for target, row in rows.items()
            ],
            farthest=extremes(of_targets(rows, "offset")).most,
            least_p=extremes(tests).least,
            tested=len(tests),
            fair_p=1 - (1 - UNLIKELY) ** (1 / len(tests)) if tests else None,
            largest_k=LARGEST_K,
        )
    )


def _counts(row: Row) -> dict[str, Any]:
    costs = {name: number(row[name]) for name in ("calls", "seconds")}
    return {"systems": int(row["systems"]), "certified": int(row["certified"]), **costs}
