r"""Point sources on an image by spline interpolation of the PSF's kernel, with derivatives by their positions.

The kernel is known on fine pixels, s of them along the side of a native one, and a native pixel has the sum of the
fine ones in it. Between fine pixels it is a spline: of degree 1 as lenstronomy has it, or of degree 3, which keeps the
core of a kernel that is barely sampled. Since all native pixels lie at the same place between fine ones, the image of a
source at (x, y) is a product of matrices,

.. math:: P_{ij} = \sum_{ab} S(y)_{ia} \, C_{ab} \, S(x)_{jb},

with the coefficients C of the spline and at most four entries in a row of S. Derivatives by x and y are those of S.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage
from torch import Tensor

MARGIN = 4  # pixels of nothing around a kernel, in which its spline ends
SLOPES = ("x", "y", "xx", "xy", "yy")  # the derivatives that :meth:`SplinePoints.images` gives, in their order


class SplinePoints:
    """Images of point sources of flux 1.

    Parameters
    ----------
    kernel
        (k, k) PSF on fine pixels, of sum 1 and centred on its central pixel, k being odd.
    supersampling
        The number s of fine pixels along the side of a native pixel, odd or even.
    pixels
        Side of the images [native pixel].
    degree
        Degree of the spline, 1 or 3.
    """

    def __init__(self, kernel: np.ndarray, supersampling: int, pixels: int, degree: int) -> None:
        self.pixels, self.supersampling, self.degree = pixels, supersampling, degree
        margin = MARGIN + supersampling
        values = np.pad(np.asarray(kernel, dtype=float), margin)
        coefficients = values if degree == 1 else ndimage.spline_filter(values, order=3, mode="constant")
        sums = np.pad(coefficients, (0, supersampling - 1))  # of the s fine pixels from each one on
        for axis in (0, 1):
            sums = sliding_window_view(sums, supersampling, axis).sum(-1)
        self.coefficients = torch.as_tensor(np.ascontiguousarray(sums))
        self.center = margin + len(kernel) // 2 - (supersampling - 1) / 2  # of the source, in sums

    def images(self, pixel: Tensor, slopes: bool = True) -> Tensor:
        """Images of sources and their derivatives.

        Parameters
        ----------
        pixel
            (M, 2) column and row of the sources [pixel], float64.
        slopes
            Whether derivatives are asked for.

        Returns
        -------
        Tensor
            (M, 6, ny, nx) images, then their derivatives by column, row, and twice by both in the order of
            :data:`SLOPES` [1/pixel, 1/pixel^2]; (M, 1, ny, nx) images alone without slopes.
        """
        (x, x1, x2), (y, y1, y2) = (self._matrices(pixel[:, axis], slopes) for axis in (0, 1))
        across = self.coefficients @ x.mT  # (M, L, n)
        if not slopes:
            return (y @ across)[:, None]
        across_1, across_2 = self.coefficients @ x1.mT, self.coefficients @ x2.mT
        return torch.stack([y @ across, y @ across_1, y1 @ across, y @ across_2, y1 @ across_1, y2 @ across], 1)

    def _matrices(self, place: Tensor, slopes: bool) -> tuple[Tensor, Tensor, Tensor]:
        """The S (M, n, L) along one axis for sources at places (M,) [pixel], and its two derivatives."""
        offset = self.supersampling * (torch.arange(self.pixels) - place[:, None]) + self.center  # (M, n)
        base = torch.floor(offset)
        within, length = offset - base, len(self.coefficients)
        first, *weights = _weights(within, self.degree)
        taps = base.long()[..., None] + torch.arange(first, first + weights[0].shape[-1])  # (M, n, taps)
        valid = (taps >= 0) & (taps < length)
        taps = taps.clamp(0, length - 1)
        scale = float(-self.supersampling)  # of the place in the spline by that of the source
        results = []
        for power, weight in enumerate(weights[: 3 if slopes else 1]):
            matrix = torch.zeros(*offset.shape, length, dtype=offset.dtype)
            matrix.scatter_add_(2, taps, torch.where(valid, weight * scale**power, 0.0))
            results.append(matrix)
        return (*results, *results[:1] * (3 - len(results)))  # type: ignore[return-value]


def _weights(t: Tensor, degree: int) -> tuple[int, Tensor, Tensor, Tensor]:
    """The first coefficient next to a place between two, and weights (..., taps) of the spline and two derivatives."""
    one, nothing = torch.ones_like(t), torch.zeros_like(t)
    if degree == 1:
        return 0, torch.stack([1 - t, t], -1), torch.stack([-one, one], -1), torch.stack([nothing, nothing], -1)
    value = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    first = [-3 * (1 - t) ** 2, 9 * t**2 - 12 * t, -9 * t**2 + 6 * t + 3, 3 * t**2]
    second = [6 * (1 - t), 18 * t - 12, -18 * t + 6, 6 * t]
    one_by_one = [torch.stack(part, -1) / 6 for part in (value, first, second)]
    return -1, one_by_one[0], one_by_one[1], one_by_one[2]
