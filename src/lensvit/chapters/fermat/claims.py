"""What the paper prints and claims of time delays and H0: computed from the table, never written by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from lensvit.chapters.fermat.numbers import DelayMethod, DelayNetwork, FermatNumbers, Part
from lensvit.chapters.fermat.thresholds import CENTRAL, MOST_UNPHYSICAL
from lensvit.chapters.grouping import ALL
from lensvit.chapters.quoting import METHOD_LABELS, Context, Row, number, rows_of
from lensvit.io.tables import read_csv
from lensvit.statistics.compare import is_clear

HONEST = 1.25  # a factor between errors and sigmas up to which sigmas are called honest
PIXELS = ("limit", "importance", "refined", "mcmc")  # methods that use all pixels, the most complete one first
VALUES = (
    "unphysical", "error", "error_spread", "z", "z_spread", "combined", "predicted", "observed", "tension", "sigma",
    "share_gamma", "share_theta_E", "sigma_gamma", "sigma_theta_E", "sigma_shear",
)  # fmt: skip


def numbers(tables: Sequence[Path], context: Context) -> Part:
    """The chapter's part of numbers.json.

    Parameters
    ----------
    tables
        fermat.csv.
    context
        The run.

    Raises
    ------
    LensvitError
        If the table is absent or empty.
    """
    (table,) = tables
    settings = context.config["fermat"]
    rows = [row for row in rows_of(read_csv(table, "method", "images")) if row["images"] == ALL]
    methods = [_method(row, settings["goal"], context.labels) for row in rows]
    prior = next((entry for entry in methods if entry.key == "prior"), None)
    pixels = [entry for entry in methods if entry.treatment == "pixels" and entry.used]
    sharpest = next((entry for key in PIXELS for entry in pixels if entry.key == key), None)
    fermat = FermatNumbers(
        goal=settings["goal"],
        astrometry=settings["astrometry"],
        draws=settings["draws"],
        draw_error=(2 * (settings["draws"] - 1)) ** -0.5,
        systems=max(entry.systems for entry in methods),
        central=CENTRAL,
        most_unphysical=MOST_UNPHYSICAL,
        honest=HONEST,
        methods=methods,
        networks=[
            _network(entry, _paired(entry, methods), prior, sharpest)
            for entry in methods
            if entry.treatment == "prediction"
        ],
        prior=prior,
        pixels=pixels,
        sharpest=sharpest.label if sharpest else None,
    )
    return Part(fermat=fermat)


def _method(row: Row, goal: float, labels: Mapping[str, str]) -> DelayMethod:
    values = {name: number(row[name]) for name in VALUES}
    combined, tension, observed = (values[name] for name in ("combined", "tension", "observed"))
    biased = tension is not None and is_clear(tension, 1.0)
    excess = None if combined is None else abs(combined) - goal
    return DelayMethod(
        key=row["method"],
        treatment=row["treatment"],
        label=labels.get(row["method"], METHOD_LABELS.get(row["method"], row["method"])),
        systems=int(row["systems"]),
        used=int(row["used"]),
        **values,
        lenses=_whole(row["lenses"]),
        lenses_observed=_whole(row["lenses_observed"]),
        biased=biased,
        out_of_reach=excess is not None and excess > 0 and observed is not None and is_clear(excess, observed),
        honest=_honest(values["z"], values["z_spread"]),
    )


def _honest(z: float | None, error: float | None) -> bool | None:
    """Whether sigmas are as large as errors; None where z is far from one and not clearly so."""
    if z is None or 1 / HONEST < z < HONEST:
        return None if z is None else True
    return False if error is not None and is_clear(z - 1, error) else None


def _whole(lenses: float) -> int | None:
    """A number of lenses, rounded up; None where there is none."""
    return None if pd.isna(lenses) else max(math.ceil(lenses), 1)


def _paired(alone: DelayMethod, methods: Sequence[DelayMethod]) -> DelayMethod:
    return next(entry for entry in methods if entry.key == alone.key and entry.treatment == "images")


def _network(
    alone: DelayMethod, images: DelayMethod, prior: DelayMethod | None, sharpest: DelayMethod | None
) -> DelayNetwork:
    return DelayNetwork(
        label=alone.label,
        alone=alone,
        images=images,
        over_prior=_ratio(prior, images),
        over_pixels=_ratio(images, sharpest),
    )


def _ratio(first: DelayMethod | None, second: DelayMethod | None) -> float | None:
    if first is None or second is None or first.sigma is None or not second.sigma:
        return None
    return first.sigma / second.sigma
