"""What renders the systems of a PSF, from a stage's settings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lensvit.errors import LensvitError
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.lensing.settings import LensModel
from lensvit.psf import kernel


def read_kernels(files: list[Path], names: Iterable[str]) -> dict[str, kernel.Kernel]:
    """The kernels of the PSFs ``names``, each once, from ``files``, psf/{name}.fits.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    paths = {Path(path).stem: path for path in files}
    found = {}
    for name in dict.fromkeys(names):
        if name not in paths:
            raise LensvitError(f"no kernel of the PSF {name}: give its file under --psfs")
        found[name] = kernel.read_kernel(paths[name])
    return found


def camera_renderer(options: LensModel, name: str, psf: kernel.Kernel) -> BatchedRenderer:
    """For the camera of a PSF.

    Parameters
    ----------
    options : settings with ``scene``, ``supersampling`` and ``options``, in which the PSF's ``name`` leads to
        ``pixels`` and ``pixel_scale`` of its camera.
    """
    camera, fine = options.cameras[name], psf.supersampled if options.supersampling > 1 else None
    return BatchedRenderer(camera.pixels, camera.pixel_scale, psf.native, options.scene, fine)
