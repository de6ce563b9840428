"""Scores of predictions: root-mean-square errors, their standard errors, the prior as a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lensvit.parameters import TARGET_NAMES

ROWS = ("overall", *TARGET_NAMES)
RESAMPLES = 1000
SEED = 0  # of the bootstrap: all models are scored on the same resamples


def rmse(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Root-mean-square error of each target, in its unit: (n, K) and (n, K) to (K,)."""
    return np.sqrt(np.mean((prediction - truth) ** 2, axis=0))


def overall(errors: np.ndarray) -> np.ndarray:
    """The paper's overall error: the root of the SUM over targets of the mean squared errors.

    ``errors`` (..., K) are RMSEs, each in its unit; the result has the shape (...).
    """
    return np.sqrt(np.sum(np.square(errors), axis=-1))


def scores(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Overall error, then the RMSE of each target: (n, K) and (n, K) to (1 + K,)."""
    return _with_overall(rmse(prediction, truth))


def standard_errors(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Bootstrap standard errors of :func:`scores`: (n, K) and (n, K) to (1 + K,).

    The systems are drawn with replacement ``RESAMPLES`` times, from a fixed seed.
    """
    rng = np.random.default_rng(SEED)
    squares = (prediction - truth) ** 2  # (n, K)
    count = len(squares)
    resampled = [
        np.bincount(rng.integers(count, size=count), minlength=count) @ squares / count for _ in range(RESAMPLES)
    ]
    return _with_overall(np.sqrt(resampled)).std(axis=0, ddof=1)


def prior_mean(scaler: Mapping[str, Mapping[str, float]], count: int) -> np.ndarray:
    """(count, 8): the training set's mean as the prediction of every system, in physical units."""
    return np.tile([scaler["mean"][name] for name in TARGET_NAMES], (count, 1))


def comparison(table: pd.DataFrame, models: Sequence[str]) -> dict[str, dict]:
    """Each row of Table 1 read: which model is best, and by which factor each beats the prior.

    Parameters
    ----------
    table : Table 1, with a column ``target``, one a model, and ``prior``.
    models : keys of the models to compare.

    Returns
    -------
    target -> ``best``, the model with the smallest error, and ``gain``, model -> error of
    the prior over that of the model.
    """
    errors = table.set_index("target")
    return {
        target: {
            "best": min(models, key=lambda model: row[model]),
            "gain": {model: float(row["prior"] / row[model]) for model in models},
        }
        for target, row in errors.iterrows()
    }


def _with_overall(errors: np.ndarray) -> np.ndarray:
    """(..., K) to (..., 1 + K)."""
    return np.concatenate([overall(errors)[..., None], errors], axis=-1)
