"""Comparisons of methods on the same systems: how sure a difference is, and when it is clear.

Two methods that see the same systems err on the same ones. What counts is the scatter of their difference over
resampled sets of systems, which are the same sets for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lensvit.statistics.metrics import roots

# Two equals are off by more than three standard errors of their difference in 3 of 1,000 comparisons, and in no more
# than one of 20 tables of 18 comparisons is one of them (Bonferroni). The one threshold of everything called clear.
CLEAR = 3.0

Measure = Callable[[np.ndarray], np.ndarray]  # of mean squares (..., K): scores (..., R)


def is_clear(difference: float, error: float) -> bool:
    """Whether a difference is more than noise.

    Parameters
    ----------
    difference
        Of two scores, or of a score from what is expected.
    error
        The standard error of the difference, in its unit.
    """
    return bool(abs(difference) > CLEAR * error)


@dataclass(frozen=True)
class Scores:
    """Scores of one method, also on resampled sets of systems.

    Parameters
    ----------
    values
        (R,) the scores.
    again
        (B, R) those of the resampled sets; NaN for a set that has none of the method's systems, and if it has only one.
    scatter
        (R,) by how much another training of the method would differ, as a standard deviation.
    """

    values: np.ndarray
    again: np.ndarray
    scatter: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """Standard errors (R,): of the finite set of systems, and between trainings."""
        return np.hypot(_deviation(self.again), self.scatter)


class Comparison(NamedTuple):
    """What two methods' scores say together, (R,) each.

    Parameters
    ----------
    difference
        The first method's scores minus those of the second.
    error
        Standard errors of the differences.
    ratio
        The first method's scores over those of the second.
    ratio_error
        Standard errors of the ratios.
    """

    difference: np.ndarray
    error: np.ndarray
    ratio: np.ndarray
    ratio_error: np.ndarray


def scored(
    square: np.ndarray, weights: np.ndarray, measure: Measure = roots, scatter: np.ndarray | float = 0.0
) -> Scores:
    """Scores of a method from its squared errors.

    Parameters
    ----------
    square
        (n, K) squared errors of each system.
    weights
        (B, n) weights of the systems in resampled sets, see :func:`lensvit.statistics.metrics.bootstrap_weights` and
        :func:`of_rows`. Methods that are compared have the same.
    measure
        The scores (..., R) of mean squares (..., K).
    scatter
        Relative standard deviation of the scores between trainings, (R,) or the same for all; 0: it is not known, or
        nothing was trained.
    """
    values = measure(square.mean(0))
    # a single system says nothing of the scatter of systems
    again = measure(weights @ square) if len(square) > 1 else np.full((len(weights), *values.shape), np.nan)
    return Scores(values, again, values * scatter)


def compared(first: Scores, second: Scores) -> Comparison:
    """The differences and ratios of two methods, whose scores are of the same resampled sets of systems."""
    ratio = first.values / second.values
    between = np.hypot(first.scatter, second.scatter)
    relative = np.hypot(first.scatter / first.values, second.scatter / second.values)
    return Comparison(
        difference=first.values - second.values,
        error=np.hypot(_deviation(first.again - second.again), between),
        ratio=ratio,
        ratio_error=np.hypot(_deviation(first.again / second.again), ratio * relative),
    )


def _deviation(again: np.ndarray) -> np.ndarray:
    """Standard deviation over the resampled sets that have a value; NaN where none has."""
    some = again[~np.isnan(again).all(tuple(range(1, again.ndim)))]
    return some.std(0, ddof=1) if len(some) > 1 else np.full(again.shape[1:], np.nan)


def of_rows(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Weights (B, m) of some of the systems of (B, n), so that a method that has fewer systems is paired with others.

    Parameters
    ----------
    weights
        (B, n) weights of all systems.
    rows
        (m,) numbers of the method's systems among all.

    Returns
    -------
    Rows that sum to 1; a set that has none of these systems has NaN.
    """
    some = weights[:, rows]
    total = some.sum(1, keepdims=True)
    return some / np.where(total > 0, total, np.nan)


def relative_scatter(trainings: Sequence[np.ndarray]) -> np.ndarray:
    """The relative standard deviation between trainings, from all methods together, as the few of each say little.

    Parameters
    ----------
    trainings
        For each method (S, ...) its scores, S being its number of trainings.

    Returns
    -------
    (...), NaN where no method was trained twice.
    """
    logarithms = [np.log(values) for values in trainings]
    freedom = sum(len(values) - 1 for values in logarithms)
    total = sum(len(values) * np.var(values, axis=0) for values in logarithms)
    return np.sqrt(total / freedom) if freedom else np.full(np.shape(total), np.nan)
