"""Images of the parts of a scene at an amplitude of 1, and their derivatives by the parameters, in torch.

The parts are the lens galaxy, the source galaxy, images of the quasar and the sky, see
:class:`lensvit.lensing.structure.Structure`. One scene may be seen in several exposures, whose pixels follow one
another in all arrays. Everything is float64, on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from lensvit.lensing.convolution import Convolution
from lensvit.lensing.exposure import Exposure
from lensvit.lensing.galaxies import SMOOTHING, b_n, lens_derivatives, source_derivatives
from lensvit.lensing.pixel_light import Samples
from lensvit.lensing.power_law import MASS, PowerLaw
from lensvit.lensing.spline_points import SplinePoints
from lensvit.lensing.structure import BULGE_INDEX, HOST_OFFSET, LENS_SHAPE, LOGARITHMS, SOURCE_SHAPE, Structure
from lensvit.parameters import NAMES

TOLERANCE = 1e-9  # relative error of the deflection at pixels

LightOf = Callable[[Samples], Tensor]


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


class Expansion(NamedTuple):
    """Around what M images of a quasar are expanded.

    Parameters
    ----------
    anchor
        Which of the images that are seen is the one of the model, (M,); -1 for the place by the lens equation.
    offset
        From there to the place by the lens equation (M, 2) [arcsec].
    flux
        Of the image that is seen (M,) [counts/s]; 1 if none is.
    """

    anchor: Tensor
    offset: Tensor
    flux: Tensor


class Parts:
    """Images of the parts of a scene at an amplitude of 1.

    The ``parameters`` of the methods are float64 (B, P) in the order of ``structure.names``. Quasar images are
    ``positions`` (B, M, 2) [arcsec] and ``magnification`` (B, M), 0 for an absent one.

    The parts are the galaxies of the structure, its images of the quasar, and a sky for each exposure if there is one.
    Where there is an error of positions, each quasar image may be off its place by a shift. It counts to first order,
    as an amplitude [arcsec] of the image's derivatives by x and by y [counts/s/arcsec], which are parts too. This is
    exact enough for bright images only if they are expanded around where they are seen, to a milliarcsecond or so. What
    leads from there to their place by the lens equation is one more part, the last one, of the known amplitude 1.

    Parameters
    ----------
    exposures
        Where the scene is seen.
    structure
        What it is made of.
    seen
        Positions (n, 2) [arcsec] and fluxes (n,) [counts/s] of the quasar's images as they are seen, around which they
        are expanded; None, and images without a partner here, for an expansion around their places by the lens
        equation, with a flux of 1.

    Attributes
    ----------
    galaxies, quasars, skies, shifts : slice
        Where these are among the parts.
    known : int
        The number of parts, the last ones, whose amplitude is 1.
    light : Tensor
        (K,) whether the amplitude of a part cannot be negative.
    powers : Tensor
        (K,) the power of 1 / amplitude to which its prior is proportional: 1 where all magnitudes are equally probable.
        Of a bulge all shares of its host's light are (:mod:`lensvit.inference.bulge_share`).
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
        self.known = int(structure.position_error > 0)
        self.count = ends[-1] + self.known
        self.galaxies, self.quasars, self.skies, self.shifts = map(slice, [0, *ends[:-1]], ends)
        self.light = torch.arange(self.count) < self.quasars.stop
        self.powers = self.light.double()
        if structure.bulge:
            source, bulge = (structure.galaxies.index(name) for name in ("source", "bulge"))
            self.powers[source], self.powers[bulge] = 2.0, 0.0
        self.anchors, self.fluxes = torch.zeros(0, 2).double(), torch.zeros(0).double()
        if seen is not None and self.known:
            self.anchors, self.fluxes = (torch.as_tensor(part, dtype=torch.float64) for part in seen)
        self.anchored = [view.quasars(self.anchors, slopes=True) for view in self.views] if len(self.anchors) else []
        self.ready = [(one[:, 0].clone(), self.fluxes[:, None, None] * one[:, 1:3]) for one in self.anchored]

    @property
    def names(self) -> list[str]:
        """Names of the parts."""
        skies = [f"sky_{number + 1}" for number in range(self.skies.stop - self.skies.start)]
        shifted = range((self.shifts.stop - self.shifts.start) // 2)
        shifts = [f"shift_{axis}_{number + 1}" for number in shifted for axis in "xy"]
        return [*self.structure.galaxies, *self.structure.quasars, *skies, *shifts, *["moved"] * self.known]

    def images(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> Tensor:
        """Images (B, K, N) of the K parts in all N pixels."""
        result = torch.zeros(len(parameters), self.count, sum(self.pixels), dtype=torch.float64)
        lights = self._lights_of(parameters) if len(parameters) else []
        for image, light, *quasars in zip(result, lights, positions, magnification, strict=True):
            self._draw(image, light, *quasars)
        return result

    def curvature(self, parameters: Tensor, amplitudes: Tensor) -> list[np.ndarray]:
        """By how much the light of a cell differs from that of its middle, for each exposure.

        Parameters
        ----------
        parameters
            Parameters (P,) of a scene.
        amplitudes
            Amplitudes (G,) of its galaxies.

        Returns
        -------
        list of np.ndarray
            (side, side) [counts/s], not negative: the sum of the galaxies' differences, whatever their sign.
        """
        [light_of] = self._lights_of(parameters[None])
        result = []
        for exposure in self.exposures:
            plain = replace(exposure, supersampling=1, cusps=(), nuclei=np.zeros((0, 2)), curved=None)
            middles = Samples(plain)
            four = Samples(replace(plain, curved=np.ones((middles.side,) * 2, dtype=bool)))
            more = four.means(light_of(four)) - middles.means(light_of(middles))
            result.append(torch.tensordot(amplitudes.abs(), more.abs(), 1).numpy() * middles.cell**2)
        return result

    def jacobian(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, K, N) of the parts and their derivatives (B, P, K, N) by the parameters."""
        systems = zip(parameters, positions, magnification, strict=True)
        images, slopes = zip(*(self._jacobian(*system) for system in systems), strict=True)
        return torch.stack(images), torch.stack(slopes)

    def _columns(self, parameters: Tensor) -> dict[str, Tensor]:
        """Name of a parameter of systems (B, P), or of an amplitude, to its values (B, 1)."""
        parameters = parameters.clone()
        parameters[:, self.structure.logarithms] = parameters[:, self.structure.logarithms].exp()
        of = dict(zip(self.structure.names, parameters[..., None].unbind(1), strict=True))
        one, nothing = torch.ones_like(of["theta_E"]), torch.zeros_like(of["theta_E"])
        fixed = zip(SOURCE_SHAPE, self.structure.source_ellipticity, strict=True)
        without = dict.fromkeys(HOST_OFFSET, nothing) | {name: nothing + value for name, value in fixed}
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
        result, bent = [self._lens(of, position)], law.expansion(position)
        for number, (source, epsilon) in enumerate(self._sources(of)):
            light, by = source_derivatives(bent, source, position, epsilon, 1 - epsilon.abs() ** 2)
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

    def _draw(self, image: Tensor, light: LightOf, positions: Tensor, magnification: Tensor) -> None:
        """Put the parts of one scene into an image (K, N) of nothing."""
        points = self.expansion(positions, magnification)
        for number, (view, block) in enumerate(zip(self.views, image.split(self.pixels, 1), strict=True)):
            block[self.galaxies] = view.galaxies(light(view.samples))
            if bool(((points.anchor >= 0) == (magnification != 0)).all()) and self.structure.quasar_fluxes:
                self._add_anchored(block, number, points)
            else:
                self._add_quasars(block, self._points(number, positions, points), points, magnification)
        self._add_skies(image)

    def _add_anchored(self, block: Tensor, number: int, points: Expansion) -> None:
        """Put images of the quasar that are all expanded around where they are seen into their parts."""
        if not len(self.anchored):
            return
        rows = torch.nonzero(points.anchor >= 0)[:, 0]
        values, slopes = self.ready[number]
        block[self.quasars][rows] = values[points.anchor[rows]]
        block[self.shifts].unflatten(0, (-1, 2))[rows] = slopes[points.anchor[rows]]
        block[-1] = points.offset.flatten() @ block[self.shifts]

    def _lights_of(self, parameters: Tensor) -> list[LightOf]:
        """For each system a function that gives the light (G, Q) of its galaxies at the samples of an exposure."""
        from lensvit.lensing import compiled_scene  # numba takes a second to import

        of, law = self._columns(parameters), PowerLaw(parameters, TOLERANCE, slopes=False)
        shear = law.shear_size * law.shear_turn
        mass = [
            law.center.real, law.center.imag, law.axis.real, law.axis.imag, law.size, law.t / 2,
            torch.log(law.theta_E**2 * law.squash), shear.real, shear.imag,
        ]  # fmt: skip
        own = LENS_SHAPE if self.structure.lens_shape else ("center_x", "center_y", "e1", "e2")
        profiles = [[*(of[name] for name in own), of["R_sersic"], of["n_sersic"]]]
        for source, epsilon in self._sources(of):
            shape = source["source_x"], source["source_y"], epsilon.real, epsilon.imag
            profiles.append([*shape, source["source_R_sersic"], source["source_n_sersic"]])
        rows = torch.stack([torch.cat(row, 1) for row in profiles], 1)  # (B, G, 6)
        rows[..., 4].clamp_min_(SMOOTHING)
        each = torch.cat([rows, b_n(rows[..., 5:])], 2).numpy()
        numbers, forms, factors = torch.cat(mass, 1).numpy(), law.forms.numpy(), law.factors.numpy()

        def light_of(row: int, count: int) -> LightOf:
            def light(samples: Samples) -> Tensor:
                result = torch.empty(each.shape[1], len(samples.position), dtype=torch.float64)
                terms = np.ascontiguousarray(forms[row, :count]), np.ascontiguousarray(factors[row, :, :count])
                x, y = samples.axes
                compiled_scene.light(result.numpy(), x, y, numbers[row], *terms, each[row])
                return result

            return light

        return [light_of(row, count) for row, count in enumerate(law.count.tolist())]

    def expansion(self, positions: Tensor, magnification: Tensor) -> Expansion:
        """What images of the quasar at positions (M, 2), with magnifications (M,), are expanded around."""
        result = Expansion(
            torch.full((len(positions),), -1), torch.zeros_like(positions), torch.ones_like(magnification)
        )
        present = torch.nonzero(magnification)[:, 0]
        if len(self.anchors) and len(present):
            distance = torch.cdist(positions[present], self.anchors).square()
            rows, columns = map(torch.as_tensor, linear_sum_assignment(distance.numpy()))
            result.anchor[present[rows]] = columns
            result.offset[present[rows]] = positions[present[rows]] - self.anchors[columns]
            result.flux[present[rows]] = self.fluxes[columns]
        return result

    def _points(self, number: int, positions: Tensor, points: Expansion) -> Tensor:
        """Images and derivatives (M, 6, n) of point sources of one exposure, where they are expanded."""
        own, view = points.anchor < 0, self.views[number]
        if own.all():
            return view.quasars(positions, slopes=True)
        result = self.anchored[number][points.anchor.clamp_min(0)]
        if own.any():
            result[own] = view.quasars(positions[own], slopes=True)
        return result

    def _add_quasars(self, block: Tensor, quasars: Tensor, points: Expansion, magnification: Tensor) -> None:
        """Put images of the quasar, of their flux 1, into their parts of one exposure."""
        present = (magnification != 0).double()[:, None]
        if self.structure.quasar_fluxes:
            block[self.quasars] = present * quasars[:, 0]
        else:
            block[self.quasars] = magnification.abs()[None] @ quasars[:, 0]
        if self.known:
            slopes = (points.flux[:, None, None] * present[..., None] * quasars[:, 1:3]).flatten(0, 1)
            block[self.shifts] = slopes
            block[-1] = points.offset.flatten() @ slopes

    def _add_skies(self, result: Tensor) -> None:
        """Put the sky of each exposure into its part."""
        if self.structure.sky:
            for row, block in zip(result[self.skies], _starts(self.pixels), strict=True):
                row[block] = 1.0

    def _jacobian(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> tuple[Tensor, Tensor]:
        of, law = self._columns(parameters[None]), PowerLaw(parameters[None], TOLERANCE)
        names = self.structure.names
        image = torch.zeros(self.count, sum(self.pixels), dtype=torch.float64)
        slopes = torch.zeros(len(names), *image.shape, dtype=torch.float64)
        moved, brightened = self._moving(parameters, positions, magnification)
        points = self.expansion(positions, magnification)
        blocks = zip(self.views, image.split(self.pixels, 1), slopes.split(self.pixels, 2), strict=True)
        for number, (view, block, by) in enumerate(blocks):
            for part, (light, lights) in enumerate(self._lights(law, of, view.samples.position[None])):
                slopes_of = [of[name] * slope if name in LOGARITHMS else slope for name, slope in lights.items()]
                images = view.galaxies(torch.cat([light, *slopes_of]))
                block[part] = images[0]
                by[[names.index(name) for name in lights], part] = images[1:]
            quasars = self._points(number, positions, points)
            self._add_quasars(block, quasars, points, magnification)
            self._add_moving(by, block, quasars, points, magnification, moved, brightened)
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
        block: Tensor,
        quasars: Tensor,
        points: Expansion,
        magnification: Tensor,
        moved: Tensor,
        brightened: Tensor,
    ) -> None:
        """Put derivatives of the quasar's images by the 14 parameters into their parts of one exposure."""
        value, x, y, xx, xy, yy = quasars.unbind(1)  # (M, n) each
        own = (points.anchor < 0)[:, None]  # the others stay where they are expanded
        along, up = (own * part.mT[..., None] for part in (moved.real, moved.imag))  # (14, M, 1)
        lensed, first, last = slice(0, len(NAMES)), self.shifts.start, self.shifts.stop
        if self.structure.quasar_fluxes:
            by[lensed, self.quasars] = along * x + up * y
        else:
            size = magnification.abs()[:, None]
            by[lensed, self.quasars.start] = ((along * x + up * y + brightened.mT[..., None] * value) * size).sum(1)
        if self.known:
            flux = points.flux[:, None]
            by[lensed, first:last:2] = flux * (along * xx + up * xy)
            by[lensed, first + 1 : last : 2] = flux * (along * xy + up * yy)
            steps = torch.view_as_real(torch.where(own, 0, moved)).permute(1, 0, 2).flatten(1)  # (14, 2 M)
            by[lensed, -1] = steps @ block[self.shifts]


def _starts(pixels: Sequence[int]) -> list[slice]:
    """Where the pixels of each exposure are among those of all."""
    ends = np.cumsum(pixels).tolist()
    return list(map(slice, [0, *ends[:-1]], ends))
