"""From an image to a network's input: noise, resize, brightness and stretch, each as a function of tensors.

The order is that of an observation: noise belongs to the detector's pixels, so that it is added first; the resize to
the network's side follows, then the factor to the recipe's brightness, and the stretch of counts to three colours at
last. :mod:`lensvit.learning.inputs` and :mod:`lensvit.learning.stream` compose them.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from lensvit.learning import graded_resize
from lensvit.learning.settings import InputRecipe

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
REFERENCE_SCALE = 0.05  # arcsec: `per_area` brightness is per pixel of this side, HST's


def brightness_factor(recipe: InputRecipe, pixel_scale: float) -> float:
    """The factor from counts/s per pixel of ``pixel_scale`` [arcsec] to the recipe's brightness."""
    return (REFERENCE_SCALE / pixel_scale) ** 2 if recipe.brightness == "per_area" else 1.0


def add_noise(images: Tensor, normal: Tensor, variance: Tensor) -> Tensor:
    """Images with the noise that standard normal numbers stand for.

    Parameters
    ----------
    images
        Noise-free images of any shape [counts/s per pixel].
    normal
        Standard normal numbers of the same shape.
    variance
        Variance of the noise in each pixel, of the same shape.
    """
    return images + normal * variance.sqrt()


def to_input_scale(images: Tensor, size: int, how: str, factor: float) -> Tensor:
    """Images at the side and in the brightness of a network's input, before the stretch.

    Parameters
    ----------
    images
        Images (n, ny, nx) [counts/s per pixel].
    size
        Side S of the input [pixel].
    how
        The recipe's ``resize``.
    factor
        What :func:`brightness_factor` gives for the camera.

    Returns
    -------
    Tensor
        Images (n, S, S).
    """
    return resize(images, size, how) * factor


def resize(images: Tensor, size: int, how: str) -> Tensor:
    """Images (n, ny, nx) resized to (n, size, size).

    Parameters
    ----------
    images
        Images (n, ny, nx).
    size
        Side of the result [pixel].
    how
        "bilinear" keeps the corners in place, as scipy.ndimage.zoom of order 1 does; "area" is the mean over the part
        of the image that an output pixel covers; "graded" is the mean over blocks that grow outwards.
    """
    if how == "graded":
        return graded_resize.resize(images, size)
    if how == "area":
        return adaptive_avg_pool2d(images[:, None], size)[:, 0]
    return interpolate(images[:, None], size=(size, size), mode="bilinear", align_corners=True)[:, 0]


def mean_variance(variance: Tensor, size: int, how: str) -> Tensor:
    """The variance of an image's pixels after a resize to means over whole blocks of independent pixels.

    Parameters
    ----------
    variance
        Variance of each pixel (n, ny, nx).
    size
        Side of the result [pixel].
    how
        "graded", or "area" where ``size`` divides ny and nx.

    Returns
    -------
    Tensor
        Variances (n, size, size).
    """
    if how == "graded":
        return graded_resize.mean_variance(variance, size)
    return resize(variance, size, how) / (variance.shape[-1] // size) ** 2


def stretch(images: Tensor, how: str, unit: float = 1.0) -> Tensor:
    """Counts (B, S, S) to a network's input (B, 3, S, S).

    Parameters
    ----------
    images
        Images (B, S, S) in the recipe's brightness.
    how
        "raw" repeats the counts in all three colours, "imagenet" does so after ImageNet's normalisation, "asinh" after
        their asinh; "three" resolves the sky, the arcs and the peaks of the quasars, a thousand times brighter, in one
        colour each.
    unit
        What is taken as one count/s.
    """
    if unit != 1.0:
        images = images / unit
    if how == "three":
        return torch.stack([torch.asinh(images) / 2 - 0.5, torch.asinh(images / 20), (images / 50).clamp(-1, 8)], 1)
    if how == "asinh":
        return (torch.asinh(images) / 2 - 0.5)[:, None].expand(-1, 3, -1, -1)
    thrice = images[:, None].expand(-1, 3, -1, -1)
    if how == "imagenet":
        mean, sd = _imagenet(images.device)
        return (thrice - mean) / sd
    return thrice


@cache
def _imagenet(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (3, 1, 1) of ImageNet's colours, which are sent to a device once."""
    mean, sd = (torch.tensor(values, device=device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_SD))
    return mean, sd
