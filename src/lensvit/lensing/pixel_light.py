r"""The light of galaxies in the pixels of an image, as means over samples that are closer where it is curved.

At the centre of a steep profile the light of a pixel is not that of its middle, and even many equally spaced samples
miss it: a Sérsic profile of index 6, whose effective radius is seven pixels, has 1.5% of its light within a tenth of a
pixel. About a nucleus, a cell is therefore split in four if it is nearer to it than three of its sides, and so are its
quarters. Each cell that is not split, and each one elsewhere across which light is curved, has four samples, those of
Gauss's rule that is exact for cubic light (Abramowitz & Stegun 1964, 25.4.30).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lensvit.lensing.exposure import Exposure
from lensvit.lensing.samples import sample_axis

SPLIT = 3.0  # distance of a cell from a nucleus up to which it is split [its side]
REACH = 10.0  # distance of a cell from a nucleus up to which it has four points [cell]
FINEST = 1e-4  # side of a cell that is not split any more [arcsec]
GAUSS = 0.5 / np.sqrt(3)  # distance of the points of Gauss's rule from the middle of a cell [its side]


class _Points(NamedTuple):
    """Samples of some cells, which stand in place of those that all cells have.

    Parameters
    ----------
    cell
        Place of the cell of each sample in the flat image, (n,).
    offset
        From the cell's middle to the sample, (n, 2) [cell].
    weight
        Share of the cell that it stands for, (n,).
    """

    cell: np.ndarray
    offset: np.ndarray
    weight: np.ndarray

    def of(self, kept: np.ndarray) -> _Points:
        """Those of the cells that are kept, (cells,) of truth values."""
        mine = kept[self.cell]
        return _Points(self.cell[mine], self.offset[mine], self.weight[mine])


class Samples:
    """Where the light of galaxies is computed, and its means over pixels."""

    def __init__(self, exposure: Exposure) -> None:
        self.exposure = exposure
        every = max(exposure.supersampling, exposure.oversampling if exposure.fine else 1)
        self.side = exposure.pixels * (exposure.oversampling if exposure.fine else 1)
        self.share = every // (exposure.oversampling if exposure.fine else 1)  # samples along a cell
        # side of the cells, over which the light is averaged [arcsec]
        self.cell = exposure.pixel_scale * exposure.pixels / self.side
        x, y = (sample_axis(self.side, self.cell, self.share) + middle for middle in exposure.center)
        grid = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        points = self._points()
        row, column = np.divmod(points.cell, self.side)
        middle = np.stack([column, row], 1) - (self.side - 1) / 2
        own = (middle + points.offset) * self.cell + np.array(exposure.center)
        self.position = torch.complex(*torch.as_tensor(np.concatenate([grid, own])).unbind(1))
        self.owner, self.weight = torch.as_tensor(points.cell), torch.as_tensor(points.weight)
        self.axes = self.position.real.contiguous().numpy(), self.position.imag.contiguous().numpy()

    def _distance(self, place: np.ndarray) -> np.ndarray:
        """Distances (cells,) of the cells' middles from a place (2,) [cell]."""
        axis = np.arange(self.side) - (self.side - 1) / 2
        x, y = (place - np.array(self.exposure.center)) / self.cell
        return np.hypot(axis - x, (axis - y)[:, None]).ravel()

    def _points(self) -> _Points:
        """The samples of all cells that have more than the others."""
        groups, most = list[_Points](), np.full(self.side**2, self.share**2)
        for cusp in self.exposure.cusps:
            for place in cusp.places:
                near = np.flatnonzero(self._distance(place) * self.cell <= cusp.radius)
                groups.append(_equally_spaced(near, cusp.supersampling))
        groups += [self._split(place) for place in self.exposure.nuclei]
        if self.exposure.curved is not None:
            cells = np.flatnonzero(self.exposure.curved)
            groups.append(_four(cells, np.zeros((len(cells), 2)), 1.0))
        chosen = np.full(self.side**2, -1)
        for number, group in enumerate(groups):
            count = np.bincount(group.cell, minlength=self.side**2)
            chosen, most = np.where(count > most, number, chosen), np.maximum(count, most)
        kept = [group.of(chosen == number) for number, group in enumerate(groups)]
        return _joined(kept)

    def _split(self, place: np.ndarray) -> _Points:
        """The samples about a nucleus at a place (2,) [arcsec]."""
        cell = np.flatnonzero(self._distance(place) <= REACH)
        row, column = np.divmod(cell, self.side)
        nucleus = (place - np.array(self.exposure.center)) / self.cell + (self.side - 1) / 2
        away = nucleus - np.stack([column, row], 1)  # from the cells' middles [cell]
        middle, side, leaves = np.zeros((len(cell), 2)), 1.0, list[_Points]()
        while len(cell):
            near = np.hypot(*(middle - away).T) < SPLIT * side
            if side * self.cell <= FINEST:
                near[:] = False
            leaves.append(_four(cell[~near], middle[~near], side))
            quarters = [middle[near] + corner * side for corner in _corners(0.25)]
            cell, away, middle = np.tile(cell[near], 4), np.tile(away[near], (4, 1)), np.concatenate(quarters)
            side /= 2
        return _joined(leaves)

    def means(self, light: Tensor) -> Tensor:
        """Light (..., Q) at the samples to its means (..., n, n) over cells."""
        everywhere = (self.side * self.share) ** 2
        shape = light.shape[:-1]
        cells = light[..., :everywhere].reshape(*shape, self.side, self.share, self.side, self.share)
        cells = cells.mean((-3, -1)).flatten(-2) if self.share > 1 else cells.reshape(*shape, -1)
        if len(self.owner):
            cells = cells.index_fill(-1, self.owner, 0.0)
            weighted = light[..., everywhere:] * self.weight
            cells = cells.scatter_add(-1, self.owner.expand_as(weighted), weighted)
        return cells.unflatten(-1, (self.side, self.side))


def _joined(groups: Sequence[_Points]) -> _Points:
    """All samples of some groups, of which there may be none."""
    none = _Points(np.zeros(0, int), np.zeros((0, 2)), np.zeros(0))
    return _Points(*map(np.concatenate, zip(none, *groups, strict=True)))


def _corners(distance: float) -> np.ndarray:
    """Offsets (4, 2) of the corners of a square of some distance along both axes."""
    return distance * np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]])


def _four(cells: np.ndarray, middle: np.ndarray, side: float) -> _Points:
    """Gauss's four points in squares of cells (n,), with middles (n, 2) and a side [cell]."""
    offset = (middle + side * _corners(GAUSS)[:, None]).reshape(-1, 2)
    return _Points(np.tile(cells, 4), offset, np.full(len(offset), side**2 / 4))


def _equally_spaced(cells: np.ndarray, across: int) -> _Points:
    """So many samples along both sides of cells (n,)."""
    axis = (np.arange(across) + 0.5) / across - 0.5
    within = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    return _Points(
        np.repeat(cells, across**2), np.tile(within, (len(cells), 1)), np.full(len(cells) * across**2, across**-2.0)
    )
