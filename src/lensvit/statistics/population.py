r"""Mean and scatter of a property of many objects, from the posterior of each one.

Each posterior was drawn with a prior of its own that is not that of the population. Divided out, samples
:math:`x_{ik}` of object i count by the density of the population over that of the prior (Hogg, Myers & Bovy 2010;
Foreman-Mackey, Hogg & Morton 2014):

.. math:: p(d \mid \mu, s) \propto \prod_i \frac{1}{K_i} \sum_k \frac{N(x_{ik} \mid \mu, s)}{\pi_i(x_{ik})}

The density of the population is Gaussian, and both of its parameters have flat priors. How objects were selected is
not modelled: the result is that of the selected ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

STEPS = 61  # of each axis of the grid
MOST = 400  # samples of each object that are used, evenly from all of them
WIDE = 4.0  # reach of the grid, in errors of what moments say
EFFECTIVE = 10.0  # samples that must carry the weight of each object


class Population(NamedTuple):
    """Mean and scatter of a population.

    Parameters
    ----------
    mean
        Posterior mean of the population's mean.
    mean_error
        Its standard deviation.
    scatter
        Posterior median of the population's standard deviation.
    scatter_low, scatter_high
        The central 68% of it.
    least_effective
        Effective number of samples of the object whose weights are the least even, at the posterior's means.
    """

    mean: float
    mean_error: float
    scatter: float
    scatter_low: float
    scatter_high: float
    least_effective: float

    @property
    def is_resolved(self) -> bool:
        """Whether the samples of each object reach to where the population is."""
        return self.least_effective >= EFFECTIVE


def population(samples: Sequence[np.ndarray], log_priors: Sequence[np.ndarray]) -> Population:
    """Mean and scatter of a population on a grid.

    Parameters
    ----------
    samples
        Samples (K,) of each of three or more objects, of equal weight.
    log_priors
        Logarithm of the density of the prior at each sample.

    Raises
    ------
    ValueError
        If there are fewer than three objects.
    """
    if len(samples) < 3:
        raise ValueError(f"{len(samples)} objects are no population; three are the least")
    steps = [-(-len(one) // MOST) for one in samples]
    samples = [np.asarray(one, dtype=float)[::step] for one, step in zip(samples, steps, strict=True)]
    log_priors = [np.asarray(one, dtype=float)[::step] for one, step in zip(log_priors, steps, strict=True)]
    means, widths = (np.array([measure(one) for one in samples]) for measure in (np.mean, np.std))
    spread = float(np.sqrt(means.var(ddof=1) + np.mean(widths**2)))
    reach = WIDE * spread / np.sqrt(len(samples)) + 2 * float(np.median(widths))
    center = np.linspace(np.median(means) - reach, np.median(means) + reach, STEPS)
    scatter = np.linspace(1e-3 * spread, WIDE * spread, STEPS)
    density = np.zeros((STEPS, STEPS))
    for one, prior in zip(samples, log_priors, strict=True):
        density += _object(one, prior, center, scatter)
    mass = np.exp(density - density.max())
    mass /= mass.sum()
    of_center, of_scatter = mass.sum(1), mass.sum(0)
    mean = float(of_center @ center)
    low, median, high = np.interp([0.16, 0.5, 0.84], np.cumsum(of_scatter), scatter)
    least = min(_effective(one, prior, mean, float(median)) for one, prior in zip(samples, log_priors, strict=True))
    error = float(np.sqrt(of_center @ (center - mean) ** 2))
    return Population(mean, error, float(median), float(low), float(high), least)


def _object(samples: np.ndarray, log_prior: np.ndarray, center: np.ndarray, scatter: np.ndarray) -> np.ndarray:
    """Logarithm of the likelihood of one object on the grid (centers, scatters), but for a constant.

    The sum over samples is noisy where the population is narrower than they are apart. The posterior without its prior
    is therefore smoothed by a kernel as density estimates have it (Silverman 1986), whose width is taken off the
    samples' scatter about their mean, so that this keeps mean and variance.
    """
    width = 0.9 * samples.std() * len(samples) ** -0.2
    shrink = np.sqrt(max(1 - (width / max(samples.std(), 1e-300)) ** 2, 0.0))
    places = samples.mean() + shrink * (samples - samples.mean())
    wide = np.sqrt(scatter**2 + width**2)
    z = (places[:, None, None] - center[:, None]) / wide
    return logsumexp(-0.5 * z**2 - log_prior[:, None, None], axis=0) - np.log(wide)


def _effective(samples: np.ndarray, log_prior: np.ndarray, mean: float, scatter: float) -> float:
    """Effective number of the samples of one object in a population."""
    width = 0.9 * samples.std() * len(samples) ** -0.2
    log_weight = -0.5 * ((samples - mean) / np.hypot(scatter, width)) ** 2 - log_prior
    weight = np.exp(log_weight - log_weight.max())
    return float(weight.sum() ** 2 / (weight**2).sum())
