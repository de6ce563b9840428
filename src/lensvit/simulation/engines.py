"""The two engines that compute images: lenstronomy, and this package's own code in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lensvit.errors import LensvitError
from lensvit.lensing.quasar_images import NoSolution, QuasarImages
from lensvit.lensing.settings import Light
from lensvit.lensing.system import System
from lensvit.psf import kernel
from lensvit.simulation.settings import SystemSettings

if TYPE_CHECKING:
    from lensvit.lensing.renderer import BatchedRenderer

Solver = Callable[[Sequence[Mapping[str, float]]], Sequence[QuasarImages | NoSolution]]


@dataclass(frozen=True)
class Engine:
    """Functions that compute systems.

    Parameters
    ----------
    render
        From systems to their noise-free images (n, ny, nx) [counts/s per pixel].
    solve
        From the parameters of systems to the images of each quasar, or to why there are none.
    """

    render: Callable[[Sequence[System]], np.ndarray]
    solve: Solver


def _lenstronomy_engine(settings: SystemSettings, psf: Path) -> Engine:
    """The engine that computes with lenstronomy."""
    from lensvit.lensing.lens_equation import solve_each  # lenstronomy takes a second or two to import
    from lensvit.lensing.lenstronomy_renderer import LenstronomyRenderer

    renderer = LenstronomyRenderer(*_camera(settings, psf), settings.light_samples)
    return Engine(renderer.render, solve_each)


def _torch_engine(settings: SystemSettings, psf: Path) -> Engine:
    """The engine that computes with this package's own code."""
    from lensvit.lensing import batched_lens_equation  # torch takes a second or two to import

    renderer = torch_renderer(settings, psf)
    if settings.scene.is_free or settings.light_samples > 1:
        renderer = renderer.compiled()  # many samples of light, three times faster
    return Engine(renderer.render, batched_lens_equation.solve)


def torch_renderer(settings: SystemSettings, psf: Path, device: str = "cpu") -> BatchedRenderer:
    """The renderer of this package's own code, which can leave images on a device.

    Parameters
    ----------
    settings
        What the systems are drawn from.
    psf
        FITS file of their PSF.
    device
        The device of torch on which images are computed.

    Raises
    ------
    LensvitError
        If the PSF is absent or broken, or does not suit the settings.
    """
    from lensvit.lensing.cameras import renderer_of

    exposure_map = kernel.read_kernel(psf).exposure_map
    return renderer_of(*_camera(settings, psf), settings.light_samples, device, exposure_map)


def _camera(settings: SystemSettings, psf: Path) -> tuple[int, float, np.ndarray, Light, np.ndarray | None]:
    """The arguments of a renderer: pixels, pixel scale [arcsec], kernel, scene, and fine kernel or None."""
    loaded, instrument = kernel.read_kernel(psf), settings.instrument
    if not np.isclose(loaded.pixel_scale, instrument.pixel_scale, rtol=1e-6):
        raise LensvitError(
            f"{psf} has pixels of {loaded.pixel_scale:g} arcsec, the instrument of "
            f"{instrument.pixel_scale:g}: delete it, so that the next run builds it for this instrument"
        )
    if settings.supersampling > 1 and loaded.supersampled is None:
        raise LensvitError(
            f"simulation.supersampling: {settings.supersampling}, but the PSF {settings.name} is known at the "
            "detector's sampling only: set it to 1, or use a PSF with a finer grid"
        )
    fine = loaded.supersampled if settings.supersampling > 1 else None
    return instrument.pixels, instrument.pixel_scale, loaded.native, settings.scene, fine


# name of an engine in the config to a function that makes it; arguments and errors are those of torch_renderer
ENGINES: dict[str, Callable[[SystemSettings, Path], Engine]] = {
    "lenstronomy": _lenstronomy_engine,
    "torch": _torch_engine,
}
