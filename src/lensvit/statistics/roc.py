"""Receiver operating characteristics: how well a score tells shifted systems from ordinary ones.

The area under the curve is the probability that a shifted system has the larger score of a pair (Hanley &
McNeil 1982); 0.5 is chance.
"""

from __future__ import annotations

import numpy as np


def wins(ordinary: np.ndarray, shifted: np.ndarray) -> np.ndarray:
    """(m, n) whether a shifted system (m,) has the larger score beside an ordinary one (n,); 1/2 for a tie."""
    return (shifted[:, None] > ordinary) + 0.5 * (shifted[:, None] == ordinary)


def area(ordinary: np.ndarray, shifted: np.ndarray) -> float:
    """Area under the curve."""
    return float(wins(ordinary, shifted).mean())


def area_error(ordinary: np.ndarray, shifted: np.ndarray, weights: tuple[np.ndarray, np.ndarray]) -> float:
    """Bootstrap standard error of :func:`area`; 0 where the two do not overlap.

    weights : (B, n) of the ordinary and (B, m) of the shifted systems, each row summing to 1.
    """
    of_ordinary, of_shifted = weights
    areas = ((of_shifted @ wins(ordinary, shifted)) * of_ordinary).sum(1)
    return float(areas.std(ddof=1))


def curve(ordinary: np.ndarray, shifted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of ordinary and of shifted systems whose score reaches a threshold, which falls; from (0, 0) to (1, 1)."""
    thresholds = np.unique(np.concatenate([ordinary, shifted]))[::-1]
    return _shares(ordinary, thresholds), _shares(shifted, thresholds)


def _shares(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Of the scores that reach each of the thresholds, with the 0 of none before."""
    reached = np.searchsorted(np.sort(-scores), -thresholds, side="right")
    return np.concatenate([[0.0], reached / len(scores)])
