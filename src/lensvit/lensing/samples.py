"""Where the light of galaxies is sampled in the pixels of an image."""

from __future__ import annotations

import numpy as np


def sample_axis(pixels: int, pixel_scale: float, samples: int) -> np.ndarray:
    """Coordinates (pixels samples,) of equally spaced samples along an axis around the origin [arcsec].

    Parameters
    ----------
    pixels
        Pixels along the axis.
    pixel_scale
        Side of a pixel [arcsec].
    samples
        Samples along the side of a pixel; a single one lies at its centre.
    """
    if samples == 1:
        return (np.arange(pixels) - (pixels - 1) / 2) * pixel_scale
    return ((np.arange(pixels * samples) + 0.5) / samples - pixels / 2) * pixel_scale
