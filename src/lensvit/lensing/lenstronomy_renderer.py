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
from lensvit.lensing.samples import sample_axis
from lensvit.lensing.settings import Light
from lensvit.lensing.shifted_kernel import ShiftedKernel
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
    light_samples
        Samples of the galaxies' light along the side of a pixel.
    """

    def __init__(
        self,
        pixels: int,
        pixel_scale: float,
        kernel: np.ndarray,
        scene: Light,
        fine_kernel: np.ndarray | None = None,
        light_samples: int = 1,
    ) -> None:
        self.pixels, self.pixel_scale, self.scene, self.light_samples = pixels, pixel_scale, scene, light_samples
        axis = sample_axis(pixels, pixel_scale, light_samples)
        y, x = np.meshgrid(axis, axis, indexing="ij")
        self.x, self.y = x.ravel(), y.ravel()
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
        own, magnification = system.fluxes, np.abs(system.quasar_images.magnification)
        self.points.add(image, row, column, self.scene.quasar_amp * magnification if own is None else own)
        return image

    def _galaxies(self, parameters: Mapping[str, float]) -> np.ndarray:
        """Surface brightness of the galaxies before the PSF, (ny, nx) [counts/s/arcsec^2]."""
        model, lens = lens_model(parameters), lens_kwargs(parameters)
        source = source_kwargs(parameters, self.scene)
        lens_light = lens_light_kwargs(parameters, self.scene)
        sources, lenses = (LightModel(["SERSIC_ELLIPSE"] * len(kwargs)) for kwargs in (source, lens_light))
        brightness = np.empty_like(self.x)
        for start in range(0, len(self.x), BLOCK):
            block = slice(start, start + BLOCK)
            x, y = self.x[block], self.y[block]
            brightness[block] = sources.surface_brightness(*model.ray_shooting(x, y, lens), source)
            brightness[block] += lenses.surface_brightness(x, y, lens_light)
        side, samples = self.pixels, self.light_samples
        return brightness.reshape(side, samples, side, samples).mean((1, 3))

    def _convolved(self, image: np.ndarray) -> np.ndarray:
        product = scipy.fft.rfft2(image, self.transform_shape) * self.kernel_transform
        inside = slice(self.margin, self.margin + self.pixels)
        return scipy.fft.irfft2(product, self.transform_shape)[inside, inside]
