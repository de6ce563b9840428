"""Images of many systems at once, and their derivatives by the parameters, in torch.

The same images as :mod:`lensvit.lensing.lenstronomy_renderer` makes with lenstronomy: to 1e-12 of the peak in float64, 1e-6 in
float32. What belongs to a whole system, such as the positions of its quasar images, is always float64;
only pixels are computed in the chosen precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from lensvit.lensing.convolution import Convolution, exact_products
from lensvit.lensing.galaxies import AMPLITUDES, COLUMNS, TOLERANCE, Galaxies, Rows, galaxy_derivatives
from lensvit.lensing.lenstronomy_renderer import LenstronomyRenderer
from lensvit.lensing.point_sources import PointSources, Stencil, bilinear
from lensvit.lensing.power_law import PowerLaw, inside
from lensvit.lensing.settings import Light
from lensvit.lensing.system import System
from lensvit.parameters import NAMES

GPU_BLOCK = 2**23  # pixels, of all channels, that a GPU computes at once


class BatchedRenderer:
    """Noise-free images of systems and their derivatives.

    Parameters
    ----------
    pixels : side of the image [pixel]. pixel_scale : [arcsec].
    kernel : (k, k) PSF at the pixel scale, k odd, sum 1, 0 at its border.
    scene : settings with the amplitudes and the source's ellipticity.
    fine_kernel : (s k, s k) the same PSF on pixels of a fraction 1/s, for the quasar images;
        None to use ``kernel``.
    dtype : float32 or float64, of the images. device : where they are computed.

    Wherever ``parameters`` are asked for, they are float64 (B, 14) in the order of ``parameters.NAMES``, or
    (B, 17) with the three ``AMPLITUDES``, which otherwise are the scene's. They must lie where
    ``power_law.inside`` says so. Quasar images are ``positions`` (B, M, 2) [arcsec] and ``magnification``
    (B, M), 0 for an absent one, both float64.
    """

    def __init__(
        self,
        pixels: int,
        pixel_scale: float,
        kernel: np.ndarray,
        scene: Light,
        fine_kernel: np.ndarray | None = None,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> None:
        self.pixels, self.pixel_scale, self.scene = pixels, pixel_scale, scene
        self.exact = LenstronomyRenderer(pixels, pixel_scale, kernel, scene, fine_kernel)
        self.dtype, self.device = dtype, torch.device(device)
        self.axis = (torch.arange(pixels, dtype=torch.float64, device=self.device) - (pixels - 1) / 2) * pixel_scale
        self.blur = Convolution(kernel, pixels, dtype, self.device)
        fine = kernel if fine_kernel is None else fine_kernel
        self.points = PointSources(fine, len(fine) // len(kernel), pixels, dtype, self.device)

    def render(self, systems: Sequence[System]) -> np.ndarray:
        """Images (n, ny, nx) in the renderer's precision, counts/s per pixel.

        lenstronomy renders the systems that ``power_law.inside`` leaves out.
        """
        parameters, *quasars = system_tensors(systems, self.device)
        fit = inside(parameters)
        images = self.images(parameters[fit], *(part[fit] for part in quasars)).cpu().numpy()
        if len(images) == len(systems):
            return images
        fit = fit.cpu().numpy()
        result = np.empty((len(systems), *images.shape[1:]), images.dtype)
        result[fit] = images
        result[~fit] = self.exact.render([system for system, fits in zip(systems, fit, strict=True) if not fits])
        return result

    @torch.no_grad()
    @exact_products()
    def images(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> Tensor:
        """Images (B, ny, nx) [counts/s per pixel]."""
        parameters = self._complete(parameters)
        positions, magnification = positions.to(self.device), magnification.to(self.device)
        galaxies = Galaxies(parameters, self.axis, self.scene, self.dtype)
        flux = (parameters[:, -1:] * magnification.abs())[..., None]  # (B, M, 1)
        stencil = self.points.stencil(self._pixel(positions), lambda within: (flux * bilinear(within)[0])[:, None])
        return self._computed(1, galaxies.count, stencil, galaxies.light)[:, 0]

    @torch.no_grad()
    @exact_products()
    def jacobian(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, ny, nx) and their derivatives (B, P, ny, nx) by the P = 14 or 17 parameters given.

        Quasar images move and brighten with the parameters: ``positions`` must solve the lens equation.
        As a point source is a bilinear shift of the kernel, the derivative jumps where one crosses the
        centre of a (fine) pixel; in between it is that of the image, exactly.
        """
        channels, parameters = 1 + parameters.shape[1], self._complete(parameters)
        positions, magnification = positions.to(self.device), magnification.to(self.device)
        law = PowerLaw(parameters, TOLERANCE[self.dtype]).to(self.dtype)
        moving = self._moving_points(parameters, positions, magnification)
        stencil = self.points.stencil(self._pixel(positions), lambda within: moving(within)[:, :channels])
        axis, single = self.axis.to(self.dtype), parameters.to(self.dtype)
        position = torch.complex(axis.expand(len(axis), -1), axis[:, None].expand(-1, len(axis))).view(1, -1)

        def light(rows: Rows) -> Tensor:
            return galaxy_derivatives(law[rows], single[rows], position, self.scene)[:, :channels]

        result = self._computed(channels, law.count, stencil, light)
        return result[:, 0], result[:, 1:]

    def _computed(self, channels: int, count: Tensor, stencil: Stencil, light: Callable[[Rows], Tensor]) -> Tensor:
        """Images (B, C, ny, nx) from point sources and the galaxies' light before the PSF.

        ``count`` (B,) is the number of terms of each lens; ``light`` gives (b, C, ny nx) of some systems.
        """
        result = torch.empty(len(count), channels, self.pixels, self.pixels, dtype=self.dtype, device=self.device)
        for rows in self._tiles(count, channels):
            image = light(rows).unflatten(-1, (self.pixels, self.pixels)).mul_(self.pixel_scale**2)
            self.points.add_before(image, stencil, rows)
            result[rows] = self.blur(image)
        self.points.add_after(result, stencil)
        return result

    def _complete(self, parameters: Tensor) -> Tensor:
        """With the amplitudes, (B, 17) float64."""
        parameters = parameters.to(self.device, torch.float64)
        if parameters.shape[1] == len(COLUMNS):
            return parameters
        amplitudes = [getattr(self.scene, name) for name in AMPLITUDES]
        return torch.cat([parameters, parameters.new_tensor(amplitudes).expand(len(parameters), -1)], 1)

    def _tiles(self, count: Tensor, channels: int) -> Iterator[Rows]:
        """Systems that are computed together: one on a CPU, so that an image never depends on its company.

        On a GPU those with about as many terms, so that a flat lens costs no other one time.
        """
        if self.device.type == "cpu":
            yield from (slice(row, row + 1) for row in range(len(count)))
        else:
            yield from torch.argsort(count).split(max(1, GPU_BLOCK // (self.pixels**2 * channels)))

    def _pixel(self, positions: Tensor) -> Tensor:
        return positions / self.pixel_scale + (self.pixels - 1) / 2

    def _moving_points(
        self, parameters: Tensor, positions: Tensor, magnification: Tensor
    ) -> Callable[[Tensor], Tensor]:
        """The light (B, 18, M, 4) of the point sources and its derivatives, from the distance to a pixel."""
        law, present = PowerLaw(parameters), magnification != 0
        position = torch.complex(positions[..., 0], positions[..., 1])
        position = torch.where(present, position, law.center + law.theta_E)  # anywhere but at the centre
        moved, brightened = (part.mT[..., None] for part in law.moving_images(position))  # (B, 14, M, 1)
        moved = moved * self.points.supersampling / self.pixel_scale  # [(fine) pixel]
        size = magnification.abs()[:, None, :, None]
        flux = parameters[:, -1:, None, None] * size

        def channels(within: Tensor) -> Tensor:
            weights, by_x, by_y = (part[:, None] for part in bilinear(within))  # (B, 1, M, 4)
            changes = flux * (brightened * weights + moved.real * by_x + moved.imag * by_y)
            nothing = torch.zeros_like(weights)  # by the amplitudes of the galaxies
            return torch.cat([flux * weights, changes, nothing, nothing, size * weights], 1)

        return channels


def system_tensors(systems: Sequence[System], device: str | torch.device = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Parameters (n, 14), positions (n, M, 2) [arcsec] and magnifications (n, M) of systems, float64."""
    parameters = np.array([[system.parameters[name] for name in NAMES] for system in systems])
    most = max(1, *(len(system.quasar_images) for system in systems))
    quasars = np.zeros((len(systems), most, 3))
    for row, system in enumerate(systems):
        images = system.quasar_images
        quasars[row, : len(images)] = np.stack([images.x, images.y, images.magnification], 1)
    quasars = torch.as_tensor(quasars, device=device)
    return torch.as_tensor(parameters, device=device), quasars[..., :2], quasars[..., 2]
