"""Scores of point predictions: root mean squared errors, and how sure they are."""

from __future__ import annotations

import numpy as np

BOOTSTRAPS = 1000


def rmse(error: np.ndarray) -> np.ndarray:
    """Root mean squared error of each target.

    Parameters
    ----------
    error : (n, K) prediction minus truth, in physical units.

    Returns
    -------
    (K,)
    """
    return np.sqrt(np.mean(np.square(error), axis=0))


def overall(per_target: np.ndarray) -> np.ndarray:
    """The overall error: the root of the SUM over targets of the mean squared errors.

    So do both columns of the published Table 1 add up: 0.1232 and 0.1476.

    Parameters
    ----------
    per_target : (..., K) root mean squared errors.
    """
    return np.sqrt(np.sum(np.square(per_target), axis=-1))


def with_overall(error: np.ndarray) -> np.ndarray:
    """(n, K) errors to the (1 + K,) column of Table 1: overall first."""
    per_target = rmse(error)
    return np.concatenate([[overall(per_target)], per_target])


def standard_errors(error: np.ndarray, seed: int) -> np.ndarray:
    """Bootstrap standard errors of :func:`with_overall` over the test systems.

    Parameters
    ----------
    error : (n, K)

    Returns
    -------
    (1 + K,)
    """
    rng = np.random.default_rng(seed)
    square = np.square(error)
    weights = rng.multinomial(len(error), np.full(len(error), 1 / len(error)), size=BOOTSTRAPS) / len(error)
    per_target = np.sqrt(weights @ square)  # (BOOTSTRAPS, K)
    return np.std(np.column_stack([overall(per_target), per_target]), axis=0, ddof=1)
