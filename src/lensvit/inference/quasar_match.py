r"""Lenses that explain positions and fluxes of quasar images, found without solving the lens equation.

Rays from the images' positions :math:`\theta_i` must meet at the quasar, and a lens magnifies each by its
flux over the quasar's, :math:`\mu_i`:

.. math::
    \beta(\theta_i) = \beta_s, \qquad |\det A(\theta_i)| = 1 / |\mu_i|, \qquad A = \partial \beta / \partial \theta

Both are smooth in the parameters. No image appears or vanishes, as it does in a model image, so that a fit
finds the lens from far away. A carries the errors of positions into the source plane.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lensvit.inference.coordinates import COORDINATES, to_parameters
from lensvit.lensing.power_law import PowerLaw

POSITION_ERROR = 0.0015  # [arcsec]
SOURCE_ERROR = 2e-4  # further error in the source plane [arcsec]: keeps weights finite at a critical curve
FLUX_ERROR = 0.03  # relative
FLUX_EXCESS = 0.01  # what arcs may add to a faint image, in units of the quasar's own flux
DETERMINANT_ERROR = 0.002  # further error of 1 / |magnification|
TOLERANCE = 1e-7  # relative error of the deflection
DIFFERENCE = 1e-6  # for derivatives
STEPS = 40
TRIES = 4  # step lengths that are tried before the next derivatives
STILL = 0.1  # the search ends when no lens gains more in chi^2 by a step

MATCHED = ("theta_E", "gamma", "center_x", "center_y", "e1", "e2", "gamma1", "gamma2", "source_x", "source_y")
FREE = [COORDINATES.index(name) for name in MATCHED]
SOURCE = [COORDINATES.index(name) for name in ("source_x", "source_y")]
LARGEST_ELLIPTICITY = 0.9
BOUNDS = {"theta_E": (0.05, 10.0), "gamma": (1.3, 2.9)}


class Gaussian(NamedTuple):
    """What is known of the coordinates, as a Gaussian.

    Parameters
    ----------
    mean
        Mean (14,), or one for each of K searches, (K, 14).
    precision
        Inverse of the covariance, (14, 14).
    """

    mean: Tensor
    precision: Tensor

    def updated(self, columns: list[int], mean: Tensor, sd: Tensor) -> Gaussian:
        """The Gaussian after independent measurements of some coordinates.

        Parameters
        ----------
        columns
            The coordinates that are measured, n of them.
        mean
            Measured values (n,).
        sd
            Their standard deviations (n,).
        """
        precision = self.precision.clone()
        precision[columns, columns] += sd**-2
        pull = self.precision @ self.mean
        pull[columns] += mean * sd**-2
        return Gaussian(torch.linalg.solve(precision, pull), precision)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draws (count, 14)."""
        root = torch.linalg.cholesky(self.precision)
        normal = torch.randn(len(self.mean), count, generator=generator, dtype=torch.float64)
        return self.mean + torch.linalg.solve_triangular(root.mT, normal, upper=True).mT


class Match(NamedTuple):
    """Lenses that explain the images of a quasar, the best first.

    Parameters
    ----------
    coordinates
        Coordinates (K, 14).
    cost
        chi^2 of each, (K,).
    """

    coordinates: Tensor
    cost: Tensor


class Weights(NamedTuple):
    """The entries of upper triangular 2 x 2 matrices that whiten rays in the source plane, (K, M) each [1 / arcsec]."""

    xx: Tensor
    xy: Tensor
    yy: Tensor


class Rays(NamedTuple):
    """Rays from M images back to the source plane, for K lenses.

    Parameters
    ----------
    met
        Where they meet the source plane, (K, M) complex [arcsec].
    kappa
        Convergence at the images, (K, M).
    gamma
        Shear there, (K, M) complex.
    """

    met: Tensor
    kappa: Tensor
    gamma: Tensor

    def rows(self, rows: slice) -> Rays:
        """The rays of some of the lenses."""
        return Rays(*(part[rows] for part in self))


class QuasarMatcher:
    """Finds lenses that explain the observed images of one quasar.

    Parameters
    ----------
    position
        Positions (M, 2) of the images [arcsec].
    magnification
        Their magnifications (M,), without a sign.
    position_error
        Error of the positions along each axis [arcsec].
    determinant_error
        Errors (M,) of 1 / magnification; None for the one of fluxes that lensing alone has changed.
    """

    def __init__(
        self,
        position: Tensor,
        magnification: Tensor,
        position_error: float = POSITION_ERROR,
        determinant_error: Tensor | None = None,
    ) -> None:
        self.position = torch.complex(*position.double().unbind(-1))[None]  # (1, M)
        self.position_error = position_error
        self.determinant = 1 / magnification.double()
        excess = FLUX_ERROR + FLUX_EXCESS * self.determinant
        self.determinant_error = torch.hypot(self.determinant * excess, torch.tensor(DETERMINANT_ERROR))
        if determinant_error is not None:
            self.determinant_error = determinant_error.double()

    def match(self, known: Gaussian, starts: Tensor) -> Match:
        """Search by Levenberg-Marquardt for lenses that explain the images.

        Each start stands for the mean of what is known in its own search. So the results differ where the
        images leave the lens open, as draws given the images would, and some lie on the right side of a
        caustic where the most probable lens has two images too many. A search begins with the source where the rays
        of its start meet, whatever position of the source ``starts`` has.

        Parameters
        ----------
        known
            What is known of the lens apart from the images.
        starts
            Draws (K, 14) of this.
        """
        known, value = Gaussian(starts, known.precision), bounded(starts)
        value[:, SOURCE] = torch.view_as_real(self._rays(value).met.mean(1))
        damping = value.new_full((len(value),), 1e-2)
        for _ in range(STEPS):
            value, damping, gain = self._improved(value, damping, known)
            if gain < STILL:
                break
        rays = self._rays(value)
        cost = self._residuals(rays, value, known, self._weights(rays)).square().sum(1)
        cost = torch.where(cost.isfinite(), cost, torch.inf)
        order = cost.argsort()
        return Match(value[order], cost[order])

    def _improved(self, value: Tensor, damping: Tensor, known: Gaussian) -> tuple[Tensor, Tensor, float]:
        """Coordinates (K, 14) and dampings (K,) after a step, and the largest gain in chi^2."""
        near = self._near(value)
        rays = self._rays(torch.cat([value, near]))  # all at once, since few lenses take as long as many
        here = rays.rows(slice(0, len(value)))
        weights = self._weights(here)
        rest = self._residuals(here, value, known, weights)
        slopes = self._slopes(rays.rows(slice(len(value), None)), near, known, weights)  # (K, F, R)
        normal, pull = slopes @ slopes.mT, slopes @ rest[..., None]
        cost, done = rest.square().sum(1), torch.zeros(len(value), dtype=torch.bool)
        best, gain = value.clone(), torch.zeros_like(cost)
        for _ in range(TRIES):
            lengthened = normal + damping[:, None, None] * torch.diag_embed(normal.diagonal(dim1=1, dim2=2))
            trial = value.clone()
            trial[:, FREE] -= torch.linalg.solve_ex(lengthened, pull)[0][..., 0]
            trial = bounded(torch.where(trial.isfinite(), trial, value))
            after = self._residuals(self._rays(trial), trial, known, weights).square().sum(1)
            better = (after < cost) & ~done
            best[better], gain[better] = trial[better], (cost - after)[better]
            done |= better
            damping = torch.where(better, damping / 4, torch.where(done, damping, damping * 6)).clamp(1e-10, 1e8)
            if done.all():
                break
        return best, damping, float(gain.max())

    def _rays(self, value: Tensor) -> Rays:
        """The rays from the images for lenses (K, 14)."""
        bent, kappa, gamma = PowerLaw(to_parameters(value), TOLERANCE, slopes=False).focusing(self.position)
        return Rays(self.position - bent, kappa, gamma)

    def _weights(self, rays: Rays) -> Weights:
        """A Cholesky factor of the precision of each ray, (K, M) for each of its three entries."""
        kappa, gamma = rays.kappa, rays.gamma
        first, second, cross = 1 - kappa - gamma.real, 1 - kappa + gamma.real, -gamma.imag
        xx = self.position_error**2 * (first**2 + cross**2) + SOURCE_ERROR**2
        yy = self.position_error**2 * (second**2 + cross**2) + SOURCE_ERROR**2
        xy = self.position_error**2 * cross * (first + second)
        determinant = xx * yy - xy**2
        return Weights(torch.sqrt(yy / determinant), -xy / torch.sqrt(yy * determinant), yy.rsqrt())

    def _residuals(self, rays: Rays, value: Tensor, known: Gaussian, weights: Weights) -> Tensor:
        """Residuals (K, R) of rays, magnifications and what is known, in units of their errors."""
        source = torch.complex(*value[:, SOURCE].unbind(1))[:, None]
        off, determinant = rays.met - source, (1 - rays.kappa) ** 2 - rays.gamma.abs() ** 2
        parts = (
            weights.xx * off.real + weights.xy * off.imag,
            weights.yy * off.imag,
            (determinant.abs() - self.determinant) / self.determinant_error,
            (value - known.mean) @ torch.linalg.cholesky(known.precision),
        )
        return torch.cat(parts, 1)

    def _near(self, value: Tensor) -> Tensor:
        """Coordinates (2 F K, 14) a little above and then a little below, along each of the matched ones."""
        step = DIFFERENCE * torch.eye(value.shape[1], dtype=value.dtype)[FREE]
        return torch.cat([(value[:, None] + sign * step).flatten(0, 1) for sign in (1, -1)])

    def _slopes(self, rays: Rays, near: Tensor, known: Gaussian, weights: Weights) -> Tensor:
        """Derivatives (K, F, R) of the residuals by the matched coordinates, from rays at :meth:`_near`."""
        times, count = len(FREE), len(weights.xx)
        repeated = Weights(*(weight.repeat_interleave(times, 0).repeat(2, 1) for weight in weights))
        known = Gaussian(known.mean.repeat_interleave(times, 0).repeat(2, 1), known.precision)
        above, below = self._residuals(rays, near, known, repeated).chunk(2)
        return ((above - below) / (2 * DIFFERENCE)).unflatten(0, (count, times))


def bounded(coordinates: Tensor) -> Tensor:
    """Coordinates (K, 14) moved to where a power law can be computed."""
    result = coordinates.clone()
    for name, bounds in BOUNDS.items():
        result[:, COORDINATES.index(name)].clamp_(*bounds)
    shape = [COORDINATES.index(name) for name in ("e1", "e2")]
    size = result[:, shape].norm(dim=1, keepdim=True)
    result[:, shape] *= LARGEST_ELLIPTICITY / size.clamp_min(LARGEST_ELLIPTICITY)
    return result
