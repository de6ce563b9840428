"""Renderers of the cameras of a run, from their PSF files and a stage's settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from lensvit.errors import LensvitError
from lensvit.lensing.exposure import Exposure
from lensvit.lensing.free_renderer import FreeRenderer
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.lensing.settings import LensModel, Light
from lensvit.psf import kernel


def read_kernels(files: list[Path], names: Iterable[str]) -> dict[str, kernel.Kernel]:
    """The kernels of some PSFs, each read once.

    Parameters
    ----------
    files
        FITS files of the run's PSFs, each with the PSF's name.
    names
        Names of the PSFs, in which a name may be repeated.

    Returns
    -------
    dict[str, kernel.Kernel]
        PSF to its kernel.

    Raises
    ------
    LensvitError
        If a file is not given, is absent or is broken.
    """
    paths = {Path(path).stem: path for path in files}
    found = {}
    for name in dict.fromkeys(names):
        if name not in paths:
            raise LensvitError(f"no kernel of the PSF {name}: give its file under --psfs")
        found[name] = kernel.read_kernel(paths[name])
    return found


def check_known(names: Iterable[str], cameras: Mapping[str, object]) -> None:
    """Raise a LensvitError if a PSF of the catalogue has no camera.

    Parameters
    ----------
    names
        Names of PSFs in the catalogue, in which a name may be repeated.
    cameras
        PSF to its camera, by the settings.
    """
    for name in dict.fromkeys(names):
        if name not in cameras:
            raise LensvitError(
                f"the catalogue has systems of the PSF {name}, and the settings have no camera of it: delete both and "
                "run snakemake again"
            )


def camera_renderer(settings: LensModel, name: str, psf: kernel.Kernel) -> BatchedRenderer:
    """The renderer of images of a PSF's camera.

    Parameters
    ----------
    settings
        What is known of the lenses and of the cameras.
    name
        Name of the PSF.
    psf
        Kernel of the PSF.
    """
    camera, fine = settings.cameras[name], psf.supersampled if settings.supersampling > 1 else None
    return renderer_of(
        camera.pixels, camera.pixel_scale, psf.native, settings.scene, fine, settings.light_samples,
        exposure_map=psf.exposure_map,
    )  # fmt: skip


def renderer_of(
    pixels: int,
    pixel_scale: float,
    native: np.ndarray,
    scene: Light,
    fine: np.ndarray | None,
    light_samples: int = 1,
    device: str = "cpu",
    exposure_map: np.ndarray | None = None,
) -> BatchedRenderer:
    """The renderer of some scene: the paper's has a quicker one than free scenes.

    Parameters
    ----------
    pixels
        Side of the image [pixel].
    pixel_scale
        Side of a pixel [arcsec].
    native
        (k, k) PSF at the pixel scale.
    scene
        What systems are made of.
    fine
        PSF on finer pixels for the quasar images, or None.
    light_samples
        Samples of the galaxies' light along the side of a pixel.
    device
        The device of torch on which images are computed.
    exposure_map
        (pixels, pixels) share of the exposure time that each pixel has; None for all of it everywhere.
    """
    kind = FreeRenderer if scene.is_free else BatchedRenderer
    return kind(pixels, pixel_scale, native, scene, fine, light_samples, device=device, exposure_map=exposure_map)


def exposure_of(renderer: BatchedRenderer) -> Exposure:
    """The pixels and the PSF of a renderer's images, as parts of scenes are computed."""
    fine = renderer.fine_kernel
    return Exposure(
        renderer.pixels,
        renderer.pixel_scale,
        renderer.kernel if fine is None else fine,
        oversampling=1 if fine is None else len(fine) // len(renderer.kernel),
        supersampling=renderer.light_samples,
        degree=1,  # quasars lie between pixels as in the images
        exposure_map=renderer.exposure_map,
    )
