"""What a full covariance gains over a diagonal one, where a run has both of one network: for the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd

from lensvit.chapters.calibration.numbers import CovariancePair, CovarianceState, ModelName, ScoreChange
from lensvit.chapters.calibration.table import PREDICTED, RECALIBRATED
from lensvit.io import tables
from lensvit.io.files import read_json
from lensvit.jobs.seeds import derive
from lensvit.statistics import calibration
from lensvit.statistics.compare import is_clear
from lensvit.statistics.metrics import bootstrap_weights, mean_error


def covariance_pairs(joint: Path, models: Sequence[Path], labels: Mapping[str, str]) -> list[CovariancePair]:
    """What each pair of models says, see :func:`pairs`.

    Parameters
    ----------
    joint
        joint.csv.
    models
        models/{model}/config.json.
    labels
        Model to its label, as printed.

    Raises
    ------
    LensvitError
        If the table is absent or empty.
    """
    content = tables.read_csv(joint, "model", "id")
    parts = {
        (model, state): content[(content["model"] == model) & (content["state"] == state)].set_index("id").sort_index()
        for model in content["model"].unique()
        for state in (PREDICTED, RECALIBRATED)
    }
    return [_pair(parts, full, diagonal, labels) for full, diagonal in pairs(models)]


def _pair(
    parts: Mapping[tuple[str, str], pd.DataFrame], full: str, diagonal: str, labels: Mapping[str, str]
) -> CovariancePair:
    systems = len(parts[full, PREDICTED])
    return CovariancePair(
        full=ModelName(key=full, label=labels[full]),
        diagonal=ModelName(key=diagonal, label=labels[diagonal]),
        systems=systems,
        expected=calibration.expected_miscoverage(systems),
        predicted=_state(parts[full, PREDICTED], parts[diagonal, PREDICTED]),
        recalibrated=_state(parts[full, RECALIBRATED], parts[diagonal, RECALIBRATED]),
    )


def pairs(models: Sequence[Path]) -> list[tuple[str, str]]:
    """The pairs (full, diagonal) of models that differ in nothing but their covariance.

    Parameters
    ----------
    models
        models/{model}/config.json.
    """
    made = {path.parent.name: read_json(path, "network", "recipe") for path in models}
    recipes = {
        name: (content["network"]["posterior"], content["network"] | {"posterior": None}, content["recipe"])
        for name, content in made.items()
    }
    return [
        (one, other)
        for one, other in permutations(recipes, 2)
        if (recipes[one][0], recipes[other][0]) == ("full", "diagonal") and recipes[one][1:] == recipes[other][1:]
    ]


def _state(full: pd.DataFrame, diagonal: pd.DataFrame) -> CovarianceState:
    """The scores of two models from their rows, one a system, before or after recalibration."""
    diagonal = diagonal.loc[full.index]
    likelihoods = [table["nll_relative"].to_numpy() for table in (full, diagonal)]
    tarp = [table["tarp"].to_numpy() for table in (full, diagonal)]
    weights = bootstrap_weights(len(full), derive("miscoverage"))
    again = [calibration.miscoverage(values, weights) for values in tarp]  # (BOOTSTRAPS,) each
    return CovarianceState(
        nll=_likelihoods(likelihoods[0], likelihoods[1]),
        miscoverage=difference(
            float(calibration.miscoverage(tarp[0])),
            float(calibration.miscoverage(tarp[1])),
            float(np.std(again[0] - again[1], ddof=1)),
        ),
    )


def _likelihoods(full: np.ndarray, diagonal: np.ndarray) -> ScoreChange | None:
    change = full - diagonal
    if np.isnan(change).any():
        return None
    return difference(full.mean(), diagonal.mean(), float(mean_error(change)))


def difference(full: float, diagonal: float, error: float) -> ScoreChange:
    """Two scores that are small if good, and what their difference says.

    Parameters
    ----------
    full
        The score of the full covariance.
    diagonal
        The score of the diagonal covariance.
    error
        The paired standard error of their difference, from the finite test set.
    """
    change = full - diagonal
    return ScoreChange(
        full=float(full),
        diagonal=float(diagonal),
        change=float(change),
        error=float(error),
        effect="none" if not is_clear(change, error) else "better" if change < 0 else "worse",
    )
