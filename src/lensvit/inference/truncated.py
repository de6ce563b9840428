r"""Means and covariances of Gaussians that end at the limits of uniform priors.

Near a maximum on a limit, or near one, the log posterior is the parabola that touches it there, and the posterior a
Gaussian with the parabola's mean m, which may lie beyond the limit, and its covariance C, cut off at the limits. Along
one axis, with :math:`s^2 = C_{ii}`, :math:`a = (l - m_i) / s` and :math:`b = (u - m_i) / s` for the limits l and u, it
is a truncated normal (Johnson, Kotz & Balakrishnan 1994, Continuous Univariate Distributions 1, section 13.10.1),

.. math::
    \mathrm{E}\,x_i = m_i + s h, \qquad h = \frac{\varphi(a) - \varphi(b)}{\Phi(b) - \Phi(a)}, \qquad
    \mathrm{Var}\,x_i = s^2 \left[1 + \frac{a \varphi(a) - b \varphi(b)}{\Phi(b) - \Phi(a)} - h^2\right].

Where the gradient g at the limit is large, :math:`|g| s \gg 1`, this is an exponential, whose mean lies 1 / |g| inside
of the limit and whose standard deviation is 1 / |g|. The differences cancel there, so that the integrals are
done by a sum. The other parameters given :math:`x_i` are a Gaussian that does not know of the limit, so that

.. math::
    \mathrm{E}\,x_j = m_j + \frac{C_{ij}}{C_{ii}} (\mathrm{E}\,x_i - m_i), \qquad
    \mathrm{Cov}(x_j, x_k) = C_{jk} - \frac{C_{ij} C_{ik}}{C_{ii}} \left(1 - \frac{\mathrm{Var}\,x_i}{C_{ii}}\right).

For one limit this is exact. For limits on several axes, each is taken in turn with a Gaussian in place of the
others until nothing changes (expectation propagation, Cunningham, Hennig & Lacoste-Julien 2011, arXiv:1111.6832).

A search ends a little off its maximum, and within rounding of a limit. So what counts is not where it ended, but which
limits hold the maximum of the parabola there, and with which gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lensvit.inference.likelihood import Equations, covariance
from lensvit.inference.prior import LogPrior
from lensvit.inference.search import best_steps

HELD = 1e-6  # gradient at the parabola's maximum, in standard deviations of its axis, above which a limit holds it
FAR = 8.0  # distance of a limit from the mean at which it changes nothing [standard deviations]
NODES, WEIGHTS = np.polynomial.legendre.leggauss(80)
DEPTH = 40.0  # fall of the log density at which an integral ends
SWEEPS, SETTLED = 200, 1e-10  # most rounds through all axes, and the change that ends them [standard deviations]


def interval_moments(mean: float, variance: float, low: float, high: float) -> tuple[float, float]:
    """Mean and variance of a normal distribution between two limits.

    Parameters
    ----------
    mean
        Mean without limits, which may lie outside of them.
    variance
        Variance without limits.
    low
        Lower limit.
    high
        Upper limit, above the lower one.
    """
    sd = np.sqrt(variance)
    a, b = (low - mean) / sd, (high - mean) / sd
    mode = min(max(a, 0.0), b)
    length = 2 * DEPTH / (abs(mode) + np.sqrt(mode**2 + 2 * DEPTH))  # from the mode to where the density has fallen
    first, last = max(a - mode, -length), min(b - mode, length)
    place = (first + last) / 2 + (last - first) / 2 * NODES  # from the mode
    weight = WEIGHTS * np.exp(-place * (mode + place / 2))
    center = np.average(place, weights=weight)
    return mean + sd * (mode + center), variance * np.average((place - center) ** 2, weights=weight)


def truncated(
    mean: np.ndarray, spread: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean (P,) and covariance (P, P) of a Gaussian between limits; None if these are too far away to matter.

    Parameters
    ----------
    mean
        Mean (P,) without limits.
    spread
        Covariance (P, P) without limits.
    low
        Lower limits (P,), minus infinity for none.
    high
        Upper limits (P,), infinity for none.
    """
    reach = FAR * np.sqrt(np.diag(spread))
    axes = np.flatnonzero((mean - low < reach) | (high - mean < reach))
    if not len(axes):
        return None
    mean, spread = mean.copy(), spread.copy()
    precision, pull = np.zeros_like(mean), np.zeros_like(mean)  # of the Gaussian that stands for the limits of an axis
    for _ in range(SWEEPS if len(axes) > 1 else 1):
        largest = 0.0
        for i in axes:
            free = 1 / (1 / spread[i, i] - precision[i])  # without the limits of this axis
            center = free * (mean[i] / spread[i, i] - pull[i])
            inside, variance = interval_moments(center, free, low[i], high[i])
            precision[i], pull[i] = 1 / variance - 1 / free, inside / variance - center / free
            slope = spread[i] / spread[i, i]
            largest = max(largest, abs(inside - mean[i]) / np.sqrt(variance), abs(variance / spread[i, i] - 1))
            mean = mean + slope * (inside - mean[i])
            spread = spread + np.outer(slope, slope) * (variance - spread[i, i])
            spread[i] = spread[:, i] = slope * variance
        if largest < SETTLED:
            break
    return mean, spread


class Moments(NamedTuple):
    """Laplace's approximation of B posteriors, between the limits of the priors.

    Parameters
    ----------
    mean
        (B, 14) the maxima themselves, but for those near a limit.
    spread
        (B, 14, 14) covariances, NaN where there is no maximum.
    cut
        (B,) whether a limit is so near that it cuts off the posterior.
    """

    mean: Tensor
    spread: Tensor
    cut: Tensor


def posterior_moments(prior: LogPrior, best: Tensor, equations: Equations) -> Moments:
    """Mean and covariance of Laplace's approximation, between the limits of the priors.

    Parameters
    ----------
    prior
        The prior.
    best
        Coordinates (B, 14) of maxima of the posterior, NaN where there is none.
    equations
        Gradient and information of the log posterior there.
    """
    mean, spread = best.clone(), torch.full_like(equations.information, torch.nan)
    cut = torch.zeros(len(best), dtype=torch.bool)
    good = torch.nonzero(best.isfinite().all(1))[:, 0]
    if not len(good):
        return Moments(mean, spread, cut)
    spread[good] = covariance(equations.information[good])[0]
    bounds = prior.bounds(best[good])
    gradient, information = equations.gradient[good], equations.information[good]
    step, _ = best_steps(gradient, information, bounds)
    pull = gradient - (information @ step[..., None])[..., 0]  # left where only limits hold the parabola's maximum
    turned = bounds.axes @ spread[good] @ bounds.axes.mT
    held = (bounds.axes @ pull[..., None])[..., 0].abs() * turned.diagonal(dim1=1, dim2=2).sqrt() > HELD
    # along the axes that are free the search has ended, and what is left of the gradient is its tolerance
    along = torch.where(held, (bounds.axes @ gradient[..., None])[..., 0], 0.0)
    center = (turned @ along[..., None])[..., 0]
    for place, row in enumerate(good.tolist()):
        parts = (center, turned, bounds.low, bounds.high)
        moments = truncated(*(part[place].numpy() for part in parts))
        if moments is not None:
            offset, narrowed = (torch.as_tensor(part) for part in moments)
            axes = bounds.axes[place]
            mean[row], spread[row], cut[row] = best[row] + axes.mT @ offset, axes.mT @ narrowed @ axes, True
    return Moments(mean, spread, cut)
