"""What the paper prints and claims of the refinement: computed from the table, never written by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lensvit.chapters.quoting import OVERALL, extremes, heading, number
from lensvit.chapters.refine.table import ALL, PRIOR
from lensvit.io import tables

AT_THE_LIMIT = 1.3  # a ratio of the error to the limit up to which a fit is said to reach it
COLUMNS = ("rmse", "limit", "ratio", "sigma", "z", "network")


def refine_numbers(table: Path, labels: Mapping[str, str], instruments: Mapping[str, str]) -> dict[str, Any]:
    """The part ``refine`` of numbers.json.

    Parameters
    ----------
    table : refined.csv. labels : model to its label, as printed. instruments : instrument to its label.

    Returns
    -------
    systems : fitted, from the networks' draws.
    needed : whether more fits converge from the first network's draws than from the priors, by two standard errors.
    starts : one a start, the networks first: key, label (None for the priors), network (whether it is one),
        systems, converged, share, seconds (a system), ratio and z (of all targets), network_rmse (overall, None
        for the priors), rmse (overall), least and most (label, value of the ratio), at_limit (whether all
        ratios are below 1.3), instruments (where there are several: label, systems, converged, seconds, ratio).
        What comes from converged systems is None where there is none.
    rows : "overall" first: target, label (None for overall), unit, starts (by key: rmse, limit, ratio, sigma, z,
        network, each None where there is none).
    """
    content = tables.read_csv(table, "start", "instrument")
    parts = {key: part.set_index("target") for key, part in content.groupby(["start", "instrument"], sort=False)}
    names = sorted(content["start"].unique(), key=lambda name: name == PRIOR)
    cameras = [name for name in content["instrument"].unique() if name != ALL]
    starts = [_start(name, parts, labels, {key: instruments[key] for key in cameras}) for name in names]
    return {
        "systems": starts[0]["systems"],
        "needed": _needed(starts),
        "starts": starts,
        "rows": [
            {
                **heading(target),
                "starts": {name: {key: number(parts[name, ALL].loc[target, key]) for key in COLUMNS} for name in names},
            }
            for target in parts[names[0], ALL].index
        ],
    }


def _start(
    name: str, parts: Mapping[tuple[str, str], pd.DataFrame], labels: Mapping[str, str], cameras: Mapping[str, str]
) -> dict[str, Any]:
    table = parts[name, ALL]
    ratios = table["ratio"].drop(OVERALL).dropna()
    overall = table.loc[OVERALL]
    return {
        "key": name,
        "label": labels.get(name),
        "network": name != PRIOR,
        **_counts(overall),
        "rmse": number(overall["rmse"]),
        "z": number(overall["z"]),
        "network_rmse": number(overall["network"]),
        **extremes(ratios),
        "at_limit": bool(len(ratios) and ratios.max() < AT_THE_LIMIT),
        "instruments": [
            {"label": label, **_counts(parts[name, key].loc[OVERALL])}
            for key, label in cameras.items()
            if (name, key) in parts
        ],
    }


def _needed(starts: list[dict[str, Any]]) -> bool:
    """By the binomial error of the difference of two shares with a common expectation."""
    first, last = starts[0], starts[-1]
    if last["network"]:
        return False
    common = (first["converged"] + last["converged"]) / (first["systems"] + last["systems"])
    error = math.sqrt(common * (1 - common) * (1 / first["systems"] + 1 / last["systems"]))
    return first["share"] - last["share"] > 2 * error


def _counts(overall: pd.Series) -> dict[str, Any]:
    systems, converged = int(overall["systems"]), int(overall["converged"])
    return {
        "systems": systems,
        "converged": converged,
        "share": converged / systems,
        "seconds": float(overall["seconds"]),
        "ratio": number(overall["ratio"]),
    }
