"""The part of the page's data that is about test systems: what each is, what each method says of it, its pictures."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lensvit.page.pictures import Geometry, Sheet
from lensvit.page.posteriors import Method
from lensvit.parameters import TARGET_NAMES


class State(NamedTuple):
    """What became of each system that a method was tried on.

    Parameters
    ----------
    good
        Id to whether the result counts.
    why
        Id to the reason why it does not; "" for none.
    """

    good: Mapping[str, bool]
    why: Mapping[str, str]


def state(table: pd.DataFrame, flag: str) -> State:
    """What became of the systems of a table by id, whose column ``flag`` says whether a result counts."""
    reasons = table["reason"] if "reason" in table else [""] * len(table)
    good, why = map(bool, table[flag]), map(str, reasons)
    return State(dict(zip(table.index, good, strict=True)), dict(zip(table.index, why, strict=True)))


def floats(values: np.ndarray) -> str:
    """Numbers as float32, little endian, in base64: exact to a ten millionth, and a third of their text."""
    return b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def content(
    rows: pd.DataFrame,
    methods: Sequence[Method],
    states: Mapping[str, State],
    sheets: Sequence[Sheet],
    psfs: Mapping[str, Geometry],
) -> dict[str, Any]:
    """All of it, as JSON has it.

    Parameters
    ----------
    rows
        Rows of the catalogue that are shown, n of them.
    methods
        What each method says of them.
    states
        "refined" and "importance" to what became of the systems, where the run has these.
    sheets
        The pictures.
    psfs
        PSF to what its pictures show.

    Returns
    -------
    dict
        ``id``, ``psf`` (place in ``psfs``), ``images``, ``noise`` [counts/s per pixel], ``truth`` (n, K) as
        :func:`floats`; ``picture``: for each system its sheet, its place in it, and whether it has a model;
        ``states``: for each system null (not tried), true, false or the reason; ``blocks``: for each method the
        ``rows`` that it says something of and their numbers, see :attr:`lensvit.page.posteriors.Method.block`, as
        :func:`floats`.
    """
    places = {name: place for place, name in enumerate(rows["id"])}
    names = list(psfs)
    pictures: list[list[int] | None] = [None] * len(rows)
    for number, sheet in enumerate(sheets):
        for name, modelled, place in zip(sheet.ids, sheet.modelled, sheet.places, strict=True):
            pictures[places[name]] = [number, place, int(modelled)]
    return {
        "id": list(rows["id"]),
        "psf": [names.index(name) for name in rows["psf"]],
        "images": [int(count) for count in rows["n_images"]],
        "noise": [float(f"{sigma:.3g}") for sigma in rows["sigma_bkg"]],
        "truth": floats(rows[list(TARGET_NAMES)].to_numpy(dtype=float)),
        "picture": pictures,
        "states": {key: [_said(entry, name) for name in rows["id"]] for key, entry in states.items()},
        "blocks": {
            method.key: {"rows": [places[name] for name in method.ids], "values": floats(method.block)}
            for method in methods
        },
    }


def _said(entry: State, name: str) -> bool | str | None:
    """None where the system was not tried, true where it counts, otherwise why it does not, or false."""
    if name not in entry.good:
        return None
    return True if entry.good[name] else entry.why[name] or False
