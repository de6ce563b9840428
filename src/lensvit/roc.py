"""Receiver operating characteristics: how well a score tells shifted systems from ordinary ones.

The area under the curve is the probability that a shifted system has the larger score of a pair (Hanley &
McNeil 1982); 0.5 is chance.
"""

from __future__ import annotations

import numpy as np


def wins(ordinary: np.ndarray, shifted: np.ndarray) -> np.ndarray:
    """(m, n) whether each shifted system's score (m,) is the larger one beside each ordinary one's (n,); 1/2 for a tie."""
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
    """Shares of ordinary and of shifted systems whose score reaches a threshold, from the highest one down; from (0, 0)."""
    thresholds = np.unique(np.concatenate([ordinary, shifted]))[::-1]
    shares = (np.searchsorted(np.sort(-scores), -thresholds, side="right") / len(scores) for scores in (ordinary, shifted))
    first, second = (np.concatenate([[0.0], share]) for share in shares)
    return first, second
