"""Images of many systems at once, and their derivatives by the parameters, in torch.

The images are those of :mod:`lensvit.lensing.lenstronomy_renderer`, to 1e-12 of their peak in float64 and 1e-6 in
float32. Numbers of a whole system, such as the positions of its quasar images, are always float64; only pixels are
computed in the chosen precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lensvit.lensing.convolution import Convolution, exact_products
from lensvit.lensing.galaxies import (
    AMPLITUDES,
    COLUMNS,
    TOLERANCE,
    Galaxies,
    Rows,
    galaxy_derivatives,
    lens_derivatives,
)
from lensvit.lensing.point_sources import PointSources, Stencil, bilinear
from lensvit.lensing.power_law import PowerLaw, inside
from lensvit.lensing.settings import Light
from lensvit.lensing.system import System
from lensvit.parameters import NAMES

if TYPE_CHECKING:
    from lensvit.lensing.lenstronomy_renderer import LenstronomyRenderer

GPU_BLOCK = 2**23  # pixels, of all channels, that a GPU computes at once


class BatchedRenderer:
    """Noise-free images of systems and their derivatives.

    The ``parameters`` of the methods are float64 (B, 14) in the order of :data:`lensvit.parameters.NAMES`, or (B, 17)
    with the three :data:`lensvit.lensing.galaxies.AMPLITUDES`, which otherwise are those of the scene. They must be
    :func:`lensvit.lensing.power_law.inside`. Quasar images are ``positions`` (B, M, 2) [arcsec] and ``magnification``
    (B, M), 0 for an absent one, both float64.

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
    dtype
        Precision of the images, float32 or float64.
    device
        Where the images are computed.
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
        self.kernel, self.fine_kernel = kernel, fine_kernel
        self.dtype, self.device = dtype, torch.device(device)
        self.axis = (torch.arange(pixels, dtype=torch.float64, device=self.device) - (pixels - 1) / 2) * pixel_scale
        self.blur = Convolution(kernel, pixels, dtype, self.device)
        fine = kernel if fine_kernel is None else fine_kernel
        self.points = PointSources(fine, len(fine) // len(kernel), pixels, dtype, self.device)

    def render(self, systems: Sequence[System]) -> np.ndarray:
        """Images (n, ny, nx) of systems, in the renderer's precision [counts/s per pixel].

        lenstronomy renders the systems that are not :func:`lensvit.lensing.power_law.inside`.
        """
        parameters, positions, magnification = system_tensors(systems, self.device)
        fit = inside(parameters)
        images = self.images(parameters[fit], positions[fit], magnification[fit]).cpu().numpy()
        if len(images) == len(systems):
            return images
        here = fit.cpu().numpy()
        result = np.empty((len(systems), *images.shape[1:]), images.dtype)
        result[here] = images
        result[~here] = self._exact.render([system for system, fits in zip(systems, here, strict=True) if not fits])
        return result

    @cached_property
    def _exact(self) -> LenstronomyRenderer:
        """The same renderer of lenstronomy's, which takes a second or two to import and is seldom asked."""
        from lensvit.lensing.lenstronomy_renderer import LenstronomyRenderer

        return LenstronomyRenderer(self.pixels, self.pixel_scale, self.kernel, self.scene, self.fine_kernel)

    @torch.no_grad()
    @exact_products()
    def images(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> Tensor:
        """Images (B, ny, nx) of systems with these parameters and quasar images [counts/s per pixel]."""
        parameters = self._complete(parameters)
        positions, magnification = positions.to(self.device), magnification.to(self.device)
        galaxies = Galaxies(parameters, self.axis, self.scene, self.dtype)
        flux = (parameters[:, -1:] * magnification.abs())[..., None]  # (B, M, 1)
        stencil = self.points.stencil(self._pixel(positions), lambda within: (flux * bilinear(within)[0])[:, None])
        return self._computed(1, galaxies.count, stencil, galaxies.light)[:, 0]

    @torch.no_grad()
    @exact_products()
    def jacobian(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, ny, nx) and their derivatives (B, P, ny, nx) by the P = 14 or 17 given parameters.

        Quasar images move and brighten with the parameters; for this, ``positions`` must solve the lens equation. A
        point source is a bilinear shift of the kernel, so that the derivative jumps where a quasar image crosses the
        centre of a (fine) pixel. Elsewhere it is exactly that of the image.
        """
        channels, parameters = 1 + parameters.shape[1], self._complete(parameters)
        positions, magnification = positions.to(self.device), magnification.to(self.device)
        law = PowerLaw(parameters, TOLERANCE[self.dtype]).to(self.dtype)
        moving = self._moving_points(parameters, positions, magnification)
        stencil = self.points.stencil(self._pixel(positions), lambda within: moving(within)[:, :channels])
        position, single = self._positions(), parameters.to(self.dtype)

        def light(rows: Rows) -> Tensor:
            return galaxy_derivatives(law[rows], single[rows], position, self.scene)[:, :channels]

        result = self._computed(channels, law.count, stencil, light)
        return result[:, 0], result[:, 1:]

    @torch.no_grad()
    @exact_products()
    def lens_light(self, parameters: Tensor, by: Sequence[str] = ()) -> tuple[Tensor, Tensor]:
        """Images (B, ny, nx) of the lens galaxies alone, and their derivatives (B, K, ny, nx) by K parameters.

        Parameters
        ----------
        parameters
            Parameters of the systems.
        by
            Names of the K parameters, of :data:`lensvit.lensing.galaxies.LENS_LIGHT`.
        """
        light, slopes = lens_derivatives(self._complete(parameters).to(self.dtype), self._positions())
        channels = torch.stack([light, *(slopes[name] for name in by)], 1)
        channels = channels.unflatten(-1, (self.pixels, self.pixels)).mul_(self.pixel_scale**2)
        result = self.blur(channels)
        return result[:, 0], result[:, 1:]

    def _positions(self) -> Tensor:
        """Positions (1, ny nx) of the pixels, complex [arcsec], in the images' precision."""
        axis = self.axis.to(self.dtype)
        return torch.complex(axis.expand(len(axis), -1), axis[:, None].expand(-1, len(axis))).view(1, -1)

    def _computed(self, channels: int, count: Tensor, stencil: Stencil, light: Callable[[Rows], Tensor]) -> Tensor:
        """Images (B, C, ny, nx) of galaxies and point sources.

        Parameters
        ----------
        channels
            The number C of channels.
        count
            (B,) number of terms of the deflection of each lens.
        stencil
            The point sources.
        light
            From some of the systems to the light (b, C, ny nx) of their galaxies before the PSF.
        """
        result = torch.empty(len(count), channels, self.pixels, self.pixels, dtype=self.dtype, device=self.device)
        for rows in self._tiles(count, channels):
            image = light(rows).unflatten(-1, (self.pixels, self.pixels)).mul_(self.pixel_scale**2)
            self.points.add_before(image, stencil, rows)
            result[rows] = self.blur(image)
        self.points.add_after(result, stencil)
        return result

    def _complete(self, parameters: Tensor) -> Tensor:
        """Parameters (B, 17), float64, to which the scene's amplitudes are added where they are not given."""
        parameters = parameters.to(self.device, torch.float64)
        if parameters.shape[1] == len(COLUMNS):
            return parameters
        amplitudes = [getattr(self.scene, name) for name in AMPLITUDES]
        return torch.cat([parameters, parameters.new_tensor(amplitudes).expand(len(parameters), -1)], 1)

    def _tiles(self, count: Tensor, channels: int) -> Iterator[Rows]:
        """Groups of systems that are computed together.

        On a CPU each system is computed by itself, so that no image depends on the other systems. On a GPU a group
        has systems with about equally many terms, so that a flat lens takes no time of the others.
        """
        if self.device.type == "cpu":
            yield from (slice(row, row + 1) for row in range(len(count)))
        else:
            yield from torch.argsort(count).split(max(1, GPU_BLOCK // (self.pixels**2 * channels)))

    def _pixel(self, positions: Tensor) -> Tensor:
        """Column and row [pixel] of positions [arcsec]."""
        return positions / self.pixel_scale + (self.pixels - 1) / 2

    def _moving_points(
        self, parameters: Tensor, positions: Tensor, magnification: Tensor
    ) -> Callable[[Tensor], Tensor]:
        """A function for :meth:`PointSources.stencil` that gives light and its derivatives, in 18 channels."""
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
            nothing = torch.zeros_like(weights)  # derivatives by the amplitudes of the galaxies
            return torch.cat([flux * weights, changes, nothing, nothing, size * weights], 1)

        return channels


def system_tensors(systems: Sequence[System], device: str | torch.device = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Parameters (n, 14), positions (n, M, 2) [arcsec] and magnifications (n, M) of systems, float64."""
    parameters = np.array([[system.parameters[name] for name in NAMES] for system in systems])
    most = max(1, *(len(system.quasar_images) for system in systems))
    columns = np.zeros((len(systems), most, 3))
    for row, system in enumerate(systems):
        images = system.quasar_images
        columns[row, : len(images)] = np.stack([images.x, images.y, images.magnification], 1)
    quasars = torch.as_tensor(columns, device=device)
    return torch.as_tensor(parameters, device=device), quasars[..., :2], quasars[..., 2]
