r"""The information that is left in a network's input, after the image has been resized to its own side.

Every resize is linear along each axis, r = R m, so that the input is normal with the covariance R V R^T, for a variance
V of independent pixels, and its Fisher information is

.. math:: J = (R D)^T (R V R^T)^{-1} R D

with the image's derivatives D. What follows the resize, a factor and a stretch, keeps the information. That of the
variance itself, which depends on the parameters through the photons of the lens, is left out: it is at most
1 / (2 N) of the other where the noise of a pixel is that of N photons (3e-4 at the paper's least background).

Means over blocks that share no pixel stay independent. Where an input pixel shares image pixels with its neighbours,
the equations are solved by conjugate gradients. An input that has the whole image in it has its information.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from lensvit.errors import LensvitError
from lensvit.learning.preprocessing import resize

TOLERANCE = 1e-5  # of the residual, relative to the right side
MOST_STEPS = 2000
NEXT_TO_NONE = 1e-4  # variance of a pixel without data, in units of the least of the others


@cache
def along_axis(pixels: int, size: int, how: str) -> Tensor:
    """The matrix (size, pixels) that resizes along one axis, float64.

    Parameters
    ----------
    pixels, size
        Sides of image and input.
    how
        The recipe's ``resize``.
    """
    columns = torch.eye(pixels, dtype=torch.float64)[:, :, None].expand(-1, -1, pixels)  # 1 in one row each
    return resize(columns, size, how)[:, :, 0].T.contiguous()


def counted(jacobian: Tensor, variance: Tensor, exposure_map: np.ndarray | None) -> tuple[Tensor, Tensor]:
    """Derivatives (B, P, ny, nx) and variance (B, ny, nx) of images whose pixels without data are 0.

    Their noise is next to none, and not none, so that the equations can be solved.

    Parameters
    ----------
    jacobian, variance
        Derivatives and variance of whole images.
    exposure_map
        (ny, nx) share of the exposure time that each pixel has; None for all of it everywhere.
    """
    if exposure_map is None:
        return jacobian, variance
    seen = torch.as_tensor(exposure_map > 0)
    return jacobian * seen, torch.where(seen, variance, NEXT_TO_NONE * variance[:, seen].amin(1)[:, None, None])


def input_information(jacobian: Tensor, variance: Tensor, size: int, how: str) -> Tensor | None:
    """Fisher information of resized images.

    Parameters
    ----------
    jacobian
        Derivatives of B images by P parameters, (B, P, ny, nx).
    variance
        Variance of each pixel, (B, ny, nx).
    size
        Side of the input [pixel].
    how
        The recipe's ``resize``.

    Returns
    -------
    Tensor or None
        (B, P, P), float64; None if the input has all that the image has.

    Raises
    ------
    LensvitError
        If the equations cannot be solved.
    """
    matrix = along_axis(jacobian.shape[-1], size, how)
    if torch.linalg.matrix_rank(matrix) == matrix.shape[1]:
        return None
    resized = matrix @ jacobian.double() @ matrix.T  # (B, P, size, size)
    squared = matrix**2
    diagonal = (squared @ variance.double() @ squared.T)[:, None]
    independent = bool(((matrix != 0).sum(0) <= 1).all())
    solved = resized / diagonal if independent else _solved(matrix, variance.double(), diagonal, resized)
    return resized.flatten(2) @ solved.flatten(2).mT


def _solved(matrix: Tensor, variance: Tensor, diagonal: Tensor, right: Tensor) -> Tensor:
    """Solutions (B, P, size, size) of (R V R^T) x = right, by conjugate gradients scaled with the diagonal."""

    def product(left: Tensor, other: Tensor) -> Tensor:
        return (left * other).sum((-2, -1), keepdim=True)

    result, residual = torch.zeros_like(right), right.clone()
    scaled = residual / diagonal
    direction, square = scaled, product(residual, scaled)
    enough = TOLERANCE**2 * square
    for _ in range(MOST_STEPS):
        image = matrix @ (variance[:, None] * (matrix.T @ direction @ matrix)) @ matrix.T
        step = square / product(direction, image).clamp(min=torch.finfo(torch.float64).tiny)
        result, residual = result + step * direction, residual - step * image
        scaled = residual / diagonal
        before, square = square, product(residual, scaled)
        if (square <= enough).all():
            return result
        direction = scaled + square / before.clamp(min=torch.finfo(torch.float64).tiny) * direction
    raise LensvitError(
        "the limit of a network's input cannot be computed, as its pixels share too much of the image: choose another "
        "image_size or resize, or set limit.enabled to false"
    )
