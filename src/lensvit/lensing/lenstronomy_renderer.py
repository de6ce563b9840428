"""Images of systems by lenstronomy: lensed galaxy, lens galaxy and quasar images, seen through the PSF.

lenstronomy computes deflections and surface brightness, in its own units and conventions. This module only orders the
work in another way than lenstronomy's ``ImageModel``: pixels are computed in blocks that stay in the processor's
cache, both galaxies are convolved at once, and quasar images are slices of shifted kernels. Images agree with those of
``ImageModel`` to 1e-10 of their peak, if the kernel is 0 at its border.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.fft
from lenstronomy.LightModel.light_model import LightModel

from lensvit.lensing.lens_equation import lens_kwargs, lens_model
from lensvit.lensing.settings import Light
from lensvit.lensing.system import System, lens_light_kwargs, source_kwargs

BLOCK = 16384  # pixels computed at once: temporary arrays of 128 kB stay in the cache


class LenstronomyRenderer:
    """Noise-free images of systems.

    Parameters
    ----------
    pixels
        Side of the image [pixel].
    pixel_scale
        Side of a pixel [arcsec].
    kernel
        (k, k) PSF at the pixel scale, of sum 1 and 0 at its border, k being odd.
    scene
        What is the same in all systems: amplitudes and the ellipticity of the source.
    fine_kernel
        (s k, s k) PSF on pixels of a fraction 1/s, for the quasar images; ``kernel`` is used where it is None.
    """

    def __init__(
        self,
        pixels: int,
        pixel_scale: float,
        kernel: np.ndarray,
        scene: Light,
        fine_kernel: np.ndarray | None = None,
    ) -> None:
        self.pixels, self.pixel_scale, self.scene = pixels, pixel_scale, scene
        axis = (np.arange(pixels) - (pixels - 1) / 2) * pixel_scale
        y, x = np.meshgrid(axis, axis, indexing="ij")
        self.x, self.y = x.ravel(), y.ravel()
        self.light = LightModel(["SERSIC_ELLIPSE"])
        self.margin = len(kernel) // 2
        side = scipy.fft.next_fast_len(pixels + len(kernel) - 1, real=True)
        self.transform_shape = (side, side)
        self.kernel_transform = scipy.fft.rfft2(kernel, self.transform_shape)
        fine = kernel if fine_kernel is None else fine_kernel
        self.points = ShiftedKernel(fine, len(fine) // len(kernel))

    def render(self, systems: Sequence[System]) -> np.ndarray:
        """Images (n, ny, nx) of systems, float64 [counts/s per pixel]."""
        return np.stack([self._image(system) for system in systems])

    def _image(self, system: System) -> np.ndarray:
        image = self._convolved(self._galaxies(system.parameters)) * self.pixel_scale**2  # (ny, nx)
        column = system.quasar_images.x / self.pixel_scale + (self.pixels - 1) / 2
        row = system.quasar_images.y / self.pixel_scale + (self.pixels - 1) / 2
        self.points.add(image, row, column, self.scene.quasar_amp * np.abs(system.quasar_images.magnification))
        return image

    def _galaxies(self, parameters: Mapping[str, float]) -> np.ndarray:
        """Surface brightness of both galaxies before the PSF, (ny, nx) [counts/s/arcsec^2]."""
        model, lens = lens_model(parameters), lens_kwargs(parameters)
        source = source_kwargs(parameters, self.scene)
        lens_light = lens_light_kwargs(parameters, self.scene)
        brightness = np.empty_like(self.x)
        for start in range(0, len(self.x), BLOCK):
            block = slice(start, start + BLOCK)
            x, y = self.x[block], self.y[block]
            brightness[block] = self.light.surface_brightness(*model.ray_shooting(x, y, lens), source)
            brightness[block] += self.light.surface_brightness(x, y, lens_light)
        return brightness.reshape(self.pixels, self.pixels)

    def _convolved(self, image: np.ndarray) -> np.ndarray:
        product = scipy.fft.rfft2(image, self.transform_shape) * self.kernel_transform
        inside = slice(self.margin, self.margin + self.pixels)
        return scipy.fft.irfft2(product, self.transform_shape)[inside, inside]


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
        rows, kernel_rows = _overlap(i - self.radius, len(kernel), image.shape[0])
        columns, kernel_columns = _overlap(j - self.radius, len(kernel), image.shape[1])
        image[rows, columns] += flux * kernel[kernel_rows, kernel_columns]

    def _phase(self, i: int, j: int) -> np.ndarray:
        """The native kernel, of side 2 radius + 1, of a source on the fine pixel (i, j) of the central native pixel."""
        if (i, j) not in self.phases:
            side, s = 2 * self.radius + 1, self.supersampling
            fine = np.zeros((side * s, side * s))
            start = self.radius * s - len(self.kernel) // 2
            rows, columns = (slice(start + at, start + at + len(self.kernel)) for at in (i, j))
            fine[rows, columns] = self.kernel
            self.phases[i, j] = fine.reshape(side, s, side, s).sum((1, 3))
        return self.phases[i, j]


def _overlap(start: int, length: int, size: int) -> tuple[slice, slice]:
    """Slices of an image's axis of length ``size`` and of a kernel's axis that begins at ``start``, where they meet."""
    low, high = min(max(start, 0), size), min(max(start + length, 0), size)
    return slice(low, high), slice(low - start, high - start)
