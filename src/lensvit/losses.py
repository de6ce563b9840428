"""Loss and scores on standardised targets.

A network's output (B, O) describes a Gaussian, diagonal or full: see :mod:`lensvit.posterior`.
"""

from __future__ import annotations

import math

from torch import Tensor

from lensvit.posterior import split

LOG_2_PI = math.log(2 * math.pi)


def gaussian_nll(output: Tensor, target: Tensor) -> Tensor:
    r"""Gaussian negative log-likelihood, averaged over batch and targets.

    Of a diagonal Gaussian, equation 3 of Huang et al. 2022:

    .. math:: \frac{1}{2} \left( e^{-s} (y - \hat y)^2 + s + \ln 2\pi \right)

    with the log-variance s. The paper sums over the K targets; the mean differs by the
    constant factor K and equals ``torch.nn.GaussianNLLLoss(full=True)``. Of a full one, likewise
    with the whitened residuals z in place of the first term.

    Parameters
    ----------
    output : (B, O)
    target : (B, K)
    """
    mean, log_variance, coupling = split(output, target.shape[-1])
    if coupling is None:
        return 0.5 * ((-log_variance).exp() * (target - mean) ** 2 + log_variance + LOG_2_PI).mean()
    residual = (-log_variance / 2).exp() * (target - mean)
    whitened = residual + (coupling @ residual.unsqueeze(-1)).squeeze(-1)
    return 0.5 * (whitened**2 + log_variance + LOG_2_PI).mean()


def mean_squared_error(output: Tensor, target: Tensor) -> Tensor:
    """The mean squared error of the means, over batch and targets."""
    return ((split(output, target.shape[-1])[0] - target) ** 2).mean()
