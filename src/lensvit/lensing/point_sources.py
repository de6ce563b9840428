"""Point sources in batches of images: the PSF's kernel, shifted by bilinear interpolation, in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lensvit.lensing.shifted_kernel import native_kernel, overlap

GPU_BLOCK = 2**23  # pixels, of all channels, that a GPU computes at once


class Patches(NamedTuple):
    """S point sources, each a patch of pixels that is added to the image of one system.

    Parameters
    ----------
    system
        (S,) place of the system whose image it is.
    corner
        (S, 2) column and row of the lower left of the four fine pixels that the source is spread over.
    weights
        (S, C, 4) light of the source in these pixels, in C channels.
    """

    system: Tensor
    corner: Tensor
    weights: Tensor


class Stencil(NamedTuple):
    """Point sources on a grid of fine pixels.

    A source is spread over four pixels: (row, column), (row, column + 1), (row + 1, column) and (row + 1, column + 1).

    Parameters
    ----------
    place
        (B, 4 M) indices in the flat image of the pixels of all sources that are added before the convolution.
    before
        (B, C, 4 M) light of these sources in these pixels, 0 for the other sources.
    after
        The sources that are added after the convolution.
    """

    place: Tensor
    before: Tensor
    after: Patches


def bilinear(within: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights of the four pixels around points, and their derivatives by x and by y [1/pixel], each (B, M, 4).

    Parameters
    ----------
    within
        (B, M, 2) distance along x and y from the lower left pixel, between 0 and 1.
    """
    x, y = torch.stack([1 - within[..., 0], within[..., 0]], -1), torch.stack([1 - within[..., 1], within[..., 1]], -1)
    step = within.new_tensor([-1.0, 1.0])
    weights = (y[..., :, None] * x[..., None, :]).flatten(-2)
    by_x = (y[..., :, None] * step).flatten(-2)
    by_y = (step[:, None] * x[..., None, :]).flatten(-2)
    return weights, by_x, by_y


class PointSources:
    """Point sources by bilinear interpolation of the kernel's pixels, as lenstronomy adds them.

    With a native kernel the sources are pixels that are convolved together with the galaxies. With a fine one, and at
    or beyond the border of the image, they are added to the convolved image as
    :class:`lensvit.lensing.shifted_kernel.ShiftedKernel` does, all channels at once.

    Parameters
    ----------
    kernel
        (s k, s k) kernel on pixels of a fraction 1/s of the image's, 0 at its border, s k being odd.
    supersampling
        The number s of fine pixels along the side of a native pixel, odd.
    pixels
        Side of the image [pixel].
    dtype
        Precision of the images.
    device
        Where the images are.
    """

    def __init__(
        self, kernel: np.ndarray, supersampling: int, pixels: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.supersampling, self.pixels, self.dtype = supersampling, pixels, dtype
        self.radius = len(kernel) // supersampling // 2 + 1
        self.phases = _phases(kernel, supersampling, self.radius).to(device, dtype)

    def stencil(self, pixel: Tensor, channels: Callable[[Tensor], Tensor]) -> Stencil:
        """Where the light of sources goes.

        Parameters
        ----------
        pixel
            (B, M, 2) column and row of the sources [pixel].
        channels
            From the distances (B, M, 2) of the sources to their lower left fine pixels to their light (B, C, M, 4) in
            four pixels.
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
        system, source = torch.nonzero(present & ~inside, as_tuple=True)
        after = Patches(system, corner[system, source], weights[system, :, source].to(self.dtype))
        return Stencil((row * self.pixels + column).flatten(1), before, after)

    def add_before(self, image: Tensor, stencil: Stencil, rows: slice) -> None:
        """Add the sources that the convolution spreads to images (b, C, ny, nx) of some systems, in place."""
        place = stencil.place[rows][:, None].expand(-1, image.shape[1], -1)
        image.view(*image.shape[:2], -1).scatter_add_(2, place, stencil.before[rows])

    def add_after(self, images: Tensor, patches: Patches) -> None:
        """Add the other sources to the convolved images (B, C, ny, nx) of all systems, in place."""
        if images.device.type != "cpu":
            self._add_in_blocks(images, patches)
            return
        places = zip(patches.system.tolist(), patches.corner.tolist(), patches.weights, strict=True)
        for system, (column, row), weights in places:
            self._add(images[system], column, row, weights)

    def _add_in_blocks(self, images: Tensor, patches: Patches) -> None:
        """Add as many sources at once as a GPU has memory for."""
        at_once = max(1, GPU_BLOCK // (self.phases.shape[-1] ** 2 * images.shape[1]))
        for block in zip(*(tensor.split(at_once) for tensor in patches), strict=True):
            self._add_together(images, Patches(*block))

    def _add_together(self, images: Tensor, patches: Patches) -> None:
        """Add sources to images all at once, as is fastest on a GPU, which is not waited for."""
        column, row = patches.corner.unbind(-1)
        (column, phase_column), (row, phase_row) = (
            (torch.div(place, self.supersampling, rounding_mode="floor"), place.remainder(self.supersampling))
            for place in (column, row)
        )
        next_to = torch.arange(2, device=images.device)
        kernels = self.phases[(phase_row[:, None] + next_to)[:, :, None], (phase_column[:, None] + next_to)[:, None]]
        light = patches.weights @ kernels.flatten(3).flatten(1, 2)  # (S, C, side side)
        along = torch.arange(self.phases.shape[-1], device=images.device) - self.radius
        rows, columns = (row[:, None] + along)[:, :, None], (column[:, None] + along)[:, None]
        within = (rows >= 0) & (rows < self.pixels) & (columns >= 0) & (columns < self.pixels)  # (S, side, side)
        place = torch.where(within, rows * self.pixels + columns, 0).flatten(1)[:, None]
        channel = patches.system[:, None] * images.shape[1] + torch.arange(images.shape[1], device=images.device)
        place = channel[..., None] * self.pixels**2 + place  # in all images, (S, C, side side)
        light = torch.where(within.flatten(1)[:, None], light, 0)
        images.view(-1).scatter_add_(0, place.flatten(), light.flatten())

    def _add(self, image: Tensor, column: int, row: int, weights: Tensor) -> None:
        """Add a source in four pixels, whose lower left one is given, to the channels (C, ny, nx) of an image."""
        (i, phase_i), (j, phase_j) = divmod(row, self.supersampling), divmod(column, self.supersampling)
        side = self.phases.shape[-1]
        rows, kernel_rows = overlap(i - self.radius, side, self.pixels)
        columns, kernel_columns = overlap(j - self.radius, side, self.pixels)
        kernels = self.phases[phase_i : phase_i + 2, phase_j : phase_j + 2, kernel_rows, kernel_columns].flatten(0, 1)
        image[:, rows, columns] += torch.tensordot(weights, kernels, 1)


def _phases(kernel: np.ndarray, s: int, radius: int) -> Tensor:
    """Native kernels of a source on each fine pixel of a native pixel and on the fine pixels next to it.

    Returns
    -------
    Tensor
        (s + 1, s + 1, side, side) kernels, side being 2 radius + 2; the native pixel is (radius, radius).
    """
    side, phases = 2 * radius + 2, range(s + 1)
    return torch.as_tensor(np.array([[native_kernel(kernel, s, (i, j), radius, side) for j in phases] for i in phases]))
