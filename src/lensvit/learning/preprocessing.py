"""From an image to a network's input: brightness, resize and stretch."""

from __future__ import annotations

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


def resize(images: Tensor, size: int, how: str) -> Tensor:
    """(n, ny, nx) to (n, size, size).

    "bilinear" keeps the corners in place, as scipy.ndimage.zoom of order 1; "area" is the
    mean over the part of the image that an output pixel covers; "graded" is the mean over blocks
    that grow outwards.
    """
    if how == "graded":
        return graded_resize.resize(images, size)
    if how == "area":
        return adaptive_avg_pool2d(images[:, None], size)[:, 0]
    return interpolate(images[:, None], size=(size, size), mode="bilinear", align_corners=True)[:, 0]


def mean_variance(variance: Tensor, size: int, how: str) -> Tensor:
    """The variance (n, size, size) after a resize to means over whole blocks, of independent pixels (n, ny, nx)."""
    if how == "graded":
        return graded_resize.mean_variance(variance, size)
    return resize(variance, size, how) / (variance.shape[-1] // size) ** 2


def stretch(image: Tensor, how: str) -> Tensor:
    """Counts (B, S, S) to network input (B, 3, S, S).

    "three" resolves the sky, the arcs and the peaks of the quasars, a thousand times
    brighter, in one channel each.
    """
    if how == "three":
        return torch.stack([torch.asinh(image) / 2 - 0.5, torch.asinh(image / 20), (image / 50).clamp(-1, 8)], 1)
    if how == "asinh":
        return (torch.asinh(image) / 2 - 0.5)[:, None].expand(-1, 3, -1, -1)
    thrice = image[:, None].expand(-1, 3, -1, -1)
    if how == "imagenet":
        mean = torch.tensor(IMAGENET_MEAN, device=image.device)[:, None, None]
        return (thrice - mean) / torch.tensor(IMAGENET_SD, device=image.device)[:, None, None]
    return thrice
