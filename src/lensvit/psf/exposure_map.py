"""Exposure maps of a camera's images, in FITS files of users: how much of the exposure time each pixel has.

A stack of dithered exposures is deeper in its middle, chips have gaps, and pixels are bad or hidden by a star.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lensvit.errors import LensvitError
from lensvit.psf.user import open_image

LEAST_SEEN = 0.5  # least share of pixels with an exposure


def load_exposure_map(path: Path, pixels: int) -> np.ndarray:
    """Read how much of the exposure time each pixel has.

    Parameters
    ----------
    path
        FITS file with an image of the camera's size, in seconds or in any other unit. Its largest value stands for the
        whole exposure time. NaN, 0 and what is negative stand for a pixel without data.
    pixels
        Side of the camera's images [pixel].

    Returns
    -------
    ndarray
        (pixels, pixels), from 0 to 1, float32.

    Raises
    ------
    LensvitError
        If the file cannot be used; the message says what was found, what is allowed and what to do.
    """
    image = open_image(path, "exposure map")
    shape = " x ".join(str(side) for side in image.shape)
    if image.shape != (pixels, pixels):
        raise LensvitError(
            f"exposure map {path}: the image is {shape} pixels; it must be that of the camera's images, {pixels} x "
            f"{pixels}: cut it out, or change instruments.*.pixels"
        )
    found = np.where(np.isfinite(image), image, 0.0).clip(0)
    seen = float((found > 0).mean())
    if seen < LEAST_SEEN:
        raise LensvitError(
            f"exposure map {path}: {1 - seen:.0%} of the pixels have no exposure (0, negative or NaN), and at most "
            f"{1 - LEAST_SEEN:.0%} may: is it the map of another image, or a mask with 0 for good pixels?"
        )
    return (found / found.max()).astype(np.float32)
