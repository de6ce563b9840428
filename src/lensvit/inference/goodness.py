"""Whether a model image explains the data: chi^2 of the whole image and of its squares."""

from __future__ import annotations

import torch
from torch import Tensor

from lensvit.inference.posterior import Posterior

BLOCK = 10  # side of the squares whose chi^2 is looked at [pixel]
WORST = 5.0  # largest deviation of a chi^2 [standard deviations]


# ---------------------------------------------------------------- whether a fit explains its image


def chi_square(residuals: Tensor) -> tuple[Tensor, Tensor]:
    """chi^2 per pixel of whitened residuals (B, ny, nx), and the largest deviation of any square's from 1.

    The deviation (B,) is in standard deviations, by the cube root of Wilson & Hilferty (1931), over squares
    of 10 pixels and the whole image: a quasar image that the model lacks spoils one square and hardly the whole.
    """
    squares = residuals.double() ** 2
    ones = torch.ones_like(squares[:1])
    whole, pixels = squares.sum((1, 2)), torch.tensor(float(ones.numel()), dtype=torch.float64)
    part, counts = (_blocks(tensor) for tensor in (squares, ones))
    worst = _deviation(part, counts).flatten(1).abs().amax(1)
    return whole / pixels, torch.maximum(worst, _deviation(whole, pixels).abs())


def _blocks(image: Tensor) -> Tensor:
    mean = torch.nn.functional.avg_pool2d(image[:, None], BLOCK, ceil_mode=True, divisor_override=1)
    return mean[:, 0]


def _deviation(chi_square: Tensor, count: Tensor) -> Tensor:
    width = 2 / (9 * count)
    return ((chi_square / count) ** (1 / 3) - (1 - width)) / width.sqrt()


def explained(posterior: Posterior, coordinates: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """chi^2 per pixel (b,), and whether no part of the image deviates (b,), from the data alone."""
    mean = torch.full((len(rows),), torch.inf, dtype=torch.float64)
    good = torch.zeros(len(rows), dtype=torch.bool)
    model, computed = posterior.images(coordinates)
    if computed.any():
        mean[computed], worst = chi_square(posterior.likelihood(rows[computed]).residuals(model))
        good[computed] = worst < WORST
    return mean, good
