r"""The posterior of a system's parameters from its noisy image: likelihood, prior and normal equations.

The noise of :mod:`lensvit.noise` is Gaussian; the image m(p) sets its mean and its variance,
:math:`v = \sigma_\mathrm{bkg}^2 + |m| / t`. With :math:`r = d - m`, summed over pixels,

.. math::
    \ln L = -\tfrac12 \sum (r^2 / v + \ln v), \qquad
    \partial_i \ln L = \sum \partial_i m \left[\frac{r}{v} + \frac{v'}{2v}\left(\frac{r^2}{v} - 1\right)\right], \qquad
    I_{ij} = \sum \partial_i m \, \partial_j m \left[\frac{1}{v} + \frac{v'^2}{2 v^2}\right]

(Kay 1993, Fundamentals of Statistical Signal Processing: Estimation Theory, eq. 3.31). The second term of
the information is 1 / (2 v t^2) of the first: 3e-4 at most with the paper's noise.

External shear has an angle, which has no derivative where the shear is 0, so that equations are solved in
``COORDINATES``: the parameters with the two components of the shear in place of its size and angle.
Everything is batched, B systems at once, and sums are float64 whatever the images are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensvit.errors import LensvitError
from lensvit.noise import noise, variance
from lensvit.parameters import NAMES, Prior
from lensvit.renderer import AMPLITUDES

SIZE, ANGLE = NAMES.index("gamma_ext"), NAMES.index("psi_ext")
COORDINATES = tuple({"gamma_ext": "gamma1", "psi_ext": "gamma2"}.get(name, name) for name in NAMES)
LEAST_SHEAR = 1e-8  # keeps the direction of a shear of 0; no image tells it from 0
KNOWN = 1e-9  # standard deviation of what is not free, in the parameter's unit
PIXELS = 16384  # summed at once


# ---------------------------------------------------------------- likelihood


class Equations(NamedTuple):
    """A gradient (B, P) of a log density and its Fisher information or precision (B, P, P), float64."""

    gradient: Tensor
    information: Tensor

    def __add__(self, other: Equations) -> Equations:
        return Equations(self.gradient + other.gradient, self.information + other.information)


class Likelihood:
    """The noisy images of B systems.

    Parameters
    ----------
    data : (B, ny, nx) noisy images [counts/s per pixel].
    sigma_bkg : (B,) background noise [counts/s per pixel]. exposure : [s].
    model_error : a further error of the model image, relative to the data, for a search that starts far from
        them; 0 is the noise as it is. If it followed the model, brighter models would pass for better ones.
    """

    def __init__(self, data: Tensor, sigma_bkg: Tensor, exposure: float, model_error: float = 0.0) -> None:
        self.data, self.exposure, self.model_error = data, exposure, model_error
        self.sigma_bkg = sigma_bkg.to(data)[:, None, None]

    def variance(self, model: Tensor) -> Tensor:
        """Of the noise in every pixel (B, ny, nx), for a model image of this shape."""
        return variance(model, self.sigma_bkg, self.exposure) + (self.model_error * self.data.clamp_min(0)) ** 2

    def residuals(self, model: Tensor) -> Tensor:
        """Whitened: (data - model) / sigma, (B, ny, nx)."""
        return (self.data - model) / self.variance(model).sqrt()

    def log_density(self, model: Tensor) -> Tensor:
        """Log likelihood (B,), float64, without the constant -ln(2 pi) / 2 a pixel."""
        spread = self.variance(model)
        terms = (self.data - model) ** 2 / spread + spread.log()
        return -terms.sum((1, 2), dtype=torch.float64) / 2

    def equations(self, model: Tensor, jacobian: Tensor) -> Equations:
        """Gradient and Fisher information at a model image (B, ny, nx) with its derivatives (B, P, ny, nx)."""
        spread, slope = self.variance(model), model.sign() / self.exposure
        residual = self.data - model
        pull = residual / spread + slope / (2 * spread) * (residual**2 / spread - 1)
        return _sums(jacobian, 1 / spread + (slope / spread) ** 2 / 2, pull)


def _sums(jacobian: Tensor, weight: Tensor, pull: Tensor) -> Equations:
    """J pull (B, P) and J weight J^T (B, P, P), a block of pixels after the other."""
    jacobian, weight, pull = (tensor.flatten(-2) for tensor in (jacobian, weight, pull))
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


def observed(images: Path, rows: pd.DataFrame) -> tuple[np.ndarray, float]:
    """Noisy images (n, ny, nx) float32 of rows of the catalogue that lie in one file, and their exposure [s].

    These are the images that the networks are evaluated on, before the resize.

    Raises
    ------
    LensvitError
        If the file is absent or broken.
    """
    try:
        with h5py.File(images, "r") as file:
            row = rows["row"].to_numpy()
            clean = file["image"][row.min() : row.max() + 1][row - row.min()]
            exposure = float(file.attrs["exposure"])
    except FileNotFoundError as error:
        raise LensvitError(f"no image file {images}: run snakemake again, which simulates it") from error
    except (OSError, KeyError, IndexError) as error:
        raise LensvitError(f"{images} is truncated or broken: delete it and run snakemake again") from error
    columns = zip(clean, rows["sigma_bkg"], rows["seed"], strict=True)
    return np.stack([noise(image, sigma, exposure, seed) for image, sigma, seed in columns]), exposure


# ---------------------------------------------------------------- prior


class LogPrior:
    """Independent priors of the P = 14 parameters, or 17 with amplitudes, on which the prior is flat.

    A clipped normal counts as the normal that it was before the floor and the ceiling: the systems that the
    clipping moved onto a bound are not told apart, and beyond it the density goes on. A uniform prior is
    flat within its limits and informs of nothing else. The density is that of the parameters, of size and
    angle of the shear, not of its components: these have a density with a pole at 0, which has no maximum.

    Parameters
    ----------
    priors : name to prior, see ``parameters.priors``.
    external_shear : False if it is known to be 0.
    amplitudes : whether parameters have the columns of the amplitudes.
    """

    def __init__(self, priors: Mapping[str, Prior], external_shear: bool = True, amplitudes: bool = False) -> None:
        center, sd, reach = zip(*(_gaussian(priors[name]) for name in NAMES), strict=True)
        flat = len(AMPLITUDES) * amplitudes
        self.center = torch.tensor([*center, *[0.0] * flat], dtype=torch.float64)  # (P,)
        self.sd = torch.tensor([*sd, *[torch.inf] * flat], dtype=torch.float64)
        self.reach = torch.tensor([*reach, *[torch.inf] * flat], dtype=torch.float64)
        if not external_shear:
            self.center[SIZE], self.sd[[SIZE, ANGLE]], self.reach[[SIZE, ANGLE]] = 0.0, KNOWN, torch.inf

    def log_density(self, parameters: Tensor) -> Tensor:
        """(B,) of parameters (B, P), without a constant; minus infinity beyond the limits of a uniform prior."""
        offset = self._offset(parameters)
        result = -((offset / self.sd.to(offset)) ** 2).sum(1) / 2
        return torch.where((offset.abs() <= self.reach.to(offset)).all(1), result, -torch.inf)

    def equations(self, parameters: Tensor) -> Equations:
        """Gradient (B, P) and precision (B, P, P), by the parameters."""
        offset = self._offset(parameters)
        precision = self.sd.to(offset) ** -2
        return Equations(-precision * offset, torch.diag(precision).expand(len(offset), -1, -1))

    def _offset(self, parameters: Tensor) -> Tensor:
        offset = parameters - self.center.to(parameters)
        half = torch.pi / 2  # a shear turned by 180 degrees is the same
        offset[:, ANGLE] = torch.remainder(offset[:, ANGLE] + half, 2 * half) - half
        return offset


def _gaussian(prior: Prior) -> tuple[float, float, float]:
    """Centre, standard deviation and largest distance from the centre."""
    if prior.kind == "uniform" and prior.high > prior.low:
        return (prior.low + prior.high) / 2, np.inf, (prior.high - prior.low) / 2
    return (prior.low if prior.kind == "uniform" else prior.mean), max(prior.sd or 0.0, KNOWN), np.inf


# ---------------------------------------------------------------- coordinates


def to_coordinates(parameters: Tensor) -> Tensor:
    """Parameters (B, P) to coordinates (B, P)."""
    result = parameters.clone()
    size, twice = parameters[:, SIZE], 2 * parameters[:, ANGLE]
    result[:, SIZE], result[:, ANGLE] = size * torch.cos(twice), size * torch.sin(twice)
    return result


def to_parameters(coordinates: Tensor) -> Tensor:
    """Coordinates (B, P) to parameters (B, P), with the shear's angle between 0 and pi and no shear below 1e-8."""
    result = coordinates.clone()
    first, second = coordinates[:, SIZE], coordinates[:, ANGLE]
    result[:, SIZE] = torch.hypot(first, second).clamp_min(LEAST_SHEAR)
    result[:, ANGLE] = torch.remainder(torch.atan2(second, first) / 2, torch.pi)
    return result


def regular(parameters: Tensor) -> Tensor:
    """Parameters (B, P) with a shear of 1e-8 at least: where derivatives by the coordinates can be had."""
    result = parameters.clone()
    result[:, SIZE].clamp_(min=LEAST_SHEAR)
    return result


def changes(parameters: Tensor) -> Tensor:
    """Derivatives (B, P, P) of the parameters (rows) by the coordinates, at ``regular`` parameters (B, P)."""
    count, size = parameters.shape
    result = torch.eye(size, dtype=torch.float64, device=parameters.device).repeat(count, 1, 1)
    cos, sin = torch.cos(2 * parameters[:, ANGLE]), torch.sin(2 * parameters[:, ANGLE])
    result[:, SIZE, [SIZE, ANGLE]] = torch.stack([cos, sin], 1)
    result[:, ANGLE, [SIZE, ANGLE]] = torch.stack([-sin, cos], 1) / (2 * parameters[:, SIZE, None])
    return result


def by_coordinates(equations: Equations, parameters: Tensor) -> Equations:
    """Equations by the parameters to those by the coordinates, at ``regular`` parameters (B, P)."""
    change = changes(parameters)
    gradient = (change.mT @ equations.gradient[..., None])[..., 0]
    return Equations(gradient, change.mT @ equations.information @ change)


def covariance(information: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse (B, P, P) of an information, and its condition number (B,) in units that make its diagonal 1."""
    scale = torch.diagonal(information, dim1=1, dim2=2).rsqrt()
    values, vectors = torch.linalg.eigh(scale[:, :, None] * information * scale[:, None])
    inverse = (vectors / values[:, None]) @ vectors.mT
    return scale[:, :, None] * inverse * scale[:, None], values[:, -1] / values[:, 0]
