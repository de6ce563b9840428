"""An observed lens: one or more images of it, ready to be fitted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from lensvit.lensing.exposure import Exposure


class Sky(NamedTuple):
    """Where an image lies on the sky.

    Parameters
    ----------
    ra, dec
        Right ascension and declination (ICRS) of the middle of the square that is fitted [deg].
    north
        Angle of the direction to the north, from the image's rows upwards (+y) towards the left [deg].
    mirrored
        Whether east lies clockwise of north, as on no picture of the sky.
    """

    ra: float
    dec: float
    north: float
    mirrored: bool


@dataclass(frozen=True)
class ObservedImage:
    """One image of a lens, its noise and its PSF.

    Parameters
    ----------
    data
        Square image (n, n) [counts/s per pixel].
    variance
        Variance of its noise (n, n) [(counts/s)^2], infinite where a pixel does not count.
    pixel_scale
        Side of a pixel [arcsec].
    kernel
        (k, k) PSF on fine pixels, not negative, of sum 1, centred on its central pixel, k being odd.
    oversampling
        Fine pixels of the kernel along the side of a pixel.
    psf_variance
        (m, m) variance of the PSF on pixels, for a flux of 1, m being odd; None if it is not known.
    corner
        Column and row of the file's image where this one begins, counted from 0.
    exposure_time
        Exposure time of all pixels [s]; None if it is not known, or differs from pixel to pixel.
    sky
        Where it lies on the sky; None if it is not known.
    """

    data: np.ndarray
    variance: np.ndarray
    pixel_scale: float
    kernel: np.ndarray
    oversampling: int = 1
    psf_variance: np.ndarray | None = None
    corner: tuple[int, int] = (0, 0)
    exposure_time: float | None = None
    sky: Sky | None = None

    def exposure(self, center: tuple[float, float] = (0.0, 0.0)) -> Exposure:
        """The pixels and the PSF of the image, whose middle lies at ``center`` [arcsec]."""
        fine = self.oversampling > 1
        return Exposure(len(self.data), self.pixel_scale, self.kernel, self.oversampling, fine=fine, center=center)


@dataclass(frozen=True)
class Observation:
    """A lens that was observed.

    Parameters
    ----------
    name
        Name of the lens.
    images
        Its images, all with the same orientation.
    notes
        What is remarkable about them, in sentences.
    """

    name: str
    images: tuple[ObservedImage, ...]
    notes: tuple[str, ...] = field(default=())
