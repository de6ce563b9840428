"""The pixels of an image, the PSF on them, and where its light is sampled more often."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lensvit.lensing.noise import Array, variance
from lensvit.lensing.spline_points import SplinePoints


class Cusp(NamedTuple):
    """Where light is sampled more often.

    Parameters
    ----------
    places
        (n, 2) places around which it is [arcsec].
    radius
        The distance from them up to which this holds [arcsec].
    supersampling
        Samples along the side of a pixel there.
    """

    places: np.ndarray
    radius: float
    supersampling: int


@dataclass(frozen=True)
class Exposure:
    """The pixels of an image and the PSF on them.

    Parameters
    ----------
    pixels
        Side of the image [pixel].
    pixel_scale
        Side of a pixel [arcsec].
    kernel
        (k, k) PSF on fine pixels, of sum 1 and centred on its central pixel, k being odd.
    oversampling
        Fine pixels of the kernel along the side of a pixel.
    fine
        Whether galaxies are convolved on the kernel's fine pixels; otherwise on pixels.
    supersampling
        Samples of the galaxies' light along the side of a pixel; with ``fine`` a multiple of ``oversampling``.
    cusps
        Where there are more samples; with ``fine`` they are samples of a fine pixel. Where two of them meet, the one
        with more samples holds, as also at nuclei.
    nuclei
        (n, 2) places of steep profiles' centres, about which samples are the closer the nearer they are [arcsec].
    curved
        Whether light is so curved across a cell that it has four samples, for each pixel, or fine pixel with ``fine``,
        (side, side); None if it nowhere is.
    degree
        Degree of the spline by which quasar images lie between pixels of the kernel: 1 as lenstronomy, or 3.
    center
        Where the middle of the image lies [arcsec].
    exposure_map
        (pixels, pixels) share of the exposure time that each pixel has; None for all of it everywhere.
    """

    pixels: int
    pixel_scale: float
    kernel: np.ndarray
    oversampling: int = 1
    fine: bool = False
    supersampling: int = 1
    cusps: tuple[Cusp, ...] = ()
    nuclei: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    curved: np.ndarray | None = None
    degree: int = 3
    center: tuple[float, float] = (0.0, 0.0)
    exposure_map: np.ndarray | None = None

    def noise(self, light: Array, sigma_bkg: float, exposure_time: float) -> Array:
        """Variance of the noise of light (pixels, pixels), or flat, infinite where a pixel has no data.

        Parameters
        ----------
        light
            Light of the image [counts/s per pixel]; what is negative has no photons.
        sigma_bkg
            Standard deviation of the background noise [counts/s per pixel].
        exposure_time
            Exposure time [s].
        """
        if self.exposure_map is None:
            return variance(light.clip(0), sigma_bkg, exposure_time)
        share = self.exposure_map.astype(float).reshape(light.shape)
        with np.errstate(divide="ignore"):
            return variance(
                light.clip(0), sigma_bkg, exposure_time, torch.as_tensor(share) if isinstance(light, Tensor) else share
            )

    @property
    def native_kernel(self) -> np.ndarray:
        """(k, k) PSF on pixels, k being odd: sums over the fine pixels of each."""
        if self.oversampling == 1:
            return self.kernel
        side = 2 * -(-(len(self.kernel) // 2) // self.oversampling) + 3
        points = SplinePoints(self.kernel, self.oversampling, side, 3)
        middle = torch.full((1, 2), (side - 1) / 2, dtype=torch.float64)
        return points.images(middle, slopes=False)[0, 0].numpy()
