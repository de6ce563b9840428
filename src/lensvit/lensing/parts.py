"""Images of the parts of a scene at an amplitude of 1, and their derivatives by the parameters, in torch.

The parts are the lens galaxy, the source galaxy, images of the quasar and the sky, see
:class:`lensvit.lensing.structure.Structure`. One scene may be seen in several exposures, whose pixels follow one
another in all arrays. Everything is float64, on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lensvit.lensing.convolution import Convolution
from lensvit.lensing.galaxies import lens_derivatives, source_derivatives, source_light
from lensvit.lensing.power_law import MASS, PowerLaw
from lensvit.lensing.spline_points import SplinePoints
from lensvit.lensing.structure import BULGE_INDEX, HOST_OFFSET, LENS_SHAPE, LOGARITHMS, SOURCE_SHAPE, Structure
from lensvit.parameters import NAMES

TOLERANCE = 1e-9  # relative error of the deflection at pixels


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
        (n, 2) places around which there are more samples [arcsec].
    cusp_radius
        The distance from them up to which this holds [arcsec].
    cusp_supersampling
        Samples along the side of a pixel there.
    degree
        Degree of the spline by which quasar images lie between pixels of the kernel: 1 as lenstronomy, or 3.
    center
        Where the middle of the image lies [arcsec].
    """

    pixels: int
    pixel_scale: float
    kernel: np.ndarray
    oversampling: int = 1
    fine: bool = False
    supersampling: int = 1
    cusps: np.ndarray | None = None
    cusp_radius: float = 0.0
    cusp_supersampling: int = 1
    degree: int = 3
    center: tuple[float, float] = (0.0, 0.0)

    @property
    def native_kernel(self) -> np.ndarray:
        """(k, k) PSF on pixels, k being odd: sums over the fine pixels of each."""
        if self.oversampling == 1:
            return self.kernel
        side = 2 * -(-(len(self.kernel) // 2) // self.oversampling) + 3
        points = SplinePoints(self.kernel, self.oversampling, side, 3)
        middle = torch.full((1, 2), (side - 1) / 2, dtype=torch.float64)
        return points.images(middle, slopes=False)[0, 0].numpy()


class Samples:
    """Where the light of galaxies is computed, and its means over pixels."""

    def __init__(self, exposure: Exposure) -> None:
        self.exposure = exposure
        every = max(exposure.supersampling, exposure.oversampling if exposure.fine else 1)
        self.every, self.side = every, exposure.pixels * (exposure.oversampling if exposure.fine else 1)
        self.share = every // (exposure.oversampling if exposure.fine else 1)  # samples along a cell
        scale = exposure.pixel_scale * exposure.pixels / self.side
        self.cell = scale  # side of what the light is averaged over [arcsec]
        axis = (torch.arange(self.side * self.share, dtype=torch.float64) + 0.5) / self.share - self.side / 2
        x, y = (axis * scale + middle for middle in exposure.center)
        self.position = torch.complex(x.expand(len(y), -1), y[:, None].expand(-1, len(x))).reshape(-1)
        self.cusp, across = self._cusps(scale), exposure.cusp_supersampling
        if len(self.cusp):
            within = ((torch.arange(across, dtype=torch.float64) + 0.5) / across - 0.5) * scale
            offset = torch.complex(within.expand(across, -1), within[:, None].expand(-1, across)).reshape(-1)
            row, column = self.cusp // self.side, self.cusp % self.side
            middle = torch.complex(
                (column - (self.side - 1) / 2) * scale + exposure.center[0],
                (row - (self.side - 1) / 2) * scale + exposure.center[1],
            )
            self.position = torch.cat([self.position, (middle[:, None] + offset).reshape(-1)])

    def _cusps(self, scale: float) -> Tensor:
        """Places (n,) of the cells with more samples in the flat image."""
        exposure = self.exposure
        if exposure.cusps is None or exposure.cusp_supersampling <= self.share or not len(exposure.cusps):
            return torch.zeros(0, dtype=torch.long)
        axis = (np.arange(self.side) - (self.side - 1) / 2) * scale
        x, y = axis + exposure.center[0], (axis + exposure.center[1])[:, None]
        near = np.zeros((self.side, self.side), dtype=bool)
        for place in exposure.cusps:
            near |= np.hypot(x - place[0], y - place[1]) <= exposure.cusp_radius
        return torch.as_tensor(np.flatnonzero(near))

    def means(self, light: Tensor) -> Tensor:
        """Light (..., Q) at the samples to its means (..., n, n) over cells."""
        everywhere = (self.side * self.share) ** 2
        shape = light.shape[:-1]
        cells = light[..., :everywhere].reshape(*shape, self.side, self.share, self.side, self.share)
        cells = cells.mean((-3, -1)) if self.share > 1 else cells.reshape(*shape, self.side, self.side)
        if len(self.cusp):
            finer = light[..., everywhere:].reshape(*shape, len(self.cusp), -1).mean(-1)
            cells = cells.flatten(-2).index_copy(-1, self.cusp, finer).unflatten(-1, (self.side, self.side))
        return cells


class _View:
    """One exposure, ready to be imaged."""

    def __init__(self, exposure: Exposure) -> None:
        self.exposure, self.samples = exposure, Samples(exposure)
        kernel = exposure.kernel if exposure.fine else exposure.native_kernel
        self.blur = Convolution(kernel, self.samples.side, torch.float64, torch.device("cpu"))
        self.points = SplinePoints(exposure.kernel, exposure.oversampling, exposure.pixels, exposure.degree)

    def galaxies(self, light: Tensor) -> Tensor:
        """Surface brightness (C, Q) at the samples to images (C, ny nx)."""
        images = self.blur(self.samples.means(light)[None])[0] * self.samples.cell**2
        if self.exposure.fine:
            shape = (self.exposure.pixels, self.exposure.oversampling) * 2
            images = images.reshape(len(images), *shape).sum((2, 4))
        return images.flatten(1)

    def quasars(self, positions: Tensor, slopes: bool) -> Tensor:
        """Images and derivatives (M, 6, ny nx) [1, 1/arcsec, 1/arcsec^2] of point sources at positions (M, 2)."""
        exposure = self.exposure
        pixel = (positions - positions.new_tensor(exposure.center)) / exposure.pixel_scale + (exposure.pixels - 1) / 2
        images = self.points.images(pixel, slopes)
        scale = images.new_tensor([1.0, *[1 / exposure.pixel_scale] * 2, *[1 / exposure.pixel_scale**2] * 3])
        return images.flatten(2) * scale[: images.shape[1], None]


class Parts:
    """Images of the parts of a scene at an amplitude of 1.

    The ``parameters`` of the methods are float64 (B, P) in the order of ``structure.names``. Quasar images are
    ``positions`` (B, M, 2) [arcsec] and ``magnification`` (B, M), 0 for an absent one.

    The parts are the galaxies of the structure, its images of the quasar, a sky for each exposure if there is one, and,
    where there is an error of positions, the derivatives of each quasar image by x and by y [counts/s/arcsec], one
    image after the other, at the flux that was seen nearest to it. The amplitude of such a part is the image's shift
    [arcsec].

    Parameters
    ----------
    exposures
        Where the scene is seen.
    structure
        What it is made of.
    seen
        Positions (n, 2) [arcsec] and fluxes (n,) [counts/s] of the quasar's images as they are seen; None for fluxes
        of 1.

    Attributes
    ----------
    galaxies, quasars, skies, shifts : slice
        Where these are among the parts.
    light : Tensor
        (K,) whether the amplitude of a part cannot be negative.
    pixels : list of int
        Pixels of each exposure, of N in all.
    """

    def __init__(
        self, exposures: Sequence[Exposure], structure: Structure, seen: tuple[np.ndarray, np.ndarray] | None = None
    ) -> None:
        self.exposures, self.structure, self.seen = tuple(exposures), structure, seen
        self.views = [_View(exposure) for exposure in exposures]
        self.pixels = [view.exposure.pixels**2 for view in self.views]
        counts = (
            len(structure.galaxies),
            len(structure.quasars),
            len(self.views) * structure.sky,
            2 * structure.most_images * (structure.position_error > 0),
        )
        ends = np.cumsum(counts).tolist()
        self.count = ends[-1]
        self.galaxies, self.quasars, self.skies, self.shifts = map(slice, [0, *ends[:-1]], ends)
        self.light = torch.arange(self.count) < self.quasars.stop

    @property
    def names(self) -> list[str]:
        """Names of the parts."""
        skies = [f"sky_{number + 1}" for number in range(self.skies.stop - self.skies.start)]
        shifted = range((self.shifts.stop - self.shifts.start) // 2)
        shifts = [f"shift_{axis}_{number + 1}" for number in shifted for axis in "xy"]
        return [*self.structure.galaxies, *self.structure.quasars, *skies, *shifts]

    def images(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> Tensor:
        """Images (B, K, N) of the K parts in all N pixels."""
        systems = zip(parameters, positions, magnification, strict=True)
        return torch.stack([self._images(*system) for system in systems])

    def jacobian(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, K, N) of the parts and their derivatives (B, P, K, N) by the parameters."""
        systems = zip(parameters, positions, magnification, strict=True)
        images, slopes = zip(*(self._jacobian(*system) for system in systems), strict=True)
        return torch.stack(images), torch.stack(slopes)

    def _columns(self, parameters: Tensor) -> dict[str, Tensor]:
        """Name of a parameter, or of an amplitude, to its value (1, 1)."""
        parameters = parameters.clone()
        parameters[self.structure.logarithms] = parameters[self.structure.logarithms].exp()
        of = dict(zip(self.structure.names, parameters[None, :, None].unbind(1), strict=True))
        one, nothing = torch.ones_like(of["theta_E"]), torch.zeros_like(of["theta_E"])
        without = dict.fromkeys((*SOURCE_SHAPE, *HOST_OFFSET), nothing)
        return without | dict.fromkeys(("source_amp", "lens_amp"), one) | of

    def _lens(self, of: dict[str, Tensor], position: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Light (1, Q) of the lens galaxy, and its derivatives by the parameters that it has."""
        if not self.structure.lens_shape:
            light, by = lens_derivatives(of, position)
        else:
            own = dict(zip(LENS_SHAPE, ("center_x", "center_y", "e1", "e2"), strict=True))
            light, by = lens_derivatives(of | {mass: of[name] for name, mass in own.items()}, position)
            by = {name: by[own.get(name, name)] for name in (*own, "R_sersic", "n_sersic")}
        return light, self._known(by)

    def _sources(self, of: dict[str, Tensor]) -> list[tuple[dict[str, Tensor], Tensor]]:
        """The source galaxy and its bulge: parameters as the source has them, and ellipticities (1, 1)."""
        host = of | {"source_x": of["source_x"] + of["host_x"], "source_y": of["source_y"] + of["host_y"]}
        sources = [(host, torch.complex(of["source_e1"], of["source_e2"]))]
        if self.structure.bulge:
            index = torch.full_like(of["theta_E"], BULGE_INDEX)
            bulge = of | {"source_R_sersic": of["bulge_R_sersic"], "source_n_sersic": index}
            sources.append((bulge, torch.zeros_like(sources[0][1])))
        return sources

    def _lights(self, law: PowerLaw, of: dict[str, Tensor], position: Tensor) -> list[tuple[Tensor, dict[str, Tensor]]]:
        """Light (1, Q) of each galaxy, and its derivatives by the parameters that it has."""
        result = [self._lens(of, position)]
        for number, (source, epsilon) in enumerate(self._sources(of)):
            light, by = source_derivatives(law, source, position, epsilon, 1 - epsilon.abs() ** 2)
            if number == 0:
                by |= {"host_x": by["source_x"], "host_y": by["source_y"]}
            else:
                by = {name: by[name] for name in (*MASS, "source_x", "source_y")} | {
                    "bulge_R_sersic": by["source_R_sersic"]
                }
            result.append((light, self._known(by)))
        return result

    def _known(self, by: dict[str, Tensor]) -> dict[str, Tensor]:
        """The derivatives by parameters of this structure."""
        return {name: slope for name, slope in by.items() if name in self.structure.names}

    def _images(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> Tensor:
        of, law = self._columns(parameters), PowerLaw(parameters[None], TOLERANCE, slopes=False)
        result = torch.zeros(self.count, sum(self.pixels), dtype=torch.float64)
        for view, block in zip(self.views, result.split(self.pixels, 1), strict=True):
            position = view.samples.position[None]
            lights = [source_light(law, source, position, epsilon) for source, epsilon in self._sources(of)]
            block[self.galaxies] = view.galaxies(torch.cat([self._lens(of, position)[0], *lights]))
            quasars = view.quasars(positions, slopes=self.shifts.stop > self.shifts.start)
            self._add_quasars(block, quasars, positions, magnification)
        self._add_skies(result)
        return result

    def fluxes_nearby(self, positions: Tensor) -> Tensor:
        """The fluxes (M,) of the quasar images that are seen nearest to positions (M, 2), 1 where none are known."""
        if self.seen is None:
            return torch.ones(len(positions), dtype=torch.float64)
        places, fluxes = (torch.as_tensor(part, dtype=torch.float64) for part in self.seen)
        return fluxes[torch.cdist(positions, places).argmin(1)]

    def _add_quasars(self, block: Tensor, quasars: Tensor, positions: Tensor, magnification: Tensor) -> None:
        """Put images of the quasar, of their flux 1, into their parts of one exposure."""
        present = (magnification != 0).double()[:, None]
        if self.structure.quasar_fluxes:
            block[self.quasars] = present * quasars[:, 0]
        else:
            block[self.quasars] = magnification.abs()[None] @ quasars[:, 0]
        if self.shifts.stop > self.shifts.start:
            fluxes = self.fluxes_nearby(positions)[:, None, None]
            block[self.shifts] = (fluxes * present[..., None] * quasars[:, 1:3]).flatten(0, 1)

    def _add_skies(self, result: Tensor) -> None:
        """Put the sky of each exposure into its part."""
        if self.structure.sky:
            for row, block in zip(result[self.skies], _starts(self.pixels), strict=True):
                row[block] = 1.0

    def _jacobian(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> tuple[Tensor, Tensor]:
        of, law = self._columns(parameters), PowerLaw(parameters[None], TOLERANCE)
        names = self.structure.names
        image = torch.zeros(self.count, sum(self.pixels), dtype=torch.float64)
        slopes = torch.zeros(len(names), *image.shape, dtype=torch.float64)
        moved, brightened = self._moving(parameters, positions, magnification)
        blocks = zip(self.views, image.split(self.pixels, 1), slopes.split(self.pixels, 2), strict=True)
        for view, block, by in blocks:
            for part, (light, lights) in enumerate(self._lights(law, of, view.samples.position[None])):
                slopes_of = [of[name] * slope if name in LOGARITHMS else slope for name, slope in lights.items()]
                images = view.galaxies(torch.cat([light, *slopes_of]))
                block[part] = images[0]
                by[[names.index(name) for name in lights], part] = images[1:]
            quasars = view.quasars(positions, slopes=True)
            self._add_quasars(block, quasars, positions, magnification)
            self._add_moving(by, quasars, positions, magnification, moved, brightened)
        self._add_skies(image)
        return image, slopes

    def _moving(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives (M, 14) of the positions, complex, and of the log magnifications by parameters."""
        law = PowerLaw(parameters[None])
        position, present = torch.complex(*positions.unbind(1))[None], magnification != 0
        position = torch.where(present, position, law.center + law.theta_E)  # anywhere but at the centre
        moved, brightened = (part[0] for part in law.moving_images(position))
        return moved * present[:, None], brightened * present[:, None]

    def _add_moving(
        self,
        by: Tensor,
        quasars: Tensor,
        positions: Tensor,
        magnification: Tensor,
        moved: Tensor,
        brightened: Tensor,
    ) -> None:
        """Put derivatives of the quasar's images by the 14 parameters into their parts of one exposure."""
        value, x, y, xx, xy, yy = quasars.unbind(1)  # (M, N) each
        along, up = moved.real.mT[..., None], moved.imag.mT[..., None]  # (14, M, 1)
        lensed, first, last = slice(0, len(NAMES)), self.shifts.start, self.shifts.stop
        if self.structure.quasar_fluxes:
            by[lensed, self.quasars] = along * x + up * y
        else:
            size = magnification.abs()[:, None]
            by[lensed, self.quasars.start] = ((along * x + up * y + brightened.mT[..., None] * value) * size).sum(1)
        if last > first:
            fluxes = self.fluxes_nearby(positions)[:, None]
            by[lensed, first:last:2] = fluxes * (along * xx + up * xy)
            by[lensed, first + 1 : last : 2] = fluxes * (along * xy + up * yy)


def _starts(pixels: Sequence[int]) -> list[slice]:
    """Where the pixels of each exposure are among those of all."""
    ends = np.cumsum(pixels).tolist()
    return list(map(slice, [0, *ends[:-1]], ends))
