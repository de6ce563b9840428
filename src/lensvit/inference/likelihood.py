r"""The likelihood of noisy images, with its gradient and its Fisher information.

The noise of :mod:`lensvit.lensing.noise` is Gaussian; the image m(p) sets its mean and its variance,
:math:`v = \sigma_\mathrm{bkg}^2 + |m| / t`. With :math:`r = d - m`, summed over pixels,

.. math::
    \ln L = -\tfrac12 \sum (r^2 / v + \ln v), \qquad
    \partial_i \ln L = \sum \partial_i m \left[\frac{r}{v} + \frac{v'}{2v}\left(\frac{r^2}{v} - 1\right)\right], \qquad
    I_{ij} = \sum \partial_i m \, \partial_j m \left[\frac{1}{v} + \frac{v'^2}{2 v^2}\right]

(Kay 1993, Fundamentals of Statistical Signal Processing: Estimation Theory, eq. 3.31). The second term of
the information is 1 / (2 v t^2) of the first: 3e-4 at most with the paper's noise.

Gradients by the parameters are turned into those by the coordinates of :mod:`lensvit.inference.coordinates`, in
which equations are solved. Everything is batched, B systems at once, and sums are float64 whatever the images are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lensvit.inference.coordinates import coordinate_jacobian
from lensvit.lensing.noise import LEAST_SHARE, variance

PIXELS = 16384  # summed at once, since float64 copies of derivatives are large


class Equations(NamedTuple):
    """A gradient of a log density with its Fisher information or precision, both float64.

    The sum of two is that of the product of their densities.

    Parameters
    ----------
    gradient
        Gradient (B, P).
    information
        Information (B, P, P).
    """

    gradient: Tensor
    information: Tensor

    def __add__(self, other: Equations) -> Equations:  # type: ignore[override]  # no tuple twice as long
        return Equations(self.gradient + other.gradient, self.information + other.information)


class Likelihood:
    """The likelihood of model images, given the noisy images of B systems.

    Parameters
    ----------
    data
        Noisy images (B, ny, nx) [counts/s per pixel].
    sigma_bkg
        Standard deviation of the background noise of each image, (B,) [counts/s per pixel].
    exposure
        Exposure time [s].
    model_error
        A further error of the model image, relative to the data, for a search that starts far from
        them; 0 is the noise as it is. If it followed the model, brighter models would pass for better ones.
    exposure_map
        (ny, nx) share of the exposure time that each pixel has, 0 where it does not count; None for all of it
        everywhere.
    """

    def __init__(
        self,
        data: Tensor,
        sigma_bkg: Tensor,
        exposure: float,
        model_error: float = 0.0,
        exposure_map: np.ndarray | None = None,
    ) -> None:
        self.data, self.exposure, self.model_error = data, exposure, model_error
        self.sigma_bkg = sigma_bkg.to(data)[:, None, None]
        whole = None if exposure_map is None else torch.as_tensor(exposure_map).to(data)
        self.share = None if whole is None else whole.clamp_min(LEAST_SHARE)
        self.seen = None if whole is None else whole > 0

    def _counted(self, values: Tensor) -> Tensor:
        """Values (..., ny, nx) of pixels, 0 where a pixel does not count."""
        return values if self.seen is None else values * self.seen

    def variance(self, model: Tensor) -> Tensor:
        """Variance of the noise in every pixel, (B, ny, nx), if the model images (B, ny, nx) are right."""
        noise = variance(model, self.sigma_bkg, self.exposure, self.share)
        return noise + (self.model_error * self.data.clamp_min(0)) ** 2

    def residuals(self, model: Tensor) -> Tensor:
        """Whitened residuals (data - model) / sigma, (B, ny, nx), 0 where a pixel does not count."""
        return self._counted((self.data - model) / self.variance(model).sqrt())

    def log_density(self, model: Tensor) -> Tensor:
        """Log likelihood (B,), float64, without the constant -ln(2 pi) / 2 of each pixel."""
        spread = self.variance(model)
        terms = self._counted((self.data - model) ** 2 / spread + spread.log())
        return -terms.sum((1, 2), dtype=torch.float64) / 2

    def compiled(self) -> Callable[[Tensor], float]:
        """The function :meth:`log_density` of one float32 image (ny, nx) of the only system, on a CPU, by a loop."""
        from lensvit.lensing import compiled  # numba takes a second to import

        [data], background = self.data.numpy(), np.float32(self.sigma_bkg.item()) ** 2
        share, error = np.float32(1 / self.exposure), np.float32(self.model_error)
        return lambda model: -compiled.misfit(model.numpy(), data, background, share, error) / 2

    def equations(self, model: Tensor, jacobian: Tensor) -> Equations:
        """Gradient and Fisher information by the parameters.

        Parameters
        ----------
        model
            Model images (B, ny, nx).
        jacobian
            Their derivatives by P parameters, (B, P, ny, nx).
        """
        spread, slope = self.variance(model), model.sign() / self.exposure
        if self.share is not None:
            slope = slope / self.share
        residual = self.data - model
        pull = residual / spread + slope / (2 * spread) * (residual**2 / spread - 1)
        weight = 1 / spread + (slope / spread) ** 2 / 2
        return _sums(jacobian, self._counted(weight), self._counted(pull))


def _sums(jacobian: Tensor, weight: Tensor, pull: Tensor) -> Equations:
    """The products J pull (B, P) and J weight J^T (B, P, P), summed over one block of pixels after the other."""
    jacobian, weight, pull = (tensor.flatten(-2) for tensor in (jacobian, weight, pull))  # (B, P, N), (B, N), (B, N)
    count, parameters = jacobian.shape[:2]
    gradient = torch.zeros(count, parameters, dtype=torch.float64, device=jacobian.device)
    information = gradient.new_zeros(count, parameters, parameters)
    for start in range(0, jacobian.shape[-1], PIXELS):
        block = slice(start, start + PIXELS)
        rows = jacobian[..., block].double()  # (B, P, n)
        gradient += (rows @ pull[:, block, None].double())[..., 0]
        rows = rows * weight[:, None, block].double().sqrt()
        information += rows @ rows.mT
    return Equations(gradient, information)


def by_coordinates(equations: Equations, parameters: Tensor) -> Equations:
    """Equations by the parameters turned into those by the coordinates.

    Parameters
    ----------
    equations
        Gradient and information by the parameters.
    parameters
        Where they are taken, (B, P), with a shear as :func:`lensvit.inference.coordinates.sheared` leaves it.
    """
    change = coordinate_jacobian(parameters)
    gradient = (change.mT @ equations.gradient[..., None])[..., 0]
    return Equations(gradient, change.mT @ equations.information @ change)


def covariance(information: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of an information.

    Parameters
    ----------
    information
        Information (B, P, P).

    Returns
    -------
    covariance : Tensor
        Inverse (B, P, P).
    condition : Tensor
        Condition number (B,) of the information in units that make its diagonal 1.
    """
    scale = torch.diagonal(information, dim1=1, dim2=2).rsqrt()
    values, vectors = torch.linalg.eigh(scale[:, :, None] * information * scale[:, None])
    inverse = (vectors / values[:, None]) @ vectors.mT
    return scale[:, :, None] * inverse * scale[:, None], values[:, -1] / values[:, 0]
