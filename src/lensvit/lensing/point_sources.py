"""Quasar images on batches of images: the PSF, shifted by bilinear interpolation."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lensvit.lensing.galaxies import Rows


class Stencil(NamedTuple):
    """Point sources on a grid of (fine) pixels.

    corner : (B, M, 2) column and row of the lower left of the four pixels that a source is spread over.
    weights : (B, C, M, 4) its light in them, in C channels: (row, column), (row, column + 1), (row + 1, ...).
    place : (B, 4 M) index in the image of the pixels of sources that go through the convolution.
    before : (B, C, 4 M) their weights. after : the system and number of each source that does not.
    """

    corner: Tensor
    weights: Tensor
    place: Tensor
    before: Tensor
    after: list[tuple[int, int]]


def bilinear(within: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (B, M, 4) of the four pixels around points, and their derivatives by x and by y [1/pixel].

    ``within`` (B, M, 2) is the distance from the lower left one, between 0 and 1.
    """
    x, y = torch.stack([1 - within[..., 0], within[..., 0]], -1), torch.stack([1 - within[..., 1], within[..., 1]], -1)
    step = within.new_tensor([-1.0, 1.0])
    weights = (y[..., :, None] * x[..., None, :]).flatten(-2)
    by_x = (y[..., :, None] * step).flatten(-2)
    by_y = (step[:, None] * x[..., None, :]).flatten(-2)
    return weights, by_x, by_y


class PointSources:
    """Point sources, shifted by bilinear interpolation of the kernel's pixels, as lenstronomy does.

    With a native kernel they are points that go through the convolution with the galaxies. A fine kernel,
    centred on a fine pixel and summed over native pixels, is a native kernel of one of s x s phases; the
    weighted sum of four of them is added to the image. So are native sources beyond the image's border.

    Parameters
    ----------
    kernel : (s k, s k), odd, on pixels of a fraction 1/s of the image's, 0 at its border.
    supersampling : s, odd. pixels : side of the image.
    """

    def __init__(
        self, kernel: np.ndarray, supersampling: int, pixels: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.supersampling, self.pixels, self.dtype = supersampling, pixels, dtype
        self.radius = len(kernel) // supersampling // 2 + 1
        self.phases = _phases(kernel, supersampling, self.radius).to(device, dtype)

    def stencil(self, pixel: Tensor, channels: Callable[[Tensor], Tensor]) -> Stencil:
        """Sources at ``pixel`` (B, M, 2), column and row.

        ``channels`` gives their light (B, C, M, 4) from the distance (B, M, 2) to the lower left fine pixel.
        """
        fine = pixel * self.supersampling + (self.supersampling - 1) // 2
        corner = torch.floor(fine)
        weights = channels(fine - corner)
        corner = corner.long()
        inside = ((corner >= 0) & (corner + 1 < self.pixels)).all(-1) & (self.supersampling == 1)
        across = corner.new_tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
        column, row = torch.where(inside[..., None, None], corner[:, :, None] + across, 0).unbind(-1)  # (B, M, 4)
        before = torch.where(inside[:, None, :, None], weights, 0).to(self.dtype).flatten(2)
        present = (weights != 0).any(-1).any(1)
        after = torch.nonzero(present & ~inside).tolist()
        return Stencil(corner, weights.to(self.dtype), (row * self.pixels + column).flatten(1), before, after)

    def add_before(self, image: Tensor, stencil: Stencil, rows: Rows) -> None:
        """Add to images (b, C, ny, nx) of some systems what the convolution spreads, in place."""
        place = stencil.place[rows][:, None].expand(-1, image.shape[1], -1)
        image.view(*image.shape[:2], -1).scatter_add_(2, place, stencil.before[rows])

    def add_after(self, images: Tensor, stencil: Stencil) -> None:
        """Add the other sources to all convolved images (B, C, ny, nx), in place."""
        for system, source in stencil.after:
            self._add(images[system], *stencil.corner[system, source].tolist(), stencil.weights[system, :, source])

    def _add(self, image: Tensor, column: int, row: int, weights: Tensor) -> None:
        (i, phase_i), (j, phase_j) = divmod(row, self.supersampling), divmod(column, self.supersampling)
        side = self.phases.shape[-1]
        (low_i, high_i), (low_j, high_j) = (
            (min(max(start, 0), self.pixels), min(max(start + side, 0), self.pixels))
            for start in (i - self.radius, j - self.radius)
        )
        start_i, start_j = low_i - i + self.radius, low_j - j + self.radius
        kernels = self.phases[phase_i : phase_i + 2, phase_j : phase_j + 2]
        kernels = kernels[:, :, start_i : start_i + high_i - low_i, start_j : start_j + high_j - low_j].flatten(0, 1)
        image[:, low_i:high_i, low_j:high_j] += torch.tensordot(weights, kernels, 1)


def _phases(kernel: np.ndarray, s: int, radius: int) -> Tensor:
    """Native kernels (s + 1, s + 1, side, side) of a source on each fine pixel of the central one, and on the next.

    The central pixel is (radius, radius), the side 2 radius + 2.
    """
    side = 2 * radius + 2
    result = np.zeros((s + 1, s + 1, side, side))
    start = radius * s - len(kernel) // 2
    for i in range(s + 1):
        for j in range(s + 1):
            fine = np.zeros((side * s, side * s))
            fine[start + i : start + i + len(kernel), start + j : start + j + len(kernel)] = kernel
            result[i, j] = fine.reshape(side, s, side, s).sum((1, 3))
    return torch.as_tensor(result)
