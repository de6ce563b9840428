r"""What a real image deviates by from the best model of it, beside its noise.

No PSF is known exactly and no galaxy is a Sérsic profile. A fit that takes its model for exact is dragged by what the
model lacks: by the cores of the quasar's images, where a PSF that is wrong by a few percent exceeds the noise a
hundredfold, and by knots of the host galaxy. Therefore the variance of a pixel is

.. math:: v = \tau \left( v_0 + \sum_k f_k^2 \, (u_k + \epsilon^2 P_k^2) + \phi^2 G^2 \right)

with the noise :math:`v_0`, the fluxes f and PSF images P of the quasar's images, the given variance u of the PSF, and
the galaxies' light G. The relative errors :math:`\epsilon` of the PSF and :math:`\phi` of the galaxies are those with
which the residuals are most probable. Residuals of neighbouring pixels are not independent, where images were drizzled
and where a model lacks something that is larger than a pixel. The sum :math:`\tau` of their correlations is the number
of pixels that count as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, signal

SMALLEST, LARGEST = 1e-3, 1.0  # of relative errors
CORRELATED = 4.0  # distance up to which correlations count [pixel]
MOST = 30.0  # largest tau
CORE = 1.0  # quasar light in units of the noise from which on pixels do not count for tau


class Errors(NamedTuple):
    """Errors of a model.

    Parameters
    ----------
    psf
        Relative error of the PSF.
    galaxies
        Relative error of the galaxies' light.
    together
        Number of pixels that count as one.
    """

    psf: float = 0.1
    galaxies: float = 0.1
    together: float = 1.0


class Light(NamedTuple):
    """What the errors of one image stand on, (n, n) each.

    Parameters
    ----------
    noise
        Variance of the noise and of the PSF as given.
    quasars
        The sum of the squared images of the quasar.
    galaxies
        Light of the galaxies.
    """

    noise: np.ndarray
    quasars: np.ndarray
    galaxies: np.ndarray

    def variance(self, errors: Errors) -> np.ndarray:
        """Variance (n, n) of the pixels."""
        return errors.together * self._single(errors.psf, errors.galaxies)

    def _single(self, psf: float, galaxies: float) -> np.ndarray:
        return self.noise + psf**2 * self.quasars + galaxies**2 * self.galaxies**2


def estimate(residuals: Sequence[np.ndarray], lights: Sequence[Light], before: Errors) -> Errors:
    """The errors with which the residuals of a fit are most probable.

    Parameters
    ----------
    residuals
        Data minus model of each image, (n, n) [counts/s per pixel].
    lights
        What its errors stand on.
    before
        Errors to start from.
    """

    def cost(logs: np.ndarray) -> float:
        psf, galaxies = np.exp(logs)
        total = 0.0
        for rest, light in zip(residuals, lights, strict=True):
            spread = light._single(psf, galaxies)
            used = np.isfinite(spread)
            total += float((rest[used] ** 2 / spread[used] + np.log(spread[used])).sum())
        return total

    bounds = [(np.log(SMALLEST), np.log(LARGEST))] * 2
    start = np.log(np.clip([before.psf, before.galaxies], SMALLEST, LARGEST))
    psf, galaxies = np.exp(optimize.minimize(cost, start, method="Nelder-Mead", bounds=bounds).x)
    found = Errors(float(psf), float(galaxies))
    pairs = zip(residuals, lights, strict=True)
    return found._replace(together=float(np.mean([_together(rest, light, found) for rest, light in pairs])))


def _together(residual: np.ndarray, light: Light, errors: Errors) -> float:
    """The sum of the correlations of an image's residuals, away from the quasar's images."""
    spread = light._single(errors.psf, errors.galaxies)
    used = np.isfinite(spread) & (light.quasars * errors.psf**2 < CORE**2 * light.noise)
    if used.sum() < 100:
        return 1.0
    white = np.where(used, residual / np.sqrt(np.where(used, spread, 1.0)), 0.0)
    products = signal.fftconvolve(white, white[::-1, ::-1])
    pairs = signal.fftconvolve(used.astype(float), used[::-1, ::-1].astype(float))
    middle, reach = len(residual) - 1, int(CORRELATED)
    near = slice(middle - reach, middle + reach + 1)
    correlation = products[near, near] / np.maximum(pairs[near, near], 1.0)
    offset = np.arange(-reach, reach + 1)
    inside = np.hypot(offset, offset[:, None]) <= CORRELATED
    return float(np.clip(correlation[inside].sum() / correlation[reach, reach], 1.0, MOST))
