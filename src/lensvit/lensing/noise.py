"""Noise of an image: a function of (image, sigma_bkg, exposure, seed).

Background noise is Gaussian with the same standard deviation in every pixel. Photon noise
on the model counts follows lenstronomy's ``image_util.add_poisson``: Gaussian, of variance
|image| / exposure. Both are independent, so their sum is drawn at once.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

Array = TypeVar("Array")


def variance(image: Array, sigma_bkg: float | Array, exposure: float) -> Array:
    """Variance of the noise in every pixel [(counts/s)^2], of the image's shape and kind.

    Parameters
    ----------
    image : noise-free, counts/s per pixel; a NumPy array or a torch tensor of any shape.
    sigma_bkg : standard deviation of the background [counts/s per pixel], broadcast to it.
    exposure : [s].
    """
    return sigma_bkg**2 + abs(image) / exposure


def noise(image: np.ndarray, sigma_bkg: float, exposure: float, seed: int) -> np.ndarray:
    """The noisy image (ny, nx), float32, counts/s per pixel; the same seed gives the same noise.

    Parameters
    ----------
    image : (ny, nx), noise-free, counts/s per pixel.
    sigma_bkg : standard deviation of the background [counts/s per pixel].
    exposure : [s].
    seed : the system's, column ``seed`` of the catalogue; it keys a stream of its own.
    """
    normal = np.random.Generator(np.random.PCG64(seed)).standard_normal(image.shape, dtype=np.float32)
    return noisy(image, normal, sigma_bkg, exposure)


def noisy(image: np.ndarray, normal: np.ndarray, sigma_bkg: float, exposure: float) -> np.ndarray:
    """The image with the noise that standard normal numbers ``normal`` of its shape stand for, float32."""
    result = variance(image, sigma_bkg, exposure)
    # in place: new memory for each step costs as much as the step
    np.sqrt(result, out=result)
    result *= normal
    result += image
    return result.astype(np.float32, copy=False)
