"""Receiver operating characteristics (ROC): how well a score tells shifted systems from ordinary ones.

The area under the curve is the probability that of an ordinary and a shifted system the shifted one has the larger
score (Hanley & McNeil 1982); it is 0.5 by chance.
"""

from __future__ import annotations

import numpy as np


def wins(ordinary: np.ndarray, shifted: np.ndarray) -> np.ndarray:
    """Whether the shifted system of a pair has the larger score, (m, n): 1, 0, or 1/2 for a tie.

    Parameters
    ----------
    ordinary
        (n,) scores of ordinary systems.
    shifted
        (m,) scores of shifted systems.
    """
    return (shifted[:, None] > ordinary) + 0.5 * (shifted[:, None] == ordinary)


def area(ordinary: np.ndarray, shifted: np.ndarray) -> float:
    """Area under the curve of scores of ordinary (n,) and shifted (m,) systems."""
    return float(wins(ordinary, shifted).mean())


def area_error(ordinary: np.ndarray, shifted: np.ndarray, weights: tuple[np.ndarray, np.ndarray]) -> float:
    """Bootstrap standard error of :func:`area`; 0 where the scores of the two do not overlap.

    Parameters
    ----------
    ordinary
        (n,) scores of ordinary systems.
    shifted
        (m,) scores of shifted systems.
    weights
        (B, n) weights of the ordinary and (B, m) of the shifted systems in each resampled set, each row summing to 1.
    """
    of_ordinary, of_shifted = weights
    areas = ((of_shifted @ wins(ordinary, shifted)) * of_ordinary).sum(1)
    return float(areas.std(ddof=1))


def curve(ordinary: np.ndarray, shifted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of ordinary and of shifted systems whose score reaches a falling threshold, from (0, 0) to (1, 1).

    Parameters
    ----------
    ordinary
        (n,) scores of ordinary systems.
    shifted
        (m,) scores of shifted systems.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        Shares of the ordinary and of the shifted systems, one value a threshold.
    """
    thresholds = np.unique(np.concatenate([ordinary, shifted]))[::-1]
    return _shares(ordinary, thresholds), _shares(shifted, thresholds)


def _shares(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Shares of the scores that reach each threshold, after a 0 for a threshold that no score reaches."""
    reached = np.searchsorted(np.sort(-scores), -thresholds, side="right")
    return np.concatenate([[0.0], reached / len(scores)])
