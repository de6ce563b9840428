r"""Fermat potentials of quasar images for many draws of a lens, and draws that agree with the images' positions.

With the lensing potential :math:`\psi`, images at :math:`\theta_i` and the source at :math:`\beta`, delays are

.. math::
    \Delta t_{ij} = \frac{D_{\Delta t}}{c} (\phi_i - \phi_j), \qquad
    \phi_i = \frac{|\theta_i - \beta|^2}{2} - \psi(\theta_i), \qquad D_{\Delta t} \propto 1 / H_0

(Suyu et al. 2010, ApJ 711, 201). A measured delay thus turns a model's :math:`\Delta\phi` into H0 in
proportion. At the images of the source :math:`\phi` is stationary in :math:`\theta`: positions that are off by
a milliarcsecond do not matter there, if the source is the model's own, and that source does.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lensvit.lens_equation import lens_kwargs, lens_model
from lensvit.likelihood import to_parameters
from lensvit.matching import FREE, SOURCE, bounded
from lensvit.parameters import NAMES
from lensvit.power_law import PowerLaw, inside

TOLERANCE = 1e-7  # relative error of the deflection in a match
STEPS, STILL = 20, 1e-6  # of the search for a match: most steps, and the last one's size in any coordinate
FLOOR = 1e-6  # error of a ray in the source plane [arcsec]: keeps weights finite at a critical curve
WORST = 5.0  # of a match: how far a ray may miss the source, in units of its error


def physical(parameters: np.ndarray) -> np.ndarray:
    """Whether each of the lenses (K, 14) can exist and be computed: a boolean (K,)."""
    positive = parameters[:, NAMES.index("theta_E")] > 0
    return inside(torch.tensor(parameters)).numpy() & positive


def fermat_potentials(
    parameters: np.ndarray, positions: np.ndarray, sources: np.ndarray | None = None
) -> np.ndarray:
    """Fermat potentials (K, M) [arcsec^2] of K lenses at M positions, by lenstronomy; NaN where no lens can be.

    Parameters
    ----------
    parameters : (K, 14) in the order of ``parameters.NAMES``.
    positions : (M, 2) of the images [arcsec].
    sources : (K, 2) [arcsec]; None: where the rays of all images meet on average.
    """
    x, y = positions.T
    result = np.full((len(parameters), len(x)), np.nan)
    for row in np.flatnonzero(physical(parameters)):
        lens = dict(zip(NAMES, parameters[row].tolist(), strict=True))
        model, kwargs = lens_model(lens), lens_kwargs(lens)
        source = np.mean(model.ray_shooting(x, y, kwargs), axis=1) if sources is None else sources[row]
        result[row] = model.fermat_potential(x, y, kwargs, *source)
    return result


# ---------------------------------------------------------------- agreement with the images


def match_positions(
    draws: Tensor, spread: Tensor, positions: Tensor, error: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Move draws of what is known of a lens to draws given the positions of its images too.

    Randomised maximum likelihood (Oliver, He & Reynolds 1996): each draw looks for the nearest lens, in units of
    the draws' spread, that sends the rays of its own noisy copy of the positions to one source. The results are
    draws of the posterior where rays are linear in the parameters over the spread, and near to it elsewhere.

    Parameters
    ----------
    draws : (K, 14) coordinates of ``likelihood``, with the source. spread : (14, 14) their covariance.
    positions : (M, 2) [arcsec]. error : of each coordinate of a position [arcsec].

    Returns
    -------
    The coordinates (K, 14), and whether the rays of each meet in its source (K,).
    """
    theta = torch.complex(*positions.double().unbind(-1))[None]
    start = bounded(draws)
    noise = error * torch.randn(2, len(draws), len(positions), generator=generator, dtype=torch.float64)
    noise, part, value = torch.complex(*noise), spread[FREE][:, FREE], start.clone()
    moving = torch.arange(len(draws))
    for _ in range(STEPS):
        now, origin = value[moving], start[moving]
        miss, slopes, variance = _rays(now, theta, noise[moving], error)
        target = miss + (slopes @ (origin - now)[:, FREE, None])[..., 0]
        gain = part @ slopes.mT  # (k, 10, 2 M)
        after = origin.clone()
        after[:, FREE] -= (gain @ torch.linalg.solve(slopes @ gain + variance, target[..., None]))[..., 0]
        value[moving] = after = bounded(after)
        moving = moving[(after - now).abs().amax(1) > STILL]
        if not len(moving):
            break
    miss, _, variance = _rays(value, theta, noise, error)
    size = (miss * torch.linalg.solve(variance, miss)).sum(1) / miss.shape[1]
    return value, size < WORST**2


def _rays(value: Tensor, theta: Tensor, noise: Tensor, error: float) -> tuple[Tensor, Tensor, Tensor]:
    """How far rays miss the source (K, 2 M), the derivatives by the free coordinates, and the rays' covariance."""
    bent = PowerLaw(to_parameters(value), TOLERANCE).expansion(theta)
    source = torch.complex(*value[:, SOURCE].unbind(1))[:, None]
    stretch, shear = 1 - bent.kappa, bent.gamma
    miss = theta - bent.alpha - source - (stretch * noise - shear * noise.conj())
    away = theta.conj().expand_as(miss)  # the shear's deflection by its first component
    one = torch.ones_like(miss)
    slopes = -torch.stack([*bent.partial[:6], away, 1j * away, one, 1j * one], -1)  # (K, M, 10)
    rows = [torch.stack([stretch - shear.real, -shear.imag], -1), torch.stack([-shear.imag, stretch + shear.real], -1)]
    jacobian = torch.stack(rows, -2)  # of the source by the image, (K, M, 2, 2)
    blocks = error**2 * jacobian @ jacobian.mT + FLOOR**2 * torch.eye(2, dtype=torch.float64)
    count = 2 * miss.shape[1]
    variance = value.new_zeros(len(value), count // 2, 2, count // 2, 2)
    image = torch.arange(count // 2)
    variance[:, image, :, image] = blocks.transpose(0, 1)
    flat = torch.view_as_real(miss).flatten(1), torch.stack([slopes.real, slopes.imag], 2).flatten(1, 2)
    return *flat, variance.reshape(len(value), count, count)
