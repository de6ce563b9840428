"""Images of any camera as a network's camera would have taken them: its pixels, its side, the lens in the middle."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy import ndimage
from scipy.interpolate import BSpline, make_interp_spline

from lensvit.observations.reading import Plain, edge_noise

FINE = 0.6  # pixels below this share of the camera's are summed, and larger ones interpolated
SMOOTH = 1.5  # width by which pixels that do not count are filled in from their neighbours [pixel]
SLOPE = 2.5  # of the light of galaxies outside of an image, as a power of the distance from its middle
SEED = 7  # of the noise outside of an image


class Cutout:
    """An image of a lens that is cut out and resampled as often as one likes.

    Light is kept where pixels are summed, and brightness where they are interpolated by cubic splines, which is as
    sharp as the image. Outside of the image the light of its edge goes on and falls as that of galaxies does, with the
    noise of the edge.

    Parameters
    ----------
    image
        The image.
    pixels
        Side of the result [pixel].
    pixel_scale
        Side of a pixel of the result [arcsec].
    """

    def __init__(self, image: Plain, pixels: int, pixel_scale: float) -> None:
        self.pixels, self.pixel_scale = pixels, pixel_scale
        self.ratio = pixel_scale / image.pixel_scale  # pixels of the image along one of the result's
        self.data = filled(image.data, image.bad)
        side = len(self.data)
        #: rms of the image's edge in the pixels of the result [counts/s per pixel]
        self.noise = edge_noise(self.data, image.bad) * self.ratio
        edge = np.ones((side, side), dtype=bool)
        edge[2:-2, 2:-2] = False
        #: brightness at the image's edge in the pixels of the result [counts/s per pixel]
        self.edge = float(np.median(self.data[edge])) * self.ratio**2
        self.half = side / 2 * image.pixel_scale  # [arcsec]
        self.side = side

    def at(self, center: np.ndarray) -> np.ndarray:
        """The image (pixels, pixels) [counts/s per pixel of the result] whose middle lies at a place.

        Parameters
        ----------
        center
            The place (2,), x along columns and y along rows, from the middle of the whole image [arcsec].
        """
        axis = (np.arange(self.pixels) - (self.pixels - 1) / 2) * self.pixel_scale
        x, y = axis + center[0], axis + center[1]
        across, up = (self._weights(places) for places in (x, y))
        # by torch, whose threads the caller has set
        result = (torch.as_tensor(up) @ torch.as_tensor(self.data) @ torch.as_tensor(across).T).numpy()
        outside = ~((np.abs(x) <= self.half) & (np.abs(y) <= self.half)[:, None])
        if outside.any():
            radius = np.hypot(x, y[:, None]) / self.half
            noise = np.random.default_rng(SEED).standard_normal(result.shape) * self.noise
            result = np.where(outside, self.edge * np.maximum(radius, 1.0) ** -SLOPE + noise, result)
        return result.astype(np.float32)

    def _weights(self, places: np.ndarray) -> np.ndarray:
        """What the image's pixels along an axis (n,) count in the result's, (pixels, n), at places [arcsec]."""
        step = self.pixel_scale / self.ratio
        middle = places / step + (self.side - 1) / 2  # in the image's pixels
        if self.ratio > 1 / FINE:
            low, high = (middle + offset * self.ratio for offset in (-0.5, 0.5))
            pixel = np.arange(self.side)
            return (np.minimum(high[:, None], pixel + 0.5) - np.maximum(low[:, None], pixel - 0.5)).clip(0)
        return _spline(self.side)(middle.clip(0, self.side - 1)) * self.ratio


@cache
def _spline(side: int) -> BSpline:
    """From a place along an axis of so many pixels to what each of these counts there in a cubic interpolation."""
    return make_interp_spline(np.arange(side), np.eye(side), k=3)


def filled(data: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """An image (n, n) whose pixels that do not count have the mean of those around them."""
    if not bad.any():
        return data
    result, width = np.where(bad, np.nan, data), SMOOTH
    while np.isnan(result).any():
        known = np.isfinite(result)
        weight = ndimage.gaussian_filter(known.astype(float), width, mode="constant")
        smooth = ndimage.gaussian_filter(np.where(known, result, 0.0), width, mode="constant")
        near = ~known & (weight > 1e-3)
        result[near] = smooth[near] / weight[near]
        width *= 2
    return result
