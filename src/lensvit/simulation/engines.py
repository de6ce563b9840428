"""The two engines that compute an image: lenstronomy's, and this package's own in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lensvit.errors import LensvitError
from lensvit.lensing.lens_equation import NoSolution, QuasarImages, solve_each
from lensvit.lensing.lenstronomy_renderer import LenstronomyRenderer
from lensvit.lensing.settings import Light
from lensvit.lensing.system import System
from lensvit.psf import kernel
from lensvit.simulation.settings import SystemSettings

Solver = Callable[[Sequence[Mapping[str, float]]], Sequence[QuasarImages | NoSolution]]


@dataclass(frozen=True)
class Engine:
    """What computes a system.

    render : images (n, ny, nx) [counts/s per pixel] of systems.
    solve : of each system's parameters the images of the quasar, or why there are none.
    """

    render: Callable[[Sequence[System]], np.ndarray]
    solve: Solver


def _lenstronomy(options: SystemSettings, psf: Path) -> Engine:
    return Engine(LenstronomyRenderer(*_camera(options, psf)).render, solve_each)


def torch_engine(options: SystemSettings, psf: Path, device: str = "cpu") -> Engine:
    """The engine of this package's own; ``device`` is where it renders."""
    from lensvit.lensing import batched_lens_equation  # torch takes a second or two to import
    from lensvit.lensing.renderer import BatchedRenderer

    return Engine(BatchedRenderer(*_camera(options, psf), device=device).render, batched_lens_equation.solve)


def _camera(options: SystemSettings, psf: Path) -> tuple[int, float, np.ndarray, Light, np.ndarray | None]:
    """The arguments of a renderer."""
    loaded, instrument = kernel.read_kernel(psf), options.instrument
    if not np.isclose(loaded.pixel_scale, instrument.pixel_scale, rtol=1e-6):
        raise LensvitError(
            f"{psf} has pixels of {loaded.pixel_scale:g} arcsec, the instrument of "
            f"{instrument.pixel_scale:g}: delete it, so that the next run builds it for this instrument"
        )
    if options.supersampling > 1 and loaded.supersampled is None:
        raise LensvitError(
            f"simulation.supersampling: {options.supersampling}, but the PSF {options.name} is known at the "
            "detector's sampling only: set it to 1, or use a PSF with a finer grid"
        )
    fine = loaded.supersampled if options.supersampling > 1 else None
    return instrument.pixels, instrument.pixel_scale, loaded.native, options.scene, fine


# config's name of an engine -> a function of the settings and the PSF's path
ENGINES: dict[str, Callable[[SystemSettings, Path], Engine]] = {"lenstronomy": _lenstronomy, "torch": torch_engine}
