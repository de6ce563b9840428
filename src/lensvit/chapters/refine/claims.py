"""What the paper prints and claims of the fits to all pixels: computed from the table, never written by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lensvit.chapters.grouping import ALL
from lensvit.chapters.quoting import OVERALL, Context, Row, Rows, by_target, extremes, heading, number, of_targets
from lensvit.chapters.refine.numbers import FitRow, FitStart, FitValues, InstrumentFits, Part, RefineNumbers
from lensvit.chapters.refine.table import PRIOR
from lensvit.io.tables import read_csv
from lensvit.statistics.compare import is_clear

AT_THE_LIMIT = 1.3  # a ratio of the error to the limit up to which a fit is said to reach it


def numbers(tables: Sequence[Path], context: Context) -> Part:
    """The chapter's part of numbers.json.

    Parameters
    ----------
    tables
        refined.csv.
    context
        The run.

    Raises
    ------
    LensvitError
        If the table is absent or empty.
    """
    (table,) = tables
    parts = by_target(read_csv(table, "start", "instrument"), "start", "instrument")
    names = sorted(dict.fromkeys(start for start, _ in parts), key=lambda name: name == PRIOR)
    starts = [_start(name, parts, context) for name in names]
    rows = [
        FitRow(**heading(target), starts={name: _values(parts[name, ALL][target]) for name in names})
        for target in parts[names[0], ALL]
    ]
    cut = any(parts[name, ALL][OVERALL]["cut"] > 0 for name in names)
    numbers = RefineNumbers(systems=starts[0].systems, needed=_needed(starts), cut=cut, starts=starts, rows=rows)
    return Part(refine=numbers)


def _start(name: str, parts: Mapping[tuple[str, ...], Rows], context: Context) -> FitStart:
    rows = parts[name, ALL]
    ratios = {target: ratio for target, ratio in of_targets(rows, "ratio").items() if not pd.isna(ratio)}
    overall, ends = rows[OVERALL], extremes(ratios, of_targets(rows, "ratio_error"))
    cameras = dict.fromkeys(camera for _, camera in parts if camera != ALL)
    return FitStart(
        key=name,
        label=context.labels.get(name),
        network=name != PRIOR,
        **_counts(overall),
        rmse=number(overall["rmse"]),
        rmse_error=number(overall["rmse_error"]),
        z=number(overall["z"]),
        z_error=number(overall["z_error"]),
        network_rmse=number(overall["network"]),
        network_error=number(overall["network_error"]),
        least=ends.least,
        most=ends.most,
        at_limit=bool(ratios) and max(ratios.values()) < AT_THE_LIMIT,
        instruments=[
            InstrumentFits(label=context.cameras[camera], **_counts(parts[name, camera][OVERALL]))
            for camera in cameras
            if (name, camera) in parts
        ],
        shared=None if pd.isna(overall["shared"]) else int(overall["shared"]),
        apart=number(overall["apart"]),
        first_ratio=number(overall["first_ratio"]),
        first_ratio_error=number(overall["first_ratio_error"]),
    )


def _needed(starts: Sequence[FitStart]) -> bool:
    """Whether the first start has clearly more converged fits than the priors, by the binomial error of two shares."""
    first, last = starts[0], starts[-1]
    if last.network:
        return False
    common = (first.converged + last.converged) / (first.systems + last.systems)
    error = math.sqrt(common * (1 - common) * (1 / first.systems + 1 / last.systems))
    return first.share > last.share and is_clear(first.share - last.share, error)


def _counts(overall: Row) -> dict[str, Any]:
    systems, converged = int(overall["systems"]), int(overall["converged"])
    return {
        "systems": systems,
        "converged": converged,
        "share": converged / systems,
        "seconds": overall["seconds"],
        "ratio": number(overall["ratio"]),
        "ratio_error": number(overall["ratio_error"]),
    }


def _values(row: Row) -> FitValues:
    return FitValues(**{name: number(row[name]) for name in FitValues.model_fields})
