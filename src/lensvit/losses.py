"""Loss and scores on standardised targets.

A network's output (B, 2K) holds K means, then K log-variances.
"""

from __future__ import annotations

import math

from torch import Tensor

LOG_2_PI = math.log(2 * math.pi)


def split(output: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 2K) to the means (B, K) and the log-variances (B, K)."""
    mean, log_variance = output.chunk(2, dim=-1)
    return mean, log_variance


def gaussian_nll(output: Tensor, target: Tensor) -> Tensor:
    r"""Gaussian negative log-likelihood, equation 3 of Huang et al. 2022, averaged over batch and targets.

    .. math:: \frac{1}{2} \left( e^{-s} (y - \hat y)^2 + s + \ln 2\pi \right)

    with the log-variance s. The paper sums over the K targets; the mean differs by the
    constant factor K and equals ``torch.nn.GaussianNLLLoss(full=True)``.

    Parameters
    ----------
    output : (B, 2K)
    target : (B, K)
    """
    mean, log_variance = split(output)
    return 0.5 * ((-log_variance).exp() * (target - mean) ** 2 + log_variance + LOG_2_PI).mean()


def mean_squared_error(output: Tensor, target: Tensor) -> Tensor:
    """The mean squared error of the means, over batch and targets."""
    return ((split(output)[0] - target) ** 2).mean()
