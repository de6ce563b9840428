r"""The Gaussian that a network's outputs describe, for the K standardised targets: diagonal or full.

Outputs (..., 2K) hold K means and K log-variances s (the original paper). A full covariance takes
K (K - 1) / 2 more, the couplings c below the diagonal of a unit triangular matrix, row by row:

.. math:: z = (1 + C)\, e^{-s / 2} (y - \hat y), \qquad z \sim N(0, 1),

so that exp(s_k) is the variance of target k given the targets before it, and no coupling leaves the
diagonal Gaussian. It is the Cholesky factor of the inverse covariance (Dorta et al. 2018, arXiv:1802.07079).

What keeps it stable: the determinant of the covariance is exp(sum of s) whatever the couplings, so that
it is never singular; the likelihood is a product and solves no equations; and the couplings are in
units of the standard deviations and bounded smoothly by :data:`LARGEST_COUPLING`, so that no pass
can throw its draw far off. s needs no bound, as before: float32 holds exp(-s) down to s = -88.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LARGEST_COUPLING = 10.0  # between two targets alone: a correlation of 0.995
# Of a coupling in an output. With 1 their many noisy gradients drown those of the means in the layers
# that all share, and training ends worse than without couplings.
UNIT = 0.1


def output_count(posterior: str, targets: int) -> int:
    """How many outputs a network has for a "diagonal" or a "full" posterior of so many targets."""
    return 2 * targets + (targets * (targets - 1) // 2 if posterior == "full" else 0)


def split_output(output: Tensor, targets: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """Outputs (..., O) to means (..., K), log-variances (..., K) and the matrix C (..., K, K).

    C is strictly lower triangular; None where the posterior is diagonal.

    Raises
    ------
    ValueError
        If there are as many outputs as in neither.
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
    """One draw from each Gaussian.

    Parameters
    ----------
    output : (..., O), on the CPU.
    normal : (..., K) unit normal numbers.

    Returns
    -------
    mean, variance (the covariance's diagonal), draw : (..., K) each.
    """
    mean, log_variance, coupling = split_output(output, normal.shape[-1])
    if coupling is None:
        variance = log_variance.exp().numpy()
        return mean.numpy(), variance, mean.numpy() + np.sqrt(variance) * normal
    unit = torch.eye(normal.shape[-1], dtype=output.dtype).expand_as(coupling)
    inverse = torch.linalg.solve_triangular(unit + coupling, unit, upper=False, unitriangular=True)
    factor = ((log_variance / 2).exp().unsqueeze(-1) * inverse).numpy()  # (..., K, K), times its transpose: covariance
    drawn = (factor @ normal[..., None])[..., 0]
    return mean.numpy(), np.square(factor).sum(-1), mean.numpy() + drawn


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
    mean, log_variance, coupling = split_output(output, target.shape[-1])
    if coupling is None:
        return 0.5 * ((-log_variance).exp() * (target - mean) ** 2 + log_variance + LOG_2_PI).mean()
    residual = (-log_variance / 2).exp() * (target - mean)
    whitened = residual + (coupling @ residual.unsqueeze(-1)).squeeze(-1)
    return 0.5 * (whitened**2 + log_variance + LOG_2_PI).mean()


def mean_squared_error(output: Tensor, target: Tensor) -> Tensor:
    """The mean squared error of the means, over batch and targets."""
    return ((split_output(output, target.shape[-1])[0] - target) ** 2).mean()
