"""What the paper prints and claims of the Markov chains: computed from the tables, never written by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lensvit.chapters.quoting import OVERALL, extremes, heading, number
from lensvit.io import tables

ALL = "all"  # instruments
COLUMNS = ("rmse", "width", "z", "offset")
LABELS = {"mcmc": "MCMC", "refined": "Refined", "limit": "Limit"}


def mcmc_numbers(
    table: Path, chains: Path, config: Mapping[str, Any], durations: Mapping[str, float]
) -> dict[str, Any]:
    """The part ``mcmc`` of numbers.json.

    Parameters
    ----------
    table, chains : mcmc.csv and chains.csv. config : the whole config.
    durations : seconds of simulate, train/{model} and evaluate/{model}, where they were measured.

    Returns
    -------
    settings : systems, walkers, particles, annealing_steps, tuning_steps, max_steps, attempts, samples.
    model : label of the network from whose draws the second chains start.
    systems : with a converged chain.
    starts : one each: key ("prior", "network"), chains, converged, unexplained, short, disagree, seconds, calls,
        attempts (means over all), tau, steps (means over converged ones, None without), instruments (where there
        are several: label, chains, converged, seconds, calls).
    methods : one each, the chains first: key, kind, label, systems, seconds (a system; None: not measured).
    rows : "overall" first: target, label (None for overall), unit, methods (by key: rmse, width, z, offset, each
        None where there is none).
    widths : where fits are compared: label and value of their least and most ratio of widths.
    speed : one a model whose duration is known: label, chain (seconds of a chain that converged, of all
        starts), network (seconds a system), ratio, orders (its decimal logarithm), training, simulation
        [seconds], whole (seconds a system with these, over the test set), whole_ratio, tested (systems of the
        test set), break_even (systems from which on the network is the quicker, None where it never is).
    """
    content = tables.read_csv(table, "method")
    parts = {key: part.set_index("target") for key, part in content.groupby("method", sort=False)}
    runs = tables.read_csv(chains, "instrument")
    models = {name: entry["label"] for name, entry in config["models"].items()}
    cameras = {name: entry["label"] for name, entry in config["instruments"].items()}
    settings = config["mcmc"]
    chosen = settings["model"] or next(iter(models))
    return {
        "settings": {key: value for key, value in settings.items() if key not in ("enabled", "model")},
        "model": models[chosen],
        "systems": int(parts["mcmc"]["systems"].iloc[0]),
        "starts": [_start(part, cameras) for _, part in runs.groupby("start", sort=False)],
        "methods": [_method(key, part, models) for key, part in parts.items()],
        "rows": [
            {**heading(target), "methods": {key: _values(part.loc[target]) for key, part in parts.items()}}
            for target in parts["mcmc"].index
        ],
        "widths": _widths(parts.get("refined")),
        "speed": _speed(runs, models, durations, config["data"]["test"]),
    }


def _start(part: pd.DataFrame, cameras: Mapping[str, str]) -> dict[str, Any]:
    whole = part[part["instrument"] == ALL].iloc[0]
    counts = ("chains", "converged", "unexplained", "short", "disagree")
    return {
        "key": whole["start"],
        **{name: int(whole[name]) for name in counts},
        **{name: number(whole[name]) for name in ("seconds", "calls", "attempts", "tau", "steps")},
        "instruments": [
            {
                "label": cameras[row["instrument"]],
                **{name: int(row[name]) for name in ("chains", "converged")},
                **{name: float(row[name]) for name in ("seconds", "calls")},
            }
            for _, row in part[part["instrument"] != ALL].iterrows()
        ],
    }


def _method(key: str, part: pd.DataFrame, models: Mapping[str, str]) -> dict[str, Any]:
    first = part.iloc[0]
    label = models[key] if first["kind"] == "model" else LABELS[key]
    return {
        "key": key,
        "kind": first["kind"],
        "label": label,
        "systems": int(first["systems"]),
        "seconds": number(first["seconds"]),
    }


def _values(row: pd.Series) -> dict[str, float | None]:
    return {name: number(row[name]) for name in COLUMNS}


def _widths(refined: pd.DataFrame | None) -> dict[str, Any] | None:
    if refined is None or refined["width"].isna().all():
        return None
    return extremes(refined["width"].drop(OVERALL))


def _speed(
    runs: pd.DataFrame, models: Mapping[str, str], durations: Mapping[str, float], tested: int
) -> list[dict[str, Any]]:
    """Of a network against chains that converged, which are those that give an answer."""
    whole = runs[(runs["instrument"] == ALL) & (runs["converged"] > 0)]
    if whole.empty:
        return []
    chain = float((whole["seconds_converged"] * whole["converged"]).sum() / whole["converged"].sum())
    return [
        {"label": label, "chain": chain, **_against(chain, name, durations, tested)}
        for name, label in models.items()
        if all(key in durations for key in ("simulate", f"train/{name}", f"evaluate/{name}"))
    ]


def _against(chain: float, model: str, durations: Mapping[str, float], tested: int) -> dict[str, Any]:
    network = durations[f"evaluate/{model}"] / tested
    before = durations["simulate"] + durations[f"train/{model}"]
    whole = before / tested + network
    return {
        "network": network,
        "ratio": chain / network,
        "orders": math.log10(chain / network),
        "training": durations[f"train/{model}"],
        "simulation": durations["simulate"],
        "whole": whole,
        "whole_ratio": chain / whole,
        "tested": tested,
        "break_even": math.ceil(before / (chain - network)) if chain > network else None,
    }
