"""Point sources on an image: a kernel, shifted to each of them."""

from __future__ import annotations

import numpy as np


class ShiftedKernel:
    """A kernel that is added to an image for each point source, shifted by bilinear interpolation of its pixels.

    A source between fine pixels is spread over the four around it. A fine kernel that is centred on a fine pixel and
    summed over native pixels is one of s x s native kernels, one for each fine pixel of a native pixel. Therefore the
    sum of four native kernels is the same as what lenstronomy computes on the fine grid.

    Parameters
    ----------
    kernel
        (s k, s k) kernel on pixels of a fraction 1/s of the image's, 0 at its border, s k being odd.
    supersampling
        The number s of fine pixels along the side of a native pixel, odd.
    """

    def __init__(self, kernel: np.ndarray, supersampling: int = 1) -> None:
        self.kernel, self.supersampling = kernel, supersampling
        self.phases: dict[tuple[int, int], np.ndarray] = {}
        self.radius = len(kernel) // supersampling // 2 + (supersampling > 1)

    def add(self, image: np.ndarray, row: np.ndarray, column: np.ndarray, amplitude: np.ndarray) -> None:
        """Add sources to an image in place; light that falls outside of the image is lost.

        Parameters
        ----------
        image
            (ny, nx) image [counts/s per pixel].
        row
            (n,) rows of the sources [pixel].
        column
            (n,) columns of the sources [pixel].
        amplitude
            (n,) fluxes of the sources [counts/s].
        """
        half = (self.supersampling - 1) // 2
        for i, j, flux in zip(row, column, amplitude, strict=True):
            fine = np.array([i, j]) * self.supersampling + half
            corner = np.floor(fine).astype(int)
            up, right = fine - corner
            for di, dj, weight in (
                (0, 0, (1 - up) * (1 - right)),
                (0, 1, (1 - up) * right),
                (1, 0, up * (1 - right)),
                (1, 1, up * right),
            ):
                self._add_on_grid(image, corner[0] + di, corner[1] + dj, flux * weight)

    def _add_on_grid(self, image: np.ndarray, row: int, column: int, flux: float) -> None:
        """Add a source that lies on the fine pixel (row, column)."""
        (i, phase_i), (j, phase_j) = divmod(row, self.supersampling), divmod(column, self.supersampling)
        kernel = self._phase(phase_i, phase_j)
        rows, kernel_rows = overlap(i - self.radius, len(kernel), image.shape[0])
        columns, kernel_columns = overlap(j - self.radius, len(kernel), image.shape[1])
        image[rows, columns] += flux * kernel[kernel_rows, kernel_columns]

    def _phase(self, i: int, j: int) -> np.ndarray:
        """The native kernel, of side 2 radius + 1, of a source on the fine pixel (i, j) of the central native pixel."""
        if (i, j) not in self.phases:
            side = 2 * self.radius + 1
            self.phases[i, j] = native_kernel(self.kernel, self.supersampling, (i, j), self.radius, side)
        return self.phases[i, j]


def native_kernel(kernel: np.ndarray, supersampling: int, phase: tuple[int, int], radius: int, side: int) -> np.ndarray:
    """A fine kernel, centred on a fine pixel and summed over native pixels.

    Parameters
    ----------
    kernel
        (s k, s k) kernel on pixels of a fraction 1/s of the image's, s k being odd.
    supersampling
        The number s of fine pixels along the side of a native pixel, odd.
    phase
        Row and column of the fine pixel, counted from the first of the native pixel (radius, radius) on.
    radius
        Native pixels before this one along an axis.
    side
        Native pixels along an axis, which hold the whole kernel.

    Returns
    -------
    np.ndarray
        (side, side) the light in native pixels.
    """
    s = supersampling
    fine, start = np.zeros((side * s, side * s)), radius * s - len(kernel) // 2
    rows, columns = (slice(start + at, start + at + len(kernel)) for at in phase)
    fine[rows, columns] = kernel
    return fine.reshape(side, s, side, s).sum((1, 3))


def overlap(start: int, length: int, size: int) -> tuple[slice, slice]:
    """Slices of an image's axis of length ``size`` and of a kernel's axis that begins at ``start``, where they meet."""
    low, high = min(max(start, 0), size), min(max(start + length, 0), size)
    return slice(low, high), slice(low - start, high - start)
