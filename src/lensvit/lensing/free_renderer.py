"""Images of many free scenes at once: of systems that have more to them than the paper's.

The images are those of :mod:`lensvit.lensing.lenstronomy_renderer`, to 1e-6 of their peak in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lensvit.lensing.galaxies import COLUMNS, Galaxies, LensLight
from lensvit.lensing.point_sources import bilinear
from lensvit.lensing.power_law import inside
from lensvit.lensing.renderer import BatchedRenderer, Setup, flattest_last, system_tensors
from lensvit.lensing.structure import BULGE_INDEX, HOST_OFFSET, LENS_SHAPE, SOURCE_SHAPE
from lensvit.lensing.system import System


class FreeGalaxies(NamedTuple):
    """Light of the galaxies of B systems before the PSF.

    Parameters
    ----------
    sources
        The source galaxies, with the lens galaxies unless these have a shape of their own; then the sources' bulges.
    lenses
        The lens galaxies that have a shape of their own; none, or one part for all systems.
    """

    sources: list[Galaxies]
    lenses: list[LensLight]


class FreeRenderer(BatchedRenderer):
    """Noise-free images of free scenes.

    Its arguments are those of :class:`lensvit.lensing.renderer.BatchedRenderer`. Systems are its only input: images of
    parameters alone, and derivatives, are those of :class:`lensvit.lensing.parts.Parts`.
    """

    def setup(self, systems: Sequence[System]) -> Setup:
        """What :meth:`exposed` makes images of, on the CPU, wherever the renderer computes images."""
        parameters, positions, magnification = system_tensors(systems)
        fit = inside(parameters)
        places, others = torch.nonzero(fit)[:, 0], torch.nonzero(~fit)[:, 0]
        exact = torch.empty(len(others), self.pixels, self.pixels, dtype=self.dtype)
        if len(others):
            exact[:] = torch.as_tensor(self._exact.render([systems[place] for place in others.tolist()]))
        places = places[flattest_last(parameters[places])]
        some = [systems[place] for place in places.tolist()]
        fluxes = torch.zeros_like(magnification)
        for row, system in enumerate(systems):
            own, size = system.fluxes, np.abs(system.quasar_images.magnification)
            fluxes[row, : len(size)] = torch.as_tensor(self.scene.quasar_amp * size if own is None else own)
        flux = fluxes[places][..., None]  # (B, M, 1)
        pixel = self._pixel(positions[places])
        stencil = self.points.stencil(pixel, lambda within: (flux * bilinear(within)[0])[:, None])
        galaxies = self._galaxies(parameters[places], some)
        return Setup(galaxies, stencil, places, exact, others)

    def _galaxies(self, parameters: Tensor, systems: Sequence[System]) -> FreeGalaxies:
        """The galaxies of B systems whose parameters (B, 14) are these."""

        def columns(*names: str, **without: float) -> Tensor:
            return torch.tensor(
                [[system.parameters.get(name, without.get(name, 0.0)) for name in names] for system in systems],
                dtype=torch.float64,
            ).reshape(len(systems), len(names))

        amplitudes = columns("source_amp", "lens_amp", source_amp=self.scene.source_amp, lens_amp=self.scene.lens_amp)
        every = torch.cat([parameters, amplitudes, torch.zeros_like(amplitudes[:, :1])], 1)  # quasars are apart
        host, shaped, lenses = every.clone(), None, []
        if self.scene.lens_light == "free":
            profile = torch.cat([columns("R_sersic", "n_sersic"), amplitudes[:, 1:]], 1)
            lenses.append(LensLight.of(columns(*LENS_SHAPE), profile, self.axis, self.dtype))
            host[:, COLUMNS.index("lens_amp")] = 0
        if self.scene.source_shape == "free":
            shaped = columns(*SOURCE_SHAPE)
            host[:, [COLUMNS.index("source_x"), COLUMNS.index("source_y")]] += columns(*HOST_OFFSET)
        sources = [Galaxies.of(host, self.axis, self.scene, self.dtype, shaped)]
        if self.scene.bulge:
            bulge = every.clone()
            bulge[:, COLUMNS.index("lens_amp")] = 0
            bulge[:, COLUMNS.index("source_n_sersic")] = BULGE_INDEX
            for column, name in (("source_R_sersic", "bulge_R_sersic"), ("source_amp", "bulge_amp")):
                bulge[:, COLUMNS.index(column)] = columns(name)[:, 0]
            round_ones = torch.zeros(len(systems), 2, dtype=torch.float64)
            sources.append(Galaxies.of(bulge, self.axis, self.scene, self.dtype, round_ones))
        return FreeGalaxies(sources, lenses)

    def _light(self, galaxies: FreeGalaxies) -> Callable[[slice], Tensor]:
        """From some of B systems to the light (b, 1, samples) of their galaxies."""
        parts = [BatchedRenderer._light(self, part) for part in galaxies.sources]
        parts += [part.light for part in galaxies.lenses]

        def light(rows: slice) -> Tensor:
            first, *others = (part(rows) for part in parts)
            for other in others:
                first += other
            return first

        return light
