r"""The Gaussian that a network's outputs describe, for the K standardised targets, and its losses.

Outputs (..., 2K) hold K means :math:`\hat y` and K log-variances s (Huang et al. 2022): a diagonal Gaussian, whose
negative log-likelihood a target, equation 3 there, is

.. math:: \frac{1}{2} \left( e^{-s} (y - \hat y)^2 + s + \ln 2\pi \right)

A full covariance takes K (K - 1) / 2 outputs more, the couplings c below the diagonal of a strictly lower triangular
matrix C, row by row:

.. math:: z = (1 + C)\, e^{-s / 2} (y - \hat y), \qquad z \sim N(0, 1),

so that exp(s_k) is the variance of target k given the targets before it, and C = 0 leaves the
diagonal Gaussian. It is the Cholesky factor of the inverse covariance (Dorta et al. 2018, arXiv:1802.07079). The
squares of the whitened residuals z take the place of the first term of the loss.

What keeps the full Gaussian stable: the determinant of the covariance is exp(sum of s) whatever the couplings, so that
it is never singular; the likelihood is a product and solves no equations; and the couplings are in
units of the standard deviations and bounded smoothly by :data:`LARGEST_COUPLING`, so that no pass
can throw its draw far off. s needs no bound: float32 holds exp(-s) down to s = -88.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LARGEST_COUPLING = 10.0  # for two targets alone a correlation of 0.995
# What an output of 1 adds to a coupling. With 1 their many noisy gradients drown those of the means in the layers
# that all share, and training ends worse than without couplings.
UNIT = 0.1
LOG_2_PI = math.log(2 * math.pi)


def output_count(covariance: str, targets: int) -> int:
    """The number of outputs that a network needs.

    Parameters
    ----------
    covariance
        "diagonal" or "full", the setting ``posterior`` of a network.
    targets
        The number K of targets.
    """
    return 2 * targets + (targets * (targets - 1) // 2 if covariance == "full" else 0)


def split_output(output: Tensor, targets: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """The parts of a network's outputs.

    Parameters
    ----------
    output
        Outputs (..., O).
    targets
        The number K of targets.

    Returns
    -------
    mean : Tensor
        Means (..., K).
    log_variance : Tensor
        Log-variances s (..., K).
    coupling : Tensor or None
        The strictly lower triangular matrix C (..., K, K); None if the Gaussian is diagonal.

    Raises
    ------
    ValueError
        If O belongs neither to a diagonal nor to a full Gaussian.
    """
    mean, log_variance, raw = output.tensor_split((targets, 2 * targets), dim=-1)
    if output.shape[-1] == output_count("diagonal", targets):
        return mean, log_variance, None
    if output.shape[-1] != output_count("full", targets):
        raise ValueError(f"{output.shape[-1]} outputs are no posterior of {targets} targets")
    row, column = torch.tril_indices(targets, targets, offset=-1, device=output.device)
    coupling = output.new_zeros(*output.shape[:-1], targets, targets)
    coupling[..., row, column] = LARGEST_COUPLING * torch.tanh(UNIT * raw / LARGEST_COUPLING)
    return mean, log_variance, coupling


def draw_targets(output: Tensor, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One draw of the standardised targets from each Gaussian.

    Parameters
    ----------
    output
        Outputs (..., O), on the CPU.
    normal
        Standard normal numbers (..., K).

    Returns
    -------
    mean : ndarray
        Means (..., K).
    variance : ndarray
        Diagonal of the covariance (..., K).
    draw : ndarray
        Draws (..., K).
    """
    mean, log_variance, coupling = split_output(output, normal.shape[-1])
    if coupling is None:
        variance = log_variance.exp().numpy()
        return mean.numpy(), variance, mean.numpy() + np.sqrt(variance) * normal
    factor = covariance_factor(log_variance, coupling).numpy()
    drawn = (factor @ normal[..., None])[..., 0]
    return mean.numpy(), np.square(factor).sum(-1), mean.numpy() + drawn


def covariance_factor(log_variance: Tensor, coupling: Tensor) -> Tensor:
    """The factor (..., K, K) that times its transpose is the covariance of a full Gaussian.

    Parameters
    ----------
    log_variance
        Log-variances s (..., K).
    coupling
        The matrix C (..., K, K).
    """
    unit = torch.eye(coupling.shape[-1], dtype=coupling.dtype).expand_as(coupling)
    inverse = torch.linalg.solve_triangular(unit + coupling, unit, upper=False, unitriangular=True)
    return (log_variance / 2).exp().unsqueeze(-1) * inverse


def gaussian_nll(output: Tensor, target: Tensor) -> Tensor:
    """Gaussian negative log-likelihood, averaged over batch and targets.

    The paper sums over the K targets; the mean differs by the constant factor K, and for a diagonal Gaussian it equals
    ``torch.nn.GaussianNLLLoss(full=True)``.

    Parameters
    ----------
    output
        Outputs (B, O).
    target
        Standardised targets (B, K).
    """
    mean, log_variance, coupling = split_output(output, target.shape[-1])
    if coupling is None:
        return 0.5 * ((-log_variance).exp() * (target - mean) ** 2 + log_variance + LOG_2_PI).mean()
    residual = (-log_variance / 2).exp() * (target - mean)
    whitened = residual + (coupling @ residual.unsqueeze(-1)).squeeze(-1)
    return 0.5 * (whitened**2 + log_variance + LOG_2_PI).mean()


def mean_squared_error(output: Tensor, target: Tensor) -> Tensor:
    """The mean squared error of the predicted means, averaged over batch and targets.

    Parameters
    ----------
    output
        Outputs (B, O).
    target
        Standardised targets (B, K).
    """
    return ((split_output(output, target.shape[-1])[0] - target) ** 2).mean()
