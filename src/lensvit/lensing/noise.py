r"""Noise of images, which follows from the image, the background noise, the exposure and a seed.

Background noise is Gaussian with the same standard deviation in every pixel. Photon noise follows lenstronomy's
``image_util.add_poisson``: it is Gaussian with variance \|image\| / exposure. Both are independent, so that their sum
is drawn at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")


def variance(image: Array, sigma_bkg: float | Array, exposure: float | Array) -> Array:
    """Variance of the noise in every pixel [(counts/s)^2].

    Parameters
    ----------
    image
        Noise-free image or images of any shape [counts/s per pixel].
    sigma_bkg
        Standard deviation of the background noise, broadcast to the image [counts/s per pixel].
    exposure
        Exposure time, broadcast to the image [s].
    """
    return sigma_bkg**2 + abs(image) / exposure


def noise(image: np.ndarray, sigma_bkg: float, exposure: float, seed: int) -> np.ndarray:
    """The image with its noise, float32; the same seed gives the same noise.

    Parameters
    ----------
    image
        (ny, nx) noise-free image [counts/s per pixel].
    sigma_bkg
        Standard deviation of the background noise [counts/s per pixel].
    exposure
        Exposure time [s].
    seed
        Seed of the system, column ``seed`` of the catalogue.
    """
    normal = np.random.Generator(np.random.PCG64(seed)).standard_normal(image.shape, dtype=np.float32)
    return noisy(image, normal, sigma_bkg, exposure)


def noisy(image: np.ndarray, normal: np.ndarray, sigma_bkg: float, exposure: float) -> np.ndarray:
    """The image with the noise that given random numbers stand for, float32.

    Parameters
    ----------
    image
        Noise-free image of any shape [counts/s per pixel].
    normal
        Standard normal numbers of the image's shape.
    sigma_bkg
        Standard deviation of the background noise [counts/s per pixel].
    exposure
        Exposure time [s].
    """
    result = variance(image, sigma_bkg, exposure)
    # in place: new memory for each step costs as much as the step
    np.sqrt(result, out=result)
    result *= normal
    result += image
    return result.astype(np.float32, copy=False)
