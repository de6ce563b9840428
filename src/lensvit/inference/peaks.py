"""Quasar images in a noisy image: their positions and fluxes, measured without a model of the lens.

A filter that galaxies hardly pass finds the brightest peak. It is fitted with the PSF and subtracted, and the
next one is sought in what is left. After each, all that were found are fitted again together, so that two images
that are less than the PSF's width apart come out as two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage, signal

from lensvit.lensing.shifted_kernel import ShiftedKernel
from lensvit.psf.kernel import Kernel, fwhm

REACH = 2.0  # radius of the filter and of the pixels that are fitted [FWHM of the PSF]
LEAST_REACH = 2.0  # [pixel]
LEAST_SNR = 10.0  # of a peak
KERNEL_ERROR = 0.03  # relative error of a fitted pixel: the galaxies under a peak are not quite flat
STEPS = 8  # most steps of a fit
STILL = 1e-4  # largest step that ends it [pixel]
LONGEST_STEP = 0.4  # [pixel]
FARTHEST = 2.0  # from the peak at which a fit began to where it may end [pixel]
NEAREST = 0.5  # two peaks are one if closer [pixel]
DIFFERENCE = 1e-3  # for derivatives [pixel]


class Peaks(NamedTuple):
    """Point sources, the brightest first.

    Parameters
    ----------
    position
        Positions (M, 2) [arcsec].
    flux
        Fluxes (M,) [counts/s].
    """

    position: np.ndarray
    flux: np.ndarray

    def brightest(self, number: int) -> Peaks:
        """The ``number`` brightest sources."""
        return Peaks(self.position[:number], self.flux[:number])


class PeakFinder:
    """Finds point sources in images of one camera.

    Parameters
    ----------
    pixels
        Side of the image [pixel].
    kernel
        The PSF.
    supersampling
        1 to use the kernel at the detector's sampling, or the supersampling of the fine one.

    Raises
    ------
    ValueError
        If the PSF has no fine kernel and one is asked for.
    """

    def __init__(self, pixels: int, kernel: Kernel, supersampling: int = 1) -> None:
        self.pixels, self.pixel_scale = pixels, kernel.pixel_scale
        used = kernel.native if supersampling == 1 else kernel.supersampled
        if used is None:
            raise ValueError("this PSF is known at the detector's sampling only")
        self.points = ShiftedKernel(used, supersampling)
        self.radius = max(LEAST_REACH, REACH * fwhm(kernel.native, 1.0))  # [pixel]
        half, middle = int(np.ceil(self.radius)), len(kernel.native) // 2
        core = kernel.native[middle - half : middle + half + 1, middle - half : middle + half + 1]
        offset = np.arange(-half, half + 1)
        disk = np.hypot(offset, offset[:, None]) <= half + 0.5
        shape = np.where(disk, core - core[disk].mean(), 0)  # blind to what is flat
        self.filter = shape / (shape * core).sum()

    def find(
        self,
        image: np.ndarray,
        variance: np.ndarray,
        center: np.ndarray,
        excluded: float,
        least_flux: float,
        most: int = 4,
    ) -> Peaks:
        """Point sources in an image whose lens galaxy has been subtracted.

        Parameters
        ----------
        image
            Image (ny, nx) [counts/s per pixel].
        variance
            Variance of its pixels (ny, nx).
        center
            Centre (2,) of a disk without peaks, where the lens galaxy leaves residuals [arcsec].
        excluded
            Radius of this disk [arcsec].
        least_flux
            Smallest flux of a peak [counts/s].
        most
            Largest number of peaks.
        """
        axis = (np.arange(self.pixels) - (self.pixels - 1) / 2) * self.pixel_scale
        noise = np.sqrt(signal.fftconvolve(variance, self.filter[::-1, ::-1] ** 2, "same").clip(0))
        threshold = np.maximum(LEAST_SNR * noise, least_flux)
        threshold[np.hypot(axis - center[0], (axis - center[1])[:, None]) <= excluded] = np.inf
        found = np.empty((0, 3))  # column and row [pixel], flux
        for _ in range(most):
            peak = self._highest(image - self._image(found), threshold)
            if peak is None or _near(found, peak):
                break
            fitted = self._fit(image, variance, np.vstack([found, peak]))
            if fitted is None:
                break
            found = fitted
        found = found[np.argsort(-found[:, 2])]
        return Peaks((found[:, :2] - (self.pixels - 1) / 2) * self.pixel_scale, found[:, 2])

    def _highest(self, image: np.ndarray, threshold: np.ndarray) -> np.ndarray | None:
        """Column and row [pixel] and flux of the highest peak above the threshold; None if there is none."""
        flux = signal.fftconvolve(image, self.filter[::-1, ::-1], "same")
        peak = (flux == ndimage.maximum_filter(flux, 3)) & (flux > threshold)
        if not peak.any():
            return None
        row, column = np.unravel_index(np.argmax(np.where(peak, flux, -np.inf)), flux.shape)
        return np.array([column, row, flux[row, column]])

    def _image(self, sources: np.ndarray) -> np.ndarray:
        """The image (ny, nx) of point sources (M, 3)."""
        return self._added(np.zeros((self.pixels, self.pixels)), sources)

    def _added(self, image: np.ndarray, sources: np.ndarray) -> np.ndarray:
        """An image (ny, nx) after point sources (M, 3) were added to it."""
        self.points.add(image, sources[:, 1], sources[:, 0], sources[:, 2])
        return image

    def _fit(self, image: np.ndarray, variance: np.ndarray, start: np.ndarray) -> np.ndarray | None:
        """Sources (M, 3), fitted with a plane of brightness under each; None if one moves too far or becomes dark."""
        pixel = np.arange(self.pixels)
        distance = np.stack([np.hypot(pixel - column, (pixel - row)[:, None]) for column, row, _ in start])
        used = distance.min(0) <= self.radius
        rows, columns = (slice(at.min(), at.max() + 1) for at in np.nonzero(used))  # the part of the image around them
        image, variance, used = image[rows, columns], variance[rows, columns], used[rows, columns]
        corner = np.array([columns.start, rows.start, 0])
        weight = 1 / np.sqrt(variance[used] + (KERNEL_ERROR * image[used]) ** 2)
        planes = self._planes(start - corner, distance[:, rows, columns].argmin(0), used)
        value = start - corner
        for _ in range(STEPS):
            slopes = np.concatenate([self._slopes(source, used) for source in value])  # (3 M, P)
            rest = image[used] - self._added(np.zeros(used.shape), value)[used]
            step = np.linalg.lstsq((np.concatenate([slopes, planes]) * weight).T, rest * weight)[0]
            step = step[: value.size].reshape(value.shape)
            length = np.hypot(step[:, 0], step[:, 1])
            step[:, :2] *= (LONGEST_STEP / np.maximum(length, LONGEST_STEP))[:, None]
            value = value + step
            if length.max() < STILL:
                break
        value = value + corner
        astray = np.hypot(*(value - start)[:, :2].T) > FARTHEST
        return None if astray.any() or not (value[:, 2] > 0).all() else value

    def _slopes(self, source: np.ndarray, used: np.ndarray) -> np.ndarray:
        """Derivatives (3, P) of the P used pixels by a source's column, row and flux."""
        result = [self._added(np.zeros(used.shape), np.array([[*source[:2], 1.0]]))[used]]
        for step in (np.array([0, DIFFERENCE, 0]), np.array([DIFFERENCE, 0, 0])):
            both = self._added(np.zeros(used.shape), np.array([source + step, (source - step) * [1, 1, -1]]))
            result.insert(0, both[used] / (2 * DIFFERENCE))
        return np.stack(result)

    def _planes(self, sources: np.ndarray, nearest: np.ndarray, used: np.ndarray) -> np.ndarray:
        """Derivatives (3 M, P) by the planes: a constant and two slopes for the pixels nearest to each source."""
        row, column = np.nonzero(used)
        planes = []
        for number, source in enumerate(sources):
            mine = (nearest[used] == number).astype(float)
            planes += [mine, mine * (column - source[0]), mine * (row - source[1])]
        return np.array(planes)


def _near(found: np.ndarray, peak: np.ndarray) -> bool:
    """Whether a peak is one of those that were found."""
    return bool((np.hypot(*(found - peak)[:, :2].T) < NEAREST).any())
