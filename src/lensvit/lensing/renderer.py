"""Images of many systems at once, and their derivatives by the parameters, in torch.

The images are those of :mod:`lensvit.lensing.lenstronomy_renderer`, to 1e-12 of their peak in float64 and 1e-6 in
float32. Numbers of a whole system, such as the positions of its quasar images, are always float64; only pixels are
computed in the chosen precision.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lensvit.jobs.parcels import mapped
from lensvit.lensing.convolution import Convolution, exact_products
from lensvit.lensing.galaxies import (
    AMPLITUDES,
    COLUMNS,
    TOLERANCE,
    CompiledGalaxies,
    Galaxies,
    galaxy_derivatives,
    lens_derivatives,
)
from lensvit.lensing.point_sources import GPU_BLOCK, Patches, PointSources, Stencil, bilinear
from lensvit.lensing.power_law import PowerLaw, inside
from lensvit.lensing.samples import sample_axis
from lensvit.lensing.settings import Light
from lensvit.lensing.system import System
from lensvit.parameters import NAMES

if TYPE_CHECKING:
    from lensvit.lensing.lenstronomy_renderer import LenstronomyRenderer


class Setup(NamedTuple):
    """What the images of n systems are computed from, apart from the camera's own.

    Parameters
    ----------
    galaxies
        The galaxies of the B systems that are computed here, those with the fewest terms first; those of free scenes
        in terms of their own renderer.
    stencil
        Their quasar images.
    places
        (B,) places of these systems among the n.
    exact
        (n - B, ny, nx) images of the others, by lenstronomy.
    exact_places
        (n - B,) their places among the n.
    """

    galaxies: Any
    stencil: Stencil
    places: Tensor
    exact: Tensor
    exact_places: Tensor


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
    light_samples
        Samples of the galaxies' light along the side of a pixel.
    dtype
        Precision of the images, float32 or float64.
    device
        Where the images are computed.
    exposure_map
        (pixels, pixels) share of the exposure time that each pixel has, for those who add noise to images or compare
        them with noisy ones; None for all of it everywhere.
    """

    def __init__(
        self,
        pixels: int,
        pixel_scale: float,
        kernel: np.ndarray,
        scene: Light,
        fine_kernel: np.ndarray | None = None,
        light_samples: int = 1,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        exposure_map: np.ndarray | None = None,
    ) -> None:
        self.pixels, self.pixel_scale, self.scene = pixels, pixel_scale, scene
        self.kernel, self.fine_kernel = kernel, fine_kernel
        self.dtype, self.device = dtype, torch.device(device)
        self.light_samples, self.exposure_map = light_samples, exposure_map
        self.axis = torch.as_tensor(sample_axis(pixels, pixel_scale, light_samples))  # on the CPU
        self._loops = False
        self.blur = Convolution(kernel, pixels, dtype, self.device)
        fine = kernel if fine_kernel is None else fine_kernel
        self.points = PointSources(fine, len(fine) // len(kernel), pixels, dtype, self.device)

    def render(self, systems: Sequence[System]) -> np.ndarray:
        """Images (n, ny, nx) of systems, in the renderer's precision [counts/s per pixel].

        lenstronomy renders the systems that are not :func:`lensvit.lensing.power_law.inside`.
        """
        return self.exposed(self.setup(systems)).cpu().numpy()

    def setup(self, systems: Sequence[System]) -> Setup:
        """What :meth:`exposed` makes images of, on the CPU, wherever the renderer computes images."""
        parameters, positions, magnification = system_tensors(systems)
        fit = inside(parameters)
        places = torch.nonzero(fit)[:, 0]
        others = torch.nonzero(~fit)[:, 0]
        exact = torch.empty(len(others), self.pixels, self.pixels, dtype=self.dtype)
        if len(others):
            exact[:] = torch.as_tensor(self._exact.render([systems[place] for place in others.tolist()]))
        return self._setup(parameters, positions, magnification, places)._replace(exact=exact, exact_places=others)

    def _setup(self, parameters: Tensor, positions: Tensor, magnification: Tensor, places: Tensor) -> Setup:
        """The setup of the systems at some places, without the images of the others."""
        places = places[flattest_last(parameters[places])]
        parameters = self._complete(parameters[places])
        positions, magnification = positions[places], magnification[places]
        galaxies = Galaxies.of(parameters, self.axis, self.scene, self.dtype)
        flux = (parameters[:, -1:] * magnification.abs())[..., None]  # (B, M, 1)
        stencil = self.points.stencil(self._pixel(positions), lambda within: (flux * bilinear(within)[0])[:, None])
        return Setup(galaxies, stencil, places, self._empty(0, device="cpu"), places[:0])

    @torch.no_grad()
    @exact_products()
    def exposed(self, setup: Setup) -> Tensor:
        """Images (n, ny, nx) on the device, in the renderer's precision [counts/s per pixel].

        A GPU is not waited for where the setup's tensors are on it.

        Parameters
        ----------
        setup
            What :meth:`setup` gives, with its tensors on the CPU or on the device.
        """
        galaxies, stencil, places, exact, exact_places = mapped(setup, lambda tensor: tensor.to(self.device))
        result = self._empty(len(places) + len(exact), 1)
        self._compute(result, places, stencil, self._light(galaxies))
        result[exact_places] = exact[:, None]
        return result[:, 0]

    @cached_property
    def _exact(self) -> LenstronomyRenderer:
        """The same renderer of lenstronomy's, which takes a second or two to import and is seldom asked."""
        from lensvit.lensing.lenstronomy_renderer import LenstronomyRenderer

        return LenstronomyRenderer(
            self.pixels, self.pixel_scale, self.kernel, self.scene, self.fine_kernel, self.light_samples
        )

    def images(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> Tensor:
        """Images (B, ny, nx) of systems with these parameters and quasar images [counts/s per pixel]."""
        places = torch.arange(len(parameters))
        return self.exposed(self._setup(parameters.cpu(), positions.cpu(), magnification.cpu(), places))

    @torch.no_grad()
    @exact_products()
    def visit(
        self, parameters: Tensor, positions: Tensor, magnification: Tensor, visitor: Callable[[int, Tensor], None]
    ) -> None:
        """Compute the images one after the other, for a visitor who sees each while it is in a CPU's cache.

        Parameters
        ----------
        parameters
            Parameters of the systems.
        positions
            Positions of their quasar images.
        magnification
            Magnifications of these.
        visitor
            Takes the place of a system and its image (ny, nx), in any order.
        """
        setup = self._setup(parameters, positions, magnification, torch.arange(len(parameters)))
        stencil, light = setup.stencil, self._light(setup.galaxies)
        after = set(stencil.after.system.tolist())
        for number, place in enumerate(setup.places.tolist()):
            image = self.blur(self._sharp(stencil, light, slice(number, number + 1)))
            if number in after:
                patches = Patches(*(part[stencil.after.system == number] for part in stencil.after))
                self.points.add_after(image, patches._replace(system=torch.zeros_like(patches.system)))
            visitor(place, image[0, 0])

    def compiled(self) -> BatchedRenderer:
        """A renderer of the same images, to float32 rounding, by compiled loops where there are some for it.

        Loading them takes a process a second, and compiling them, once on a machine, some more.
        """
        other = copy.copy(self)
        if self.device.type == "cpu" and self.dtype == torch.float32:
            other._loops = True
        return other

    @torch.no_grad()
    @exact_products()
    def jacobian(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, ny, nx) and their derivatives (B, P, ny, nx) by the P = 14 or 17 given parameters.

        Quasar images move and brighten with the parameters; for this, ``positions`` must solve the lens equation. A
        point source is a bilinear shift of the kernel, so that the derivative jumps where a quasar image crosses the
        centre of a (fine) pixel. Elsewhere it is exactly that of the image.
        """
        places, channels = flattest_last(parameters), 1 + parameters.shape[1]
        given = (part[places] for part in (self._complete(parameters), positions, magnification))
        places, parameters, positions, magnification = (part.to(self.device) for part in (places, *given))
        law = PowerLaw(parameters, TOLERANCE[self.dtype]).to(self.dtype)
        moving = self._moving_points(parameters, positions, magnification)
        stencil = self.points.stencil(self._pixel(positions), lambda within: moving(within)[:, :channels])
        position, single = self._positions(), parameters.to(self.dtype)

        def light(rows: slice) -> Tensor:
            return galaxy_derivatives(law[rows], single[rows], position, self.scene)[:, :channels]

        result = self._empty(len(parameters), channels)
        self._compute(result, places, stencil, light)
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
        light, slopes = lens_derivatives(self._columns(parameters), self._positions())
        channels = torch.stack([light, *(slopes[name] for name in by)], 1)
        result = self.blur(self._pixels(channels))
        return result[:, 0], result[:, 1:]

    def _positions(self) -> Tensor:
        """Positions (1, ny nx) of the pixels, complex [arcsec], in the images' precision."""
        axis = self.axis.to(self.device, self.dtype)
        return torch.complex(axis.expand(len(axis), -1), axis[:, None].expand(-1, len(axis))).view(1, -1)

    def _empty(self, *shape: int, device: torch.device | str | None = None) -> Tensor:
        """Memory for images (..., ny, nx)."""
        return torch.empty(*shape, self.pixels, self.pixels, dtype=self.dtype, device=device or self.device)

    def _compute(self, result: Tensor, places: Tensor, stencil: Stencil, light: Callable[[slice], Tensor]) -> None:
        """Write images of galaxies and point sources.

        On a CPU each system is computed by itself, so that no image depends on the other systems. On a GPU systems with
        about equally many terms are computed together, so that a flat lens takes no time of the others.

        Parameters
        ----------
        result
            (n, C, ny, nx), of which B images are written.
        places
            (B,) places of the systems among the n, those with the fewest terms first.
        stencil
            The point sources of the B systems.
        light
            From some of the B systems to the light (b, C, ny nx) of their galaxies before the PSF.
        """
        together = self._together(result.shape[1])
        for start in range(0, len(places), together):
            rows = slice(start, start + together)
            image = self._sharp(stencil, light, rows)
            if self.device.type == "cpu" and together == 1:
                self.blur(image, result[places[start]][None])
            else:
                result[places[rows]] = self.blur(image)
        self.points.add_after(result, stencil.after._replace(system=places[stencil.after.system]))

    def _light(self, galaxies: Any) -> Callable[[slice], Tensor]:
        """From some of B systems to the light (b, 1, ny nx) of their galaxies."""
        return CompiledGalaxies(galaxies).light if self._loops else galaxies.light

    def _sharp(self, stencil: Stencil, light: Callable[[slice], Tensor], rows: slice) -> Tensor:
        """Images (b, C, ny, nx) of some systems before the convolution."""
        image = self._pixels(light(rows))
        self.points.add_before(image, stencil, rows)
        return image

    def _pixels(self, light: Tensor) -> Tensor:
        """Light (..., ny, nx) in pixels [counts/s], of a surface brightness (..., samples) [counts/s/arcsec^2]."""
        side, samples = self.pixels, self.light_samples
        if samples > 1:
            light = light.unflatten(-1, (side, samples, side, samples)).mean((-3, -1)).flatten(-2)
        return light.unflatten(-1, (side, side)).mul_(self.pixel_scale**2)

    def _together(self, channels: int) -> int:
        """How many systems are computed together."""
        return 1 if self.device.type == "cpu" else max(1, GPU_BLOCK // (self.pixels**2 * channels))

    def _complete(self, parameters: Tensor) -> Tensor:
        """Parameters (B, 17), float64, to which the scene's amplitudes are added where they are not given."""
        parameters = parameters.double()
        if parameters.shape[1] == len(COLUMNS):
            return parameters
        amplitudes = [getattr(self.scene, name) for name in AMPLITUDES]
        return torch.cat([parameters, parameters.new_tensor(amplitudes).expand(len(parameters), -1)], 1)

    def _columns(self, parameters: Tensor) -> dict[str, Tensor]:
        """Name of a parameter, or of an amplitude, to its values (B, 1), in the images' precision."""
        complete = self._complete(parameters).to(self.dtype)
        return dict(zip(COLUMNS, complete[..., None].unbind(1), strict=True))

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


def flattest_last(parameters: Tensor) -> Tensor:
    """The order (B,) of systems by their ellipticity, with which the number of terms rises, on the CPU."""
    e1, e2 = (parameters[:, NAMES.index(name)].cpu() for name in ("e1", "e2"))
    return torch.argsort(torch.hypot(e1, e2), stable=True)


def system_tensors(systems: Sequence[System]) -> tuple[Tensor, Tensor, Tensor]:
    """Parameters (n, 14), positions (n, M, 2) [arcsec] and magnifications (n, M) of systems, float64."""
    parameters = np.array([[system.parameters[name] for name in NAMES] for system in systems])
    most = max(1, *(len(system.quasar_images) for system in systems))
    columns = np.zeros((len(systems), most, 3))
    for row, system in enumerate(systems):
        images = system.quasar_images
        columns[row, : len(images)] = np.stack([images.x, images.y, images.magnification], 1)
    quasars = torch.as_tensor(columns)
    return torch.as_tensor(parameters), quasars[..., :2], quasars[..., 2]
