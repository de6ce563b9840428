"""What the samples of ensembles of walkers are worth, and whether two ensembles agree (Vehtari et al. 2021).

All is of the ranks of the samples, so that heavy tails and other shapes do no harm. The functions of arviz-stats take
independent chains. An ensemble is one, and its walkers are not: those moved by differential evolution know of each
other. So the ensemble is one chain where ensembles are compared. Its effective size is that of the walkers taken as
chains, since nothing else can use that many places are sampled at each step; only a tenth of the steps couples them
(:mod:`lensvit.inference.annealed_ensemble`), and emcee's autocorrelation time, which stands beside it, makes the same
assumption. Means of Gaussians by ensembles of 300 steps scatter from run to run as the size says, to within a tenth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from arviz_stats.base import array_stats

JUDGED = 4000  # most places of each ensemble that are ranked
TAILS = (0.05, 0.95)  # quantiles of which the tails' effective size is the smaller


class EffectiveSizes(NamedTuple):
    """Numbers of independent draws that a sample is worth, each of the parameter where it is smallest.

    Parameters
    ----------
    bulk
        For the place of the posterior.
    tail
        For its 5% and 95% quantiles.
    """

    bulk: float
    tail: float


def rank_r_hat(ensembles: Sequence[np.ndarray]) -> float:
    """The largest rank-normalised split R-hat of the d values of ensembles: 1 if these agree, else more.

    Parameters
    ----------
    ensembles
        Places (N, W, d) that W walkers passed in N steps, of each ensemble. The halves of each are compared too.
    """
    steps = min(max(1, JUDGED // ensembles[0].shape[1]), *map(len, ensembles))  # of all walkers
    some = [ensemble[np.linspace(0, len(ensemble) - 1, steps).round().astype(int)] for ensemble in ensembles]
    flat = np.stack([places.reshape(-1, places.shape[-1]) for places in some])
    return float(np.max(array_stats.rhat(flat, chain_axis=0, draw_axis=1, method="rank")))


def effective_sizes(places: np.ndarray) -> EffectiveSizes:
    """Effective sizes of an ensemble, with its walkers as chains.

    Parameters
    ----------
    places
        Places (N, W, d) that W walkers passed in N steps.
    """
    bulk = array_stats.ess(places, chain_axis=1, draw_axis=0, method="bulk")
    tail = array_stats.ess(places, chain_axis=1, draw_axis=0, method="tail", prob=TAILS)
    return EffectiveSizes(float(np.min(bulk)), float(np.min(tail)))
