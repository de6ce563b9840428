r"""Fermat potentials of quasar images for many draws of a lens, and draws that agree with the images' positions.

With the lensing potential :math:`\psi`, images at :math:`\theta_i` and the source at :math:`\beta`, delays are

.. math::
    \Delta t_{ij} = \frac{D_{\Delta t}}{c} (\phi_i - \phi_j), \qquad
    \phi_i = \frac{|\theta_i - \beta|^2}{2} - \psi(\theta_i), \qquad D_{\Delta t} \propto 1 / H_0

(Suyu et al. 2010, ApJ 711, 201). With a measured delay, the H0 that follows from a model is thus proportional to its
:math:`\Delta\phi`. At the images of the source :math:`\phi` is stationary in :math:`\theta`: an error of a
milliarcsecond in the positions of the images does not matter if the source is the model's own, but the same error in
the position of that source does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from lenstronomy.LensModel.Profiles.epl import EPL
from lenstronomy.LensModel.Profiles.shear import ShearGammaPsi
from torch import Tensor

from lensvit.inference.coordinates import to_parameters
from lensvit.inference.quasar_match import FREE, SOURCE, bounded
from lensvit.lensing.power_law import PowerLaw, inside
from lensvit.parameters import NAMES

PROFILES = EPL(), ShearGammaPsi()  # of lenstronomy; they take arrays, and import far less than its LensModel
TOLERANCE = 1e-7  # relative error of the deflection in a match
STEPS = 20  # most steps of the search for a match
STILL = 1e-6  # largest change of a coordinate in the step that ends the search
FLOOR = 1e-6  # error of a ray in the source plane [arcsec]: keeps weights finite at a critical curve
WORST = 5.0  # how far the rays of a match may miss the source on average, in units of their errors


def physical(parameters: np.ndarray) -> np.ndarray:
    """Whether each of the lenses (K, 14) can exist and be computed, as booleans (K,)."""
    positive = parameters[:, NAMES.index("theta_E")] > 0
    return inside(torch.tensor(parameters)).numpy() & positive


def fermat_potentials(parameters: np.ndarray, positions: np.ndarray, sources: np.ndarray | None = None) -> np.ndarray:
    """Fermat potentials of lenses at given positions, by lenstronomy.

    Parameters
    ----------
    parameters
        Parameters (K, 14) of the lenses in the order of :data:`lensvit.parameters.NAMES`.
    positions
        Positions (M, 2) of the images [arcsec].
    sources
        Position of the source of each lens, (K, 2) [arcsec]; None for the mean of where the rays of all images meet
        the source plane.

    Returns
    -------
    ndarray
        Potentials (K, M) [arcsec^2]; NaN for parameters that no lens can have.
    """
    result = np.full((len(parameters), len(positions)), np.nan)
    rows = np.flatnonzero(physical(parameters))
    x, y = (np.tile(column, (len(rows), 1)) for column in positions.T)
    lenses = dict(zip(NAMES, parameters[rows].T[:, :, None], strict=True))
    parts = [(profile, {name: lenses[name] for name in profile.param_names if name in lenses}) for profile in PROFILES]
    if sources is None:
        alpha = sum(np.stack(profile.derivatives(x, y, **values)) for profile, values in parts)
        source_x, source_y = (np.stack([x, y]) - alpha).mean(2, keepdims=True)
    else:
        source_x, source_y = sources[rows].T[:, :, None]
    potential = sum(profile.function(x, y, **values) for profile, values in parts)
    result[rows] = ((x - source_x) ** 2 + (y - source_y) ** 2) / 2 - potential
    return result


class _Rays(NamedTuple):
    """Rays from M images back to the source plane, for K lenses.

    Parameters
    ----------
    miss
        How far the rays miss the source, (K, 2 M) [arcsec].
    slopes
        Derivatives of ``miss`` by the ten free coordinates, (K, 2 M, 10).
    variance
        Covariance of the rays that follows from the errors of the images' positions, (K, 2 M, 2 M) [arcsec^2].
    log_determinant
        Logarithm of the product over the images of the Jacobian determinant of the source by the image, (K,).
    """

    miss: Tensor
    slopes: Tensor
    variance: Tensor
    log_determinant: Tensor


def match_positions(
    draws: Tensor, spread: Tensor, positions: Tensor, error: float, generators: Sequence[torch.Generator]
) -> Tensor:
    r"""Turn draws of what is known of lenses into draws given the positions of their images too.

    Randomised maximum likelihood (Oliver, He & Reynolds 1996): each draw looks for the nearest lens, in units of
    the draws' spread, that sends the rays of its own noisy copy of the positions to one source. Where rays are
    linear in the parameters over the spread, the results are draws of the posterior. Elsewhere they are sampled
    with replacement in proportion to

    .. math:: N(u; 0, J \Sigma J^T + R) \prod_i |\det A_i|,

    the density of the observed positions in the linear model that is tangent at the result: u is how far the
    rays miss at the mean of the draws by that model, J their derivatives, R their variance, and A_i the
    derivative of the source by the image.

    Parameters
    ----------
    draws
        Draws (S, K, 14) of S systems in :data:`lensvit.inference.coordinates.COORDINATES`, which have the source among
        them.
    spread
        Covariances (S, 14, 14) of the draws.
    positions
        Positions (S, M, 2) of the images [arcsec].
    error
        Standard deviation of each coordinate of a position [arcsec].
    generators
        Source of the noise of each system's positions.

    Returns
    -------
    Tensor
        Coordinates (S, K, 14); the last ones of a system are NaN, one for each draw for which no lens was found.
    """
    count = draws.shape[1]
    start, mean = draws.flatten(0, 1), draws.mean(1).repeat_interleave(count, 0)  # a row for each draw of each system
    theta = torch.complex(*positions.double().unbind(-1)).repeat_interleave(count, 0)
    noise = torch.cat([_noise(count, positions.shape[1], error, generator) for generator in generators])
    part = spread[:, FREE][:, :, FREE].repeat_interleave(count, 0)  # (S K, 10, 10)
    value = _nearest(bounded(start), part, theta, noise, error)
    rays = _trace(value, theta, noise, error)
    good = (rays.miss * torch.linalg.solve(rays.variance, rays.miss)).mean(1) < WORST**2
    rays = _trace(value, theta, torch.zeros_like(noise), error)
    miss = rays.miss + (rays.slopes @ (mean - value)[:, FREE, None])[..., 0]
    variance = rays.slopes @ part @ rays.slopes.mT + rays.variance
    density = -(miss * torch.linalg.solve(variance, miss)).sum(1) / 2 - torch.logdet(variance) / 2
    each = zip(*(rows.split(count) for rows in (value, good, density + rays.log_determinant)), strict=True)
    return torch.stack([_resampled(some[kept], weight[kept], count) for some, kept, weight in each])


def _noise(draws: int, images: int, error: float, generator: torch.Generator) -> Tensor:
    """Errors of the positions of one system's images (K, M), complex [arcsec]."""
    return torch.complex(*(error * torch.randn(2, draws, images, generator=generator, dtype=torch.float64)))


def _nearest(start: Tensor, part: Tensor, theta: Tensor, noise: Tensor, error: float) -> Tensor:
    """The most probable lens given each draw (K, 14) and its copy of the positions, by Gauss-Newton steps."""
    value, moving = start.clone(), torch.arange(len(start))
    for _ in range(STEPS):
        now, origin = value[moving], start[moving]
        rays = _trace(now, theta[moving], noise[moving], error)
        target = rays.miss + (rays.slopes @ (origin - now)[:, FREE, None])[..., 0]
        gain = part[moving] @ rays.slopes.mT  # (k, 10, 2 M)
        after = origin.clone()
        after[:, FREE] -= (gain @ torch.linalg.solve(rays.slopes @ gain + rays.variance, target[..., None]))[..., 0]
        value[moving] = after = bounded(after)
        moving = moving[(after - now).abs().amax(1) > STILL]
        if not len(moving):
            break
    return value


def _resampled(value: Tensor, log_weight: Tensor, count: int) -> Tensor:
    """Lenses (count, 14) drawn again in proportion to their weights, by systematic resampling.

    There are as many as in ``value``; NaN fills the rest.
    """
    found = len(value)
    steps = torch.softmax(log_weight, 0).cumsum(0)
    place = torch.searchsorted(steps, (torch.arange(found) + 0.5).double() / max(found, 1)).clamp_max(max(found - 1, 0))
    result = value.new_full((count, value.shape[1]), torch.nan)
    result[:found] = value[place]
    return result


def _trace(value: Tensor, theta: Tensor, noise: Tensor, error: float) -> _Rays:
    """Trace rays for lenses (K, 14) from complex positions (K, M) minus their noise (K, M)."""
    bent = PowerLaw(to_parameters(value), TOLERANCE).expansion(theta)
    source = torch.complex(*value[:, SOURCE].unbind(1))[:, None]
    stretch, shear = 1 - bent.kappa, bent.gamma
    miss = theta - bent.alpha - source - (stretch * noise - shear * noise.conj())
    away = theta.conj()  # the deflection by the shear's first component
    one = torch.ones_like(miss)
    slopes = -torch.stack([*bent.partial[:6], away, 1j * away, one, 1j * one], -1)  # (K, M, 10)
    rows = [torch.stack([stretch - shear.real, -shear.imag], -1), torch.stack([-shear.imag, stretch + shear.real], -1)]
    jacobian = torch.stack(rows, -2)  # of the source by the image, (K, M, 2, 2)
    count, images = miss.shape
    variance = value.new_zeros(count, images, 2, images, 2)
    image = torch.arange(images)
    blocks = error**2 * jacobian @ jacobian.mT + FLOOR**2 * torch.eye(2, dtype=torch.float64)
    variance[:, image, :, image] = blocks.transpose(0, 1)
    return _Rays(
        torch.view_as_real(miss).flatten(1),
        torch.stack([slopes.real, slopes.imag], 2).flatten(1, 2),
        variance.reshape(count, 2 * images, 2 * images),
        (stretch**2 - shear.abs() ** 2).abs().clamp_min(FLOOR).log().sum(1),
    )
