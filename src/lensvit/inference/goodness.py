"""Whether a model image explains the data: chi^2 of the whole image and of squares of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BLOCK = 10  # side of the squares whose chi^2 is looked at [pixel]
WORST = 5.0  # largest deviation of a chi^2 in an image that is explained [standard deviations]


def chi_square(residuals: Tensor, exposure_map: np.ndarray | None = None) -> tuple[Tensor, Tensor]:
    """chi^2 of whitened residuals, and how far it deviates from its expectation in any part of the image.

    The parts are squares with sides of 10 pixels, and the whole image: a quasar image that the model lacks spoils one
    square and hardly the whole.

    Parameters
    ----------
    residuals
        Whitened residuals (B, ny, nx).
    exposure_map
        (ny, nx) share of the exposure time that each pixel has, 0 where it does not count; None if all count.

    Returns
    -------
    mean : Tensor
        chi^2 per pixel of the whole image, (B,).
    deviation : Tensor
        Largest deviation of any part, (B,), in standard deviations by the cube root of Wilson & Hilferty (1931).
    """
    squares = residuals.double() ** 2
    ones = torch.ones_like(squares[:1])
    if exposure_map is not None:
        ones = (torch.as_tensor(exposure_map)[None] > 0).to(squares)
        squares = squares * ones
    whole, pixels = squares.sum((1, 2)), ones.sum()
    part, counts = (_blocks(tensor) for tensor in (squares, ones))
    worst = _deviation(part, counts).flatten(1).abs().amax(1)
    return whole / pixels, torch.maximum(worst, _deviation(whole, pixels).abs())


def _blocks(image: Tensor) -> Tensor:
    """Sums over squares of images (B, ny, nx); those at the border may be cut."""
    total = torch.nn.functional.avg_pool2d(image[:, None], BLOCK, ceil_mode=True, divisor_override=1)
    return total[:, 0]


def _deviation(chi_square: Tensor, count: Tensor) -> Tensor:
    """A chi^2 of ``count`` pixels as a standard normal number (Wilson & Hilferty 1931); 0 of no pixel."""
    some = count.clamp_min(1)
    width = 2 / (9 * some)
    deviation = ((chi_square / some) ** (1 / 3) - (1 - width)) / width.sqrt()
    return torch.where(count > 0, deviation, 0.0)
