r"""The likelihood of images whose amplitudes are free: solved for, and marginalised, inside each call.

The image is linear in the amplitudes a of its parts M (K, N), :math:`m = a M`. Noise is Gaussian with known variances
:math:`1 / w`. Each amplitude has a normal prior about 0 of the precision :math:`\lambda_k`. Amplitudes of light are
not negative, and their prior is that times :math:`a_k^{-p_k}`. With p = 1 all magnitudes are equally probable, whatever
size and profile a galaxy has. (A prior that is flat in the amplitude at the half-light radius would prefer small
galaxies: the density of their fluxes would be higher, by 1 / radius^2.) With :math:`A = M w M^T + \lambda` and
:math:`b = M w d`, an integral over all amplitudes gives

.. math::
    \ln L = -\tfrac12 (d w d - b A^{-1} b) - \tfrac12 \ln \det A + \tfrac12 \ln \det \lambda
            + \sum_k \left[ \ln 2 \Phi\left(\hat a_k / s_k\right)
            - \tfrac{p_k}2 \ln \left(\max(\hat a_k, 0)^2 + s_k^2\right) \right],
            \qquad \hat a = A^{-1} b, \quad s_k^2 = A^{-1}_{kk}

(Golub & Pereyra 2003, Inverse Problems 19, R1, for the projection). The last sum is over amplitudes of light. Its first
term is exact as long as no more than one of them is near 0, and next to nothing where all are seen. The second one
takes :math:`a_k^{-p_k}` at the best amplitude, which is right to :math:`s_k^2 / \hat a_k^2`. Below its error
:math:`s_k` the prior is taken as flat, since :math:`1 / a_k` has no integral down to 0. Parts may also have an
amplitude that is known to be 1, and count as if they were subtracted from the data.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from lensvit.inference.likelihood import Equations


class Solution(NamedTuple):
    """Amplitudes of the parts of one image.

    Parameters
    ----------
    amplitudes
        The most probable amplitudes (K,), those of light not negative, and those that are known 1.
    covariance
        Their covariance (K, K), without the limit at 0; 0 for those that are known.
    """

    amplitudes: Tensor
    covariance: Tensor


class LinearLikelihood:
    """The likelihood of the parts of an image, all amplitudes marginalised.

    Parameters
    ----------
    data
        The image (N,) [counts/s per pixel].
    variance
        Variance of its noise (N,), infinite where a pixel does not count.
    precision
        Precision of the prior of each amplitude (K,), positive.
    light
        Whether an amplitude is of light, so that it is not negative, (K,).
    powers
        The powers p (K,) of amplitudes of light, 0 for the others; None for 1, all magnitudes being equally probable.
    known
        How many of the last parts have an amplitude of 1; their precision and light do not count.
    """

    def __init__(
        self,
        data: Tensor,
        variance: Tensor,
        precision: Tensor,
        light: Tensor,
        known: int = 0,
        powers: Tensor | None = None,
    ) -> None:
        self.data, self.weight = data.double(), 1 / variance.double()
        self.variance, self.known, self.free = variance.double(), known, len(precision) - known
        self.precision, self.light = precision[: self.free].double(), light[: self.free]
        self.powers = (self.light if powers is None else powers[: self.free]).double()
        counted = self.weight > 0
        self.constant = float(self.weight[counted].log().sum()) / 2 - int(counted.sum()) * np.log(2 * np.pi) / 2
        self.constant += float(self.precision.log().sum()) / 2 + float(self.light.sum()) * np.log(2)

    def log_density(self, parts: Tensor) -> Tensor:
        """Log likelihoods (b,) of the parts (b, K, N) of images."""
        return torch.stack([self._log_density(*self._normal(part)) for part in parts])

    def _normal(self, part: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The matrix A and the vector b of the F parts whose amplitudes are free, and the d w d of the data."""
        free = part[: self.free]
        data = self.data - part[self.free :].sum(0) if self.known else self.data
        weighted = free * self.weight
        return weighted @ free.mT + torch.diag(self.precision), weighted @ data, (self.weight * data**2).sum()

    def _log_density(self, matrix: Tensor, pull: Tensor, square: Tensor) -> Tensor:
        scale = torch.diagonal(matrix).detach().rsqrt()
        root = torch.linalg.cholesky_ex(scale[:, None] * matrix * scale)[0]
        solved = torch.linalg.solve_triangular(root, (scale * pull)[:, None], upper=False)
        result = self.constant - (square - solved.square().sum()) / 2 - root.diagonal().log().sum() + scale.log().sum()
        inverse = torch.cholesky_inverse(root)
        best = (inverse @ (scale * pull)[:, None])[:, 0]  # in units of 1 / scale
        spread = torch.diagonal(inverse)
        seen = (best / spread.sqrt())[self.light]
        bright = (scale**2 * (best.clamp_min(0) ** 2 + spread)).log()
        return result + torch.special.log_ndtr(seen).sum() - (self.powers * bright).sum() / 2

    def solve(self, part: Tensor) -> Solution:
        """The amplitudes of the parts (K, N) of one image."""
        matrix, pull, _ = self._normal(part)
        scale = torch.diagonal(matrix).rsqrt()
        root = torch.linalg.cholesky_ex(scale[:, None] * matrix * scale)[0]
        inverse = torch.cholesky_inverse(root)
        best = (inverse @ (scale * pull)[:, None])[:, 0]
        if bool((best[self.light] < 0).any()):
            best = self._not_negative(root, scale * pull)
        amplitudes = torch.cat([scale * best, best.new_ones(self.known)])
        covariance = best.new_zeros(len(amplitudes), len(amplitudes))
        covariance[: self.free, : self.free] = scale[:, None] * inverse * scale
        return Solution(amplitudes, covariance)

    def _not_negative(self, root: Tensor, pull: Tensor) -> Tensor:
        """Scaled amplitudes (K,) that minimise the parabola with no light below 0."""
        target = torch.linalg.solve_triangular(root, pull[:, None], upper=False)[:, 0]
        matrix, signed = root.mT.numpy(), ~self.light.numpy()
        # a number of any sign is a difference of two that are not negative
        found = nnls(np.concatenate([matrix, -matrix[:, signed]], 1), target.numpy())[0]
        result = found[: len(target)]
        result[signed] -= found[len(target) :]
        return torch.as_tensor(result)

    def model(self, part: Tensor) -> Tensor:
        """The image (N,) of the most probable amplitudes of the parts (K, N)."""
        return self.solve(part).amplitudes @ part

    def residuals(self, parts: Tensor) -> Tensor:
        """Whitened residuals (b, N) of the parts (b, K, N) of images, 0 where a pixel does not count."""
        return torch.stack([(self.data - self.model(part)) * self.weight.sqrt() for part in parts])

    def equations(self, part: Tensor, slopes: Tensor) -> Equations:
        """Gradient (1, P) of the log likelihood and its information (1, P, P) by the parameters.

        The information is that of the residuals after the amplitudes have followed (Kaufman 1975, BIT 15, 49).

        Parameters
        ----------
        part
            The parts (1, K, N) of one image.
        slopes
            Their derivatives by the parameters (1, P, K, N).
        """
        [part], [slopes] = part, slopes
        with torch.enable_grad():
            leaf = part.detach().clone().requires_grad_(True)
            self._log_density(*self._normal(leaf)).backward()
        assert leaf.grad is not None
        gradient = slopes.flatten(1) @ leaf.grad.flatten()
        solution = self.solve(part)
        moved = torch.einsum("k,pkn->pn", solution.amplitudes, slopes) * self.weight.sqrt()  # (P, N)
        across = moved @ (part * self.weight.sqrt()).mT  # (P, K)
        information = moved @ moved.mT - across @ solution.covariance @ across.mT
        return Equations(gradient[None], information[None])
