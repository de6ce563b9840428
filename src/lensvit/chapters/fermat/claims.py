"""What the paper prints and claims of time delays and H0: computed from the table, never written by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lensvit.chapters.fermat.thresholds import ALL, CENTRAL, MOST_UNPHYSICAL
from lensvit.chapters.quoting import number
from lensvit.io import tables

BIASED = 3.0  # observed standard errors by which the combined value is called off
HONEST = 1.25  # a factor between errors and sigmas up to which sigmas are called honest
NAMES = {"prior": "Priors", "refined": "Refined", "mcmc": "MCMC", "limit": "Limit"}
VALUES = (
    "unphysical", "error", "z", "combined", "predicted", "observed", "tension", "lenses", "lenses_observed", "sigma",
    "share_gamma", "share_theta_E", "sigma_gamma", "sigma_theta_E", "sigma_shear",
)  # fmt: skip


def fermat_numbers(table: Path, settings: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """The part ``fermat`` of numbers.json.

    Parameters
    ----------
    table : fermat.csv. settings : the config's part of it. labels : model to its label, as printed.

    Returns
    -------
    goal, astrometry, draws : of the config; systems : with a delay; central, most_unphysical, biased, honest : the
        thresholds.
    methods : one a method and treatment: key, treatment, label, systems, used, and the table's columns, None
        where there is none, numbers of lenses rounded up; biased (whether the combined value is off by 3 observed
        standard errors), honest (whether errors are within 25% of the sigmas; None without errors), out_of_reach
        (whether the combined value is biased by more than the goal).
    networks : one each: label, alone, images (entries of ``methods``), over_prior (sigma of the priors with the
        positions over the network's with them; None without), over_pixels (the latter over that of all pixels,
        the limit's where there is one, else the refined fits').
    prior, pixels : entries of ``methods``: of the priors; those of posteriors of all pixels.
    """
    content = tables.read_csv(table, "method", "images")
    methods = [_method(row, settings["goal"], labels) for _, row in content[content["images"] == ALL].iterrows()]
    prior = next((entry for entry in methods if entry["key"] == "prior"), None)
    pixels = [entry for entry in methods if entry["treatment"] == "pixels" and entry["used"]]
    sharpest = next((entry for key in ("limit", "refined", "mcmc") for entry in pixels if entry["key"] == key), None)
    return {
        **{key: settings[key] for key in ("goal", "astrometry", "draws")},
        "systems": max(entry["systems"] for entry in methods),
        "central": CENTRAL,
        "most_unphysical": MOST_UNPHYSICAL,
        "biased": BIASED,
        "honest": HONEST,
        "methods": methods,
        "networks": [
            _network(entry, _paired(entry, methods), prior, sharpest)
            for entry in methods
            if entry["treatment"] == "prediction"
        ],
        "prior": prior,
        "pixels": pixels,
    }


def _method(row: pd.Series, goal: float, labels: Mapping[str, str]) -> dict[str, Any]:
    values = {name: number(row[name]) for name in VALUES}
    for name in ("lenses", "lenses_observed"):  # whole ones
        values[name] = None if values[name] is None else max(math.ceil(values[name]), 1)
    tension, z = values["tension"], values["z"]
    biased = tension is not None and abs(tension) > BIASED
    return {
        "key": row["method"],
        "treatment": row["treatment"],
        "label": labels.get(row["method"], NAMES.get(row["method"], row["method"])),
        "systems": int(row["systems"]),
        "used": int(row["used"]),
        **values,
        "biased": biased,
        "out_of_reach": biased and abs(values["combined"]) > goal,
        "honest": None if z is None else 1 / HONEST < z < HONEST,
    }


def _paired(alone: Mapping[str, Any], methods: list[dict[str, Any]]) -> dict[str, Any]:
    return next(entry for entry in methods if entry["key"] == alone["key"] and entry["treatment"] == "images")


def _network(
    alone: Mapping[str, Any],
    images: Mapping[str, Any],
    prior: Mapping[str, Any] | None,
    sharpest: Mapping[str, Any] | None,
) -> dict[str, Any]:
    return {
        "label": alone["label"],
        "alone": alone,
        "images": images,
        "over_prior": _ratio(prior, images),
        "over_pixels": _ratio(images, sharpest),
    }


def _ratio(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> float | None:
    if first is None or second is None or first["sigma"] is None or not second["sigma"]:
        return None
    return first["sigma"] / second["sigma"]
