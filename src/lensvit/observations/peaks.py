"""Point-like peaks in an image of which nothing is known but its PSF and its noise.

A filter that smooth light hardly passes finds the highest peak in units of its noise. It is fitted with the PSF, and
the next one is sought in what is left, until nothing stands out. After each, all are fitted again together. Around a
bright peak a PSF that is not quite right leaves residuals, so that a fainter one counts there only if it is bright
enough to be none of these. The nucleus of a lens galaxy may be among the peaks.

Detectors saturate in the cores of bright images, which archives then have as pixels that do not count. Filter and fits
do without these, so that the wings of an image show it. Larger holes are masks of a user, in which nothing is sought.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage, signal

from lensvit.lensing.exposure import Exposure
from lensvit.lensing.spline_points import SplinePoints
from lensvit.psf.kernel import fwhm

REACH = 2.0  # radius of the filter and of the pixels that are fitted [FWHM of the PSF]
LEAST_SNR = 15.0  # of a peak
LEAST_CONTRAST = 0.01  # flux of a peak in units of the brightest one's
PSF_ERROR = 0.1  # relative error of the PSF's core
NEAR, LEAST_NEAR = 2.5, 0.25  # distance of a brighter peak [FWHM] within which it must have this share of its flux
STEPS, STILL, LONGEST = 12, 1e-4, 0.5  # of a fit [pixel]
FARTHEST = 2.5  # from where a fit began [pixel]
HOLE = 1.8  # radius of the disk that does not fit into a small hole [FWHM]


class Peaks(NamedTuple):
    """Point-like peaks, the brightest first.

    Parameters
    ----------
    position
        Positions (M, 2) in the frame of the exposure [arcsec].
    flux
        Fluxes (M,) [counts/s].
    sharpness
        What the PSF explains of the light within its FWHM, after a plane, (M,): about 1 for a point source.
    """

    position: np.ndarray
    flux: np.ndarray
    sharpness: np.ndarray


def find_peaks(image: np.ndarray, variance: np.ndarray, exposure: Exposure, most: int = 8) -> Peaks:
    """Point-like peaks in an image.

    Parameters
    ----------
    image
        Image (ny, nx) [counts/s per pixel].
    variance
        Variance of its pixels (ny, nx), infinite where one does not count.
    exposure
        Its pixels and PSF.
    most
        Largest number of peaks.
    """
    finder = _Finder(image, variance, exposure)
    found = np.empty((0, 3))
    while len(found) < most:
        peak = finder.highest(found)
        if peak is None:
            break
        fitted = finder.fit(np.vstack([found, peak]))
        if fitted is None:
            finder.refuse(peak)
        else:
            found = fitted
    found = found[np.argsort(-found[:, 2])]
    middle = (exposure.pixels - 1) / 2
    position = (found[:, :2] - middle) * exposure.pixel_scale + np.array(exposure.center)
    return Peaks(position, found[:, 2], finder.sharpness(found))


class _Finder:
    """The image, the filter and the fits."""

    def __init__(self, image: np.ndarray, variance: np.ndarray, exposure: Exposure) -> None:
        self.used = np.isfinite(variance)
        self.image = np.where(self.used, image, 0.0)
        self.variance = np.where(self.used, variance, 1.0)
        self.points = SplinePoints(exposure.kernel, exposure.oversampling, exposure.pixels, exposure.degree)
        native = exposure.native_kernel
        self.width = fwhm(native, 1.0)  # [pixel]
        self.radius = max(REACH * self.width, 2.5)
        half, middle = int(np.ceil(self.radius)), len(native) // 2
        core = native[middle - half : middle + half + 1, middle - half : middle + half + 1]
        offset = np.arange(-half, half + 1)
        disk = np.hypot(offset, offset[:, None]) <= half + 0.5
        # flux and a constant are fitted to the disk about each pixel, without those of its pixels that do not count
        self.disk, self.core = disk.astype(float), np.where(disk, core, 0.0)
        one = np.ones_like(self.image)
        count = self._around(one, self.disk).clip(1)
        self.mean = self._around(one, self.core) / count  # of the core in the disk
        self.square = (self._around(one, self.core**2) - count * self.mean**2).clip(1e-12 * (core**2).sum())
        spread = (
            self._around(self.variance, self.core**2)
            - 2 * self.mean * self._around(self.variance, self.core)
            + self.mean**2 * self._around(self.variance, self.disk)
        )
        self.noise = np.sqrt(spread.clip(1e-30)) / self.square
        reach = int(np.ceil(HOLE * self.width))
        offset = np.arange(-reach, reach + 1)
        wide = np.hypot(offset, offset[:, None]) <= HOLE * self.width
        masks = ndimage.binary_propagation(ndimage.binary_opening(~self.used, wide), mask=~self.used)
        self.blocked = ndimage.binary_dilation(masks, iterations=1)

    def highest(self, found: np.ndarray) -> np.ndarray | None:
        """Column, row [pixel] and flux of the peak that stands out most from what is left; None if none does."""
        rest = self.image - self._model(found)
        flux = (self._around(rest, self.core) - self.mean * self._around(rest, self.disk)) / self.square
        least = LEAST_SNR * self.noise
        if len(found):
            least = np.maximum(least, LEAST_CONTRAST * found[:, 2].max())
        rows, columns = np.indices(flux.shape)
        for x, y, light in found:
            near = np.hypot(columns - x, rows - y) <= NEAR * self.width
            least = np.where(near, np.maximum(least, LEAST_NEAR * light), least)
        peak = (flux == ndimage.maximum_filter(flux, 3)) & (flux > least) & ~self.blocked
        if not peak.any():
            return None
        row, column = np.unravel_index(np.argmax(np.where(peak, flux, -np.inf)), flux.shape)
        return np.array([column, row, flux[row, column]])

    def _around(self, values: np.ndarray, shape: np.ndarray) -> np.ndarray:
        """Sums (ny, nx) of values that count, times a shape about each pixel."""
        return signal.fftconvolve(np.where(self.used, values, 0.0), shape[::-1, ::-1], "same")

    def refuse(self, peak: np.ndarray) -> None:
        """Seek no peak at this place again."""
        rows, columns = np.indices(self.image.shape)
        self.blocked |= np.hypot(columns - peak[0], rows - peak[1]) <= self.width / 2

    def _model(self, found: np.ndarray) -> np.ndarray:
        """The image (ny, nx) of sources (M, 3)."""
        if not len(found):
            return np.zeros_like(self.image)
        images = self.points.images(torch.as_tensor(found[:, :2]), slopes=False)[:, 0].numpy()
        return np.tensordot(found[:, 2], images, 1)

    def fit(self, start: np.ndarray) -> np.ndarray | None:
        """Sources (M, 3), the last of which is new, fitted with a plane of brightness under each.

        Those that lie so far away that the new one does not reach them stay as they are.

        Returns
        -------
        np.ndarray or None
            The sources; None if one moves too far or becomes dark.
        """
        touching = np.hypot(*(start[:, :2] - start[-1, :2]).T) <= 2 * self.radius
        part = self._fit(start[touching], self._model(start[~touching]))
        if part is None:
            return None
        result = start.copy()
        result[touching] = part
        return result

    def _fit(self, start: np.ndarray, others: np.ndarray) -> np.ndarray | None:
        """The sources (M, 3) of an image (ny, nx) with others whose light is known."""
        rows, columns = (np.asarray(index) for index in np.indices(self.image.shape))
        distance = np.stack([np.hypot(columns - x, rows - y) for x, y, _ in start])
        used = (distance.min(0) <= self.radius) & self.used
        nearest = distance.argmin(0)[used]
        value = start.copy()
        columns_of_planes = list[np.ndarray]()
        for number, (x, y, _) in enumerate(start):
            mine = (nearest == number).astype(float)
            columns_of_planes += [mine, mine * (columns[used] - x), mine * (rows[used] - y)]
        planes = np.array(columns_of_planes)
        for _ in range(STEPS):
            images = self.points.images(torch.as_tensor(value[:, :2])).numpy()[:, :3][:, :, used]  # (M, 3, P)
            model = np.tensordot(value[:, 2], images[:, 0], 1)
            weight = 1 / np.sqrt(self.variance[used] + (PSF_ERROR * model) ** 2)
            slopes = np.concatenate([images[:, 0], images[:, 1] * value[:, 2:], images[:, 2] * value[:, 2:], planes])
            rest = (self.image - others)[used] - model
            step = np.linalg.lstsq((slopes * weight).T, rest * weight, rcond=None)[0][: 3 * len(value)]
            flux, across, up = step.reshape(3, -1)
            length = np.hypot(across, up)
            shrink = LONGEST / np.maximum(length, LONGEST)
            value = value + np.stack([across * shrink, up * shrink, flux], 1)
            value[:, 2] = value[:, 2].clip(0.05 * start[:, 2])
            if length.max() < STILL:
                break
        astray = np.hypot(*(value - start)[:, :2].T) > FARTHEST
        return None if astray.any() or (value[:, 2] <= 0.1 * start[:, 2]).any() else value

    def sharpness(self, found: np.ndarray) -> np.ndarray:
        """Flux of each source over what a filter for smooth light of the PSF's size would give it."""
        if not len(found):
            return np.empty(0)
        rest = self.image - self._model(found)
        rows, columns = np.indices(self.image.shape)
        result = []
        for number, (x, y, _) in enumerate(found):
            one = self._model(found[number : number + 1])
            core = (np.hypot(columns - x, rows - y) <= self.width) & self.used
            result.append(float(one[core].sum() / max((one + rest)[core].sum(), 1e-30)) if core.any() else 0.0)
        return np.array(result)
