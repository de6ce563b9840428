r"""Where an image is not explained: :math:`\chi^2` by the noise of the data alone, as maps and for parts of the image.

The errors of the model (:mod:`lensvit.observations.noise_model`) do not count here. A pixel of a model that explains
the data has a :math:`\chi^2` of 1 in the mean.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from lensvit.observations.fitting import SceneFit
from lensvit.observations.observation import ObservedImage

SMOOTHING = 2.0  # standard deviation of the weights in the smoothed map [pixel]
BRIGHT = 1.0  # light of a pixel that belongs to galaxies or to the quasar, in units of the noise


class ChiSquare(NamedTuple):
    """Mean chi^2 per pixel in parts of an image, by the noise of the data alone; NaN for a part without a pixel.

    Parameters
    ----------
    galaxies
        Where the light of the lens galaxy and of the quasar's host galaxy exceeds the noise and that of the quasar.
    quasar
        Where the light of the quasar's images exceeds the noise and that of the galaxies.
    rest
        Where neither exceeds the noise.
    whole
        In all pixels that count.
    """

    galaxies: float
    quasar: float
    rest: float
    whole: float


class ChiSquareMaps(NamedTuple):
    """Maps of chi^2 (n, n) by the noise of the data alone, NaN where a pixel does not count.

    Parameters
    ----------
    pixels
        The squared residual of each pixel, in units of its variance.
    smoothed
        Its mean over the pixels nearby, with Gaussian weights; noise alone scatters it by 0.2 about 1.
    """

    pixels: np.ndarray
    smoothed: np.ndarray


def chi_square_maps(image: ObservedImage, model: np.ndarray) -> ChiSquareMaps:
    """The maps of one image.

    Parameters
    ----------
    image
        The image.
    model
        The model of it (n, n) [counts/s per pixel].
    """
    used = np.isfinite(image.variance)
    squares = np.where(used, (image.data - model) ** 2 / np.where(used, image.variance, 1.0), 0.0)
    total, weight = (
        ndimage.gaussian_filter(part, SMOOTHING, mode="constant") for part in (squares, used.astype(float))
    )
    smoothed = total / np.where(used, weight, 1.0)
    return ChiSquareMaps(np.where(used, squares, np.nan), np.where(used, smoothed, np.nan))


def chi_square(fit: SceneFit) -> ChiSquare:
    """Mean chi^2 per pixel in parts of all images of a fit.

    Parameters
    ----------
    fit
        A fitted scene.
    """
    part, solution = fit.posterior.solution(fit.coordinates)
    parts, amplitudes = fit.posterior.parts, solution.amplitudes
    model, galaxies, quasar = (
        (amplitudes[rows] @ part[rows]).numpy() for rows in (slice(None), parts.galaxies, parts.quasars)
    )
    data, variance = (
        np.concatenate([plane.ravel() for plane in planes])
        for planes in zip(*((image.data, image.variance) for image in fit.observation.images), strict=True)
    )
    used = np.isfinite(variance)
    squares, bright = (data - model)[used] ** 2 / variance[used], BRIGHT * np.sqrt(variance[used])
    galaxies, quasar = galaxies[used], quasar[used]
    of_galaxies = (galaxies > bright) & (galaxies >= quasar)
    of_quasar = (quasar > bright) & (quasar > galaxies)
    regions = of_galaxies, of_quasar, ~(of_galaxies | of_quasar), np.ones_like(of_quasar)
    return ChiSquare(*(float(squares[region].mean()) if region.any() else float("nan") for region in regions))
