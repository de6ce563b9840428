"""Whether a model image explains the data: chi^2 of the whole image and of squares of it."""

from __future__ import annotations

import torch
from torch import Tensor

from lensvit.inference.posterior import Posterior

BLOCK = 10  # side of the squares whose chi^2 is looked at [pixel]
WORST = 5.0  # largest deviation of a chi^2 in an image that is explained [standard deviations]


def chi_square(residuals: Tensor) -> tuple[Tensor, Tensor]:
    """chi^2 of whitened residuals, and how far it deviates from its expectation in any part of the image.

    The parts are squares with sides of 10 pixels, and the whole image: a quasar image that the model lacks spoils one
    square and hardly the whole.

    Parameters
    ----------
    residuals
        Whitened residuals (B, ny, nx).

    Returns
    -------
    mean : Tensor
        chi^2 per pixel of the whole image, (B,).
    deviation : Tensor
        Largest deviation of any part, (B,), in standard deviations by the cube root of Wilson & Hilferty (1931).
    """
    squares = residuals.double() ** 2
    ones = torch.ones_like(squares[:1])
    whole, pixels = squares.sum((1, 2)), torch.tensor(float(ones.numel()), dtype=torch.float64)
    part, counts = (_blocks(tensor) for tensor in (squares, ones))
    worst = _deviation(part, counts).flatten(1).abs().amax(1)
    return whole / pixels, torch.maximum(worst, _deviation(whole, pixels).abs())


def _blocks(image: Tensor) -> Tensor:
    """Sums over squares of images (B, ny, nx); those at the border may be cut."""
    total = torch.nn.functional.avg_pool2d(image[:, None], BLOCK, ceil_mode=True, divisor_override=1)
    return total[:, 0]


def _deviation(chi_square: Tensor, count: Tensor) -> Tensor:
    """A chi^2 of ``count`` pixels as a standard normal number (Wilson & Hilferty 1931)."""
    width = 2 / (9 * count)
    return ((chi_square / count) ** (1 / 3) - (1 - width)) / width.sqrt()


def explained(posterior: Posterior, coordinates: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Whether the model images at some coordinates explain the data.

    Parameters
    ----------
    posterior
        The posterior of the systems.
    coordinates
        Coordinates (b, 14).
    rows
        The systems of the posterior that these belong to, (b,).

    Returns
    -------
    mean : Tensor
        chi^2 per pixel, (b,); infinity where no image can be computed.
    good : Tensor
        Whether no part of the image deviates, (b,).
    """
    mean = torch.full((len(rows),), torch.inf, dtype=torch.float64)
    good = torch.zeros(len(rows), dtype=torch.bool)
    models = posterior.models(coordinates)
    computed = models.good
    if computed.any():
        mean[computed], worst = chi_square(posterior.likelihood(rows[computed]).residuals(models.images))
        good[computed] = worst < WORST
    return mean, good
