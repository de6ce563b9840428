"""What the paper prints and claims of the Markov chains: computed from the tables, never written by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lensvit.chapters.grouping import ALL
from lensvit.chapters.mcmc.numbers import (
    ChainCounts,
    ChainMethod,
    ChainRow,
    Chains,
    ChainStart,
    ChainValues,
    InstrumentChains,
    McmcNumbers,
    Part,
    Speed,
)
from lensvit.chapters.mcmc.thresholds import AGREE, ENOUGH, IMPORTANCE, REASONS
from lensvit.chapters.quoting import (
    METHOD_LABELS,
    OVERALL,
    Context,
    Extremes,
    Row,
    Rows,
    by_target,
    extremes,
    heading,
    number,
    of_targets,
    rows_of,
)
from lensvit.io.tables import read_csv

COUNTS = ("chains", "converged", *REASONS)
ERRORS = ("rmse_error", "width_error")


def numbers(tables: Sequence[Path], context: Context) -> Part:
    """The chapter's part of numbers.json.

    Parameters
    ----------
    tables
        mcmc.csv and chains.csv.
    context
        The run.

    Raises
    ------
    LensvitError
        If a table is absent or empty.
    """
    table, chains = tables
    values = read_csv(table, "method")
    values = values.assign(**{name: np.nan for name in ERRORS if name not in values})  # an older version had none
    parts = {method: rows for (method,), rows in by_target(values, "method").items()}
    runs = rows_of(read_csv(chains, "instrument"))
    settings = context.config["mcmc"]
    found = McmcNumbers(
        settings=Chains(**{key: settings[key] for key in Chains.model_fields}),
        model=context.labels[settings["model"] or next(iter(context.labels))],
        systems=int(parts["mcmc"][OVERALL]["systems"]),
        agree=AGREE,
        enough=ENOUGH,
        starts=[_start(run, runs, context.cameras) for run in runs if run["instrument"] == ALL],
        methods=[_method(key, rows[OVERALL], context.labels) for key, rows in parts.items()],
        rows=[
            ChainRow(**heading(target), methods={key: _values(rows[target]) for key, rows in parts.items()})
            for target in parts["mcmc"]
        ],
        widths=_widths(parts.get("refined")),
        speed=_speed(runs, context),
    )
    return Part(mcmc=found)


def _start(whole: Row, runs: Sequence[Row], cameras: Mapping[str, str]) -> ChainStart:
    """The chains from one start: those of all instruments are one row, those of each are others."""
    return ChainStart(
        key=whole["start"],
        **_counts(whole),
        burn_in_ratio=number(whole["burn_in_ratio"]),
        instruments=[
            InstrumentChains(label=cameras[row["instrument"]], **_counts(row))
            for row in runs
            if row["start"] == whole["start"] and row["instrument"] != ALL and row["chains"] > 0
        ],
    )


def _counts(row: Row) -> dict[str, Any]:
    """The fields of :class:`ChainCounts`."""
    return {name: int(row[name]) if name in COUNTS else number(row[name]) for name in ChainCounts.model_fields}


def _method(key: str, overall: Row, models: Mapping[str, str]) -> ChainMethod:
    return ChainMethod(
        key=key,
        kind=overall["kind"],
        label=models[key] if overall["kind"] == "model" else METHOD_LABELS[key],
        systems=int(overall["systems"]),
        seconds=number(overall["seconds"]),
        calls=number(overall["calls"]),
    )


def _values(row: Row) -> ChainValues:
    return ChainValues(**{name: number(row[name]) for name in ChainValues.model_fields})


def _widths(refined: Rows | None) -> Extremes | None:
    if refined is None or all(pd.isna(row["width"]) for row in refined.values()):
        return None
    return extremes(of_targets(refined, "width"), of_targets(refined, "width_error"))


def _speed(runs: Sequence[Row], context: Context) -> list[Speed]:
    """Each network against the chains that converged, which are those that give an answer.

    Chains from samples of an exact posterior are left out, as most of their work was done before.
    """
    whole = [run for run in runs if run["instrument"] == ALL and run["start"] != IMPORTANCE]
    good = [run for run in whole if run["converged"] > 0]
    if not good:
        return []
    chain = sum(run["seconds_converged"] * run["converged"] for run in good) / sum(run["converged"] for run in good)
    tested = context.config["data"]["test"]
    return [
        _against(chain, name, label, context.durations, tested)
        for name, label in context.labels.items()
        if all(key in context.durations for key in ("simulate", f"train/{name}", f"evaluate/{name}"))
    ]


def _against(chain: float, model: str, label: str, durations: Mapping[str, float], tested: int) -> Speed:
    network = durations[f"evaluate/{model}"] / tested
    before = durations["simulate"] + durations[f"train/{model}"]
    whole = before / tested + network
    return Speed(
        label=label,
        chain=chain,
        network=network,
        ratio=chain / network,
        orders=math.log10(chain / network),
        training=durations[f"train/{model}"],
        simulation=durations["simulate"],
        whole=whole,
        whole_ratio=chain / whole,
        tested=tested,
        break_even=math.ceil(before / (chain - network)) if chain > network else None,
    )
