"""Scores of point predictions: root mean squared errors, and how sure they are."""

from __future__ import annotations

import numpy as np

BOOTSTRAPS = 1000  # resampled sets of systems


def rmse(error: np.ndarray) -> np.ndarray:
    """Root mean squared error of each target.

    Parameters
    ----------
    error
        (n, K) prediction minus truth, in physical units.

    Returns
    -------
    (K,)
    """
    return np.sqrt(np.mean(np.square(error), axis=0))


def overall(per_target: np.ndarray) -> np.ndarray:
    """The overall error: the root of the SUM over targets of the mean squared errors.

    Both columns of the published Table 1 add up like this, to 0.1232 and 0.1476.

    Parameters
    ----------
    per_target
        (..., K) root mean squared errors.
    """
    return np.sqrt(np.sum(np.square(per_target), axis=-1))


def roots(square: np.ndarray) -> np.ndarray:
    """Root mean squared errors (..., 1 + K), overall first, of mean squared errors (..., K)."""
    per_target = np.sqrt(square)
    return np.concatenate([overall(per_target)[..., None], per_target], axis=-1)


def standardised(square: np.ndarray, scatter: np.ndarray) -> np.ndarray:
    """The standardised error (...): the root of the MEAN over targets of mean squared errors in units of a scatter.

    Predicting the prior's mean has 1, if the scatter is that of the prior.

    Parameters
    ----------
    square
        (..., K) mean squared errors.
    scatter
        (K,) standard deviations.
    """
    return np.sqrt(np.mean(square / np.square(scatter), axis=-1))


def with_overall(error: np.ndarray) -> np.ndarray:
    """The root mean squared errors (1 + K,), overall first, of errors (n, K)."""
    return roots(np.mean(np.square(error), axis=0))


def root_mean_square(square: np.ndarray) -> np.ndarray:
    """Roots (..., 1 + K) of mean squares (..., K) without a unit, and before them that of their mean."""
    return np.sqrt(np.concatenate([square.mean(-1, keepdims=True), square], axis=-1))


def mean_error(values: np.ndarray) -> np.ndarray:
    """The standard error (...) of the mean over systems of values (n, ...); NaN for a single system."""
    if len(values) < 2:
        return np.full(values.shape[1:], np.nan)[()]
    return values.std(0, ddof=1) / np.sqrt(len(values))


def bootstrap_weights(systems: int, seed: int | np.random.Generator) -> np.ndarray:
    """Weights of systems in resampled sets, (BOOTSTRAPS, ``systems``), each row summing to 1.

    Parameters
    ----------
    systems
        How many there are, and how many each set has.
    seed
        A seed, or a generator that is drawn from further.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(systems, np.full(systems, 1 / systems), size=BOOTSTRAPS) / systems


def bootstrap_rows(systems: int, seed: int | np.random.Generator) -> np.ndarray:
    """Rows of systems in resampled sets, (BOOTSTRAPS, ``systems``), for statistics that take no weights.

    Parameters
    ----------
    systems
        How many there are, and how many each set has.
    seed
        A seed, or a generator that is drawn from further.
    """
    return np.random.default_rng(seed).integers(systems, size=(BOOTSTRAPS, systems))
