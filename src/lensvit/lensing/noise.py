r"""Noise of images, which follows from the image, the background noise, the exposure and a seed.

Background noise is Gaussian with the same standard deviation in every pixel. Photon noise follows lenstronomy's
``image_util.add_poisson``: it is Gaussian with variance \|image\| / exposure. Both are independent, so that their sum
is drawn at once. Where an exposure map has less than the whole exposure, both are larger, as of an image that was
exposed for that long; where it has none, a pixel is 0 and says nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")

LEAST_SHARE = 1e-6  # in place of a share of 0 of the exposure time, so that variances are finite


def variance(
    image: Array, sigma_bkg: float | Array, exposure: float | Array, exposure_map: Array | None = None
) -> Array:
    """Variance of the noise in every pixel [(counts/s)^2], infinite where it has no share of the exposure time.

    Parameters
    ----------
    image
        Noise-free image or images of any shape [counts/s per pixel].
    sigma_bkg
        Standard deviation of the background noise, broadcast to the image [counts/s per pixel].
    exposure
        Exposure time, broadcast to the image [s].
    exposure_map
        The share of it that each pixel has, broadcast to the image; None for all of it everywhere.
    """
    whole = sigma_bkg**2 + abs(image) / exposure
    return whole if exposure_map is None else whole / exposure_map


def noise(
    image: np.ndarray, sigma_bkg: float, exposure: float, seed: int, exposure_map: np.ndarray | None = None
) -> np.ndarray:
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
    exposure_map
        (ny, nx) share of the exposure time that each pixel has; None for all of it everywhere.
    """
    normal = np.random.Generator(np.random.PCG64(seed)).standard_normal(image.shape, dtype=np.float32)
    return noisy(image, normal, sigma_bkg, exposure, exposure_map)


def noisy(
    image: np.ndarray,
    normal: np.ndarray,
    sigma_bkg: float,
    exposure: float,
    exposure_map: np.ndarray | None = None,
) -> np.ndarray:
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
    exposure_map
        (ny, nx) share of the exposure time that each pixel has; None for all of it everywhere.
    """
    seen = None if exposure_map is None else exposure_map.astype(np.float32).clip(LEAST_SHARE)
    result = variance(image, sigma_bkg, exposure, seen)
    # in place: new memory for each step costs as much as the step
    np.sqrt(result, out=result)
    result *= normal
    result += image
    if exposure_map is not None:
        result *= exposure_map > 0
    return result.astype(np.float32, copy=False)
