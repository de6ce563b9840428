"""What a full posterior gains over a diagonal one, where a run has both of one network: for the paper."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lensvit.chapters.calibration.table import PREDICTED, RECALIBRATED
from lensvit.io import tables
from lensvit.jobs.seeds import derive
from lensvit.statistics import calibration
from lensvit.statistics.compare import CLEAR
from lensvit.statistics.metrics import BOOTSTRAPS


def posterior_numbers(joint: Path, models: Sequence[Path], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """The part ``posteriors`` of numbers.json: one entry a pair of models, see :func:`pairs`.

    Parameters
    ----------
    joint : joint.csv.
    models : models/{model}/config.json.
    labels : model to its label, as printed.

    Returns
    -------
    full, diagonal : key and label of the two models.
    systems : of the test set.
    expected : the miscoverage of a calibrated model with so many.
    predicted, recalibrated : nll and miscoverage, see :func:`difference`; nll is None with too few draws.
    """
    content = tables.read_csv(joint, "model", "id")
    rows = content.set_index(["model", "state", "id"]).sort_index()
    found = []
    for full, diagonal in pairs(models):
        states = {
            name: _state(rows.loc[(full, name)], rows.loc[(diagonal, name)]) for name in (PREDICTED, RECALIBRATED)
        }
        systems = len(rows.loc[(full, PREDICTED)])
        found.append(
            {
                "full": {"key": full, "label": labels[full]},
                "diagonal": {"key": diagonal, "label": labels[diagonal]},
                "systems": systems,
                "expected": calibration.expected_miscoverage(systems),
                **states,
            }
        )
    return found


def pairs(models: Sequence[Path]) -> list[tuple[str, str]]:
    """(full, diagonal) of all models that differ in nothing but that, by their config.json."""
    made = {path.parent.name: json.loads(Path(path).read_text(encoding="utf-8")) for path in models}
    recipes = {
        name: (content["network"]["posterior"], content["network"] | {"posterior": None}, content["recipe"])
        for name, content in made.items()
    }
    return [
        (one, other)
        for one, other in permutations(recipes, 2)
        if (recipes[one][0], recipes[other][0]) == ("full", "diagonal") and recipes[one][1:] == recipes[other][1:]
    ]


def _state(full: pd.DataFrame, diagonal: pd.DataFrame) -> dict[str, Any]:
    """Nll and miscoverage of two models' rows, one a system, before or after recalibration."""
    diagonal = diagonal.loc[full.index]
    likelihoods = (table["nll_relative"].to_numpy() for table in (full, diagonal))
    tarp = [table["tarp"].to_numpy() for table in (full, diagonal)]
    rng = np.random.default_rng(derive("miscoverage"))
    weights = rng.multinomial(len(full), np.full(len(full), 1 / len(full)), size=BOOTSTRAPS) / len(full)
    again = [calibration.miscoverage(values, weights) for values in tarp]  # (BOOTSTRAPS,) each
    return {
        "nll": _likelihoods(*likelihoods),
        "miscoverage": difference(*map(calibration.miscoverage, tarp), np.std(again[0] - again[1], ddof=1)),
    }


def _likelihoods(full: np.ndarray, diagonal: np.ndarray) -> dict[str, Any] | None:
    change = full - diagonal
    if np.isnan(change).any():
        return None
    return difference(full.mean(), diagonal.mean(), change.std(ddof=1) / np.sqrt(len(change)))


def difference(full: float, diagonal: float, error: float) -> dict[str, Any]:
    """Two scores that are small if good, and what their difference says.

    full, diagonal; change, error : of the full posterior against the diagonal one, with the paired standard error
    from the finite test set.
    effect : "better", "worse" or "none": whether that change is clear.
    """
    change = full - diagonal
    effect = "none" if abs(change) <= CLEAR * error else "better" if change < 0 else "worse"
    scores = {"full": full, "diagonal": diagonal, "change": change, "error": error}
    return {**{name: float(value) for name, value in scores.items()}, "effect": effect}
