r"""Resize by means over blocks of whole pixels that grow from the image's middle outwards.

A lens lies in the middle of its image, and what tells the centre and the profile of the lens galaxy
lies in its core, within fewer pixels than a small input would spend on it. Along each axis the edge
of the block that ends at the share u of the input's half side lies at the share

.. math:: u (1 + u) / 2

of the image's half side, to the nearest pixel: blocks in the middle have half the side that all would
have if they were alike, those at the border one and a half times that side. Blocks share no pixel, so
that noise stays independent; they lie symmetrically about the middle, so that turns and reflections
of the image are those of the input. :func:`lensvit.learning.settings.graded_fits` says for which sides this works.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor


def graded(places: np.ndarray) -> np.ndarray:
    """Where ``places`` of the input lie in the image, both from -1 to 1 along an axis."""
    return places * (1 + np.abs(places)) / 2


@cache
def edges(pixels: int, size: int) -> np.ndarray:
    """Edges (size + 1,) of the blocks along an axis of ``pixels`` pixels [pixel]."""
    offset = graded(np.linspace(-1, 1, size + 1)) * (pixels // 2)
    return pixels // 2 + (np.sign(offset) * np.floor(np.abs(offset) + 0.5)).astype(int)


def resize(images: Tensor, size: int) -> Tensor:
    """The mean over each block, (n, size, size), of images (n, P, P)."""
    mean = _mean(images.shape[-1], size, images.device, images.dtype)
    return mean @ images @ mean.T


def mean_variance(variance: Tensor, size: int) -> Tensor:
    """The variance (n, size, size) of each block's mean, from those of independent pixels (n, P, P)."""
    squared = _mean(variance.shape[-1], size, variance.device, variance.dtype) ** 2
    return squared @ variance @ squared.T


@cache
def _mean(pixels: int, size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A matrix (size, P) of which each row takes the mean of a block along an axis; it is sent to a device once."""
    block = np.repeat(np.arange(size), np.diff(edges(pixels, size)))  # (P,), the block of each pixel
    chosen = torch.as_tensor(block == np.arange(size)[:, None])
    return (chosen / chosen.sum(1, keepdim=True)).to(device, dtype)
