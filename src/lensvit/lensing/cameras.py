"""Renderers of the cameras of a run, from their PSF files and a stage's settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from lensvit.errors import LensvitError
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.lensing.settings import LensModel
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
    return BatchedRenderer(camera.pixels, camera.pixel_scale, psf.native, settings.scene, fine)
