"""PSF kernels and their files: taper, normalisation, measures, reading and writing.

Every kernel has an odd number of pixels along its side, is centred on its central pixel, finite and non-negative, sums
to 1 and falls smoothly to exactly 0 at its border.

Some kernels are also known on pixels that are a fifth of the native pixel. A fine pixel has the light that falls on
it: optics, jitter and charge diffusion count, the response of the native pixel does not. The sum over the 5 x 5 fine
pixels of a native pixel is the native kernel, exactly, as lenstronomy expects of a kernel with
``point_source_supersampling_factor=5``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from scipy import ndimage

from lensvit.errors import LensvitError
from lensvit.io import files

FWHM_IN_SIGMAS = 2.355  # width of a normal distribution at half its height, in standard deviations
OVERSAMPLING = 5  # fine pixels along the side of a native pixel
TAPER = 0.1  # the outer share of the radius over which the kernel falls to 0
LEAST_ENCLOSED = 0.5  # share of the light; a kernel with less is cut through the core
LAYOUT = "0.1.0"  # the version that first wrote such files; a newer one writes the same bytes
EXTENSION = "SUPERSAMPLED"  # name of the FITS extension with the fine pixels
EXPOSURE_MAP = "EXPOSURE"  # name of that with the exposure map of the images

Cards = Mapping[str, tuple[object, str]]  # keyword of a FITS header to value and comment


@dataclass(frozen=True)
class Kernel:
    """A PSF.

    Parameters
    ----------
    native
        (n, n) kernel at the detector's pixel scale, float64, n being odd.
    pixel_scale
        Side of a native pixel [arcsec].
    enclosed
        Share of the light inside the kernel before it was normalised.
    supersampled
        (5n, 5n) kernel on pixels of a fifth, float64; None where it is not known.
    exposure_map
        (ny, nx) share of the exposure time that each pixel of an image with this PSF has, float32, at most 1; None for
        all of it everywhere.
    """

    native: np.ndarray
    pixel_scale: float
    enclosed: float
    supersampled: np.ndarray | None = None
    exposure_map: np.ndarray | None = None


def window(pixels: int, oversampling: int = 1) -> np.ndarray:
    """The taper: 1 up to 0.9 of the radius, then half a cosine down to 0 on all border pixels.

    The radius ends at the inner edge of the native border.

    Parameters
    ----------
    pixels
        Number of native pixels along a side.
    oversampling
        Number of pixels of the taper along the side of a native pixel.

    Returns
    -------
    np.ndarray
        (pixels * oversampling, pixels * oversampling) factors.
    """
    size = pixels * oversampling
    offset = (np.arange(size) - (size - 1) / 2) / oversampling
    radius = np.hypot(offset[:, None], offset) / (pixels / 2 - 1)
    return 0.5 + 0.5 * np.cos(np.pi * np.clip((radius - 1) / TAPER + 1, 0, 1))


def from_supersampled(light: np.ndarray, pixel_scale: float) -> Kernel:
    """The kernel of light on fine pixels, after taper, binning and normalisation.

    Parameters
    ----------
    light
        (5n, 5n) share of the light on each fine pixel, n being odd.
    pixel_scale
        Side of a native pixel [arcsec].

    Raises
    ------
    LensvitError
        If less than half of the light falls inside.
    """
    pixels = len(light) // OVERSAMPLING
    fine = np.clip(light, 0, None) * window(pixels, OVERSAMPLING)
    enclosed = float(fine.sum())
    if enclosed < LEAST_ENCLOSED:
        raise LensvitError(
            f"a PSF kernel of {pixels} pixels of {pixel_scale:g} arcsec holds only {enclosed:.0%} of the "
            "light: choose more `pixels` for this PSF"
        )
    fine /= enclosed
    native = fine.reshape(pixels, OVERSAMPLING, pixels, OVERSAMPLING).sum((1, 3))
    return Kernel(native, pixel_scale, enclosed, fine)


def fwhm(kernel: np.ndarray, pixel_scale: float) -> float:
    """Full width at half maximum [arcsec]: the diameter of the area above half the maximum.

    The core is interpolated with cubic splines on a grid ten times finer.

    Parameters
    ----------
    kernel
        (n, n) kernel.
    pixel_scale
        Side of a pixel [arcsec].
    """
    row, column = np.unravel_index(kernel.argmax(), kernel.shape)
    reach = 3 + 2 * int(np.ceil(np.sqrt((kernel > kernel.max() / 2).sum())))
    step = 0.1
    offset = np.arange(-reach, reach + step / 2, step)
    grid = np.meshgrid(row + offset, column + offset, indexing="ij")
    core = ndimage.map_coordinates(kernel, grid, order=3, mode="constant")
    return float(2 * np.sqrt((core > core.max() / 2).sum() / np.pi) * step * pixel_scale)


def encircled_energy(kernel: np.ndarray, pixel_scale: float, radius: float) -> float:
    """Share of the kernel's sum within a radius of its centre.

    A pixel on the circle counts by the part of it that lies inside, to first order.

    Parameters
    ----------
    kernel
        (n, n) kernel.
    pixel_scale
        Side of a pixel [arcsec].
    radius
        Radius of the circle [arcsec].
    """
    offset = (np.arange(len(kernel)) - (len(kernel) - 1) / 2) * pixel_scale
    inside = np.clip((radius - np.hypot(offset[:, None], offset)) / pixel_scale + 0.5, 0, 1)
    return float((kernel * inside).sum() / kernel.sum())


def centroid(kernel: np.ndarray) -> tuple[float, float]:
    """Offset (x, y) [pixel] of the core of a kernel (n, n) from the central pixel.

    The kernel is weighted with a Gaussian as wide as the core, which moves with the centroid until both agree, so that
    noise and asymmetric wings do not count.
    """
    sigma = max(fwhm(kernel, 1.0) / FWHM_IN_SIGMAS, 1.0)
    offset = np.arange(len(kernel)) - (len(kernel) - 1) / 2
    y, x = (float(offset[index]) for index in np.unravel_index(kernel.argmax(), kernel.shape))
    for _ in range(100):
        weight = kernel * np.exp(-((offset - x) ** 2 + (offset[:, None] - y) ** 2) / (2 * sigma**2))
        dx = 2 * float((weight.sum(0) * (offset - x)).sum() / weight.sum())
        dy = 2 * float((weight.sum(1) * (offset - y)).sum() / weight.sum())
        x, y = x + dx, y + dy
        if max(abs(dx), abs(dy)) < 1e-6:
            break
    return x, y


def write_kernel(path: Path, kernel: Kernel, cards: Cards) -> None:
    """Write a kernel and its manifest; the same kernel gives the same bytes.

    Parameters
    ----------
    path
        The FITS file.
    kernel
        The kernel.
    cards
        Further cards of the header.
    """
    primary = fits.PrimaryHDU(kernel.native)
    oversampling = 1 if kernel.supersampled is None else OVERSAMPLING
    primary.header.update(
        {
            "PIXSCALE": (kernel.pixel_scale, "pixel scale of this array [arcsec]"),
            "OVERSAMP": (oversampling, f"of the extension {EXTENSION}; 1: there is none"),
            "ENCLOSED": (kernel.enclosed, "share of the light inside, before normalisation"),
            "FWHM": (fwhm(kernel.native, kernel.pixel_scale), "of this array, native pixels [arcsec]"),
            "CREATOR": (f"lensvit {LAYOUT}", "program that wrote this file"),
            **cards,
        }
    )
    units = [primary]
    if kernel.supersampled is not None:
        fine = fits.ImageHDU(kernel.supersampled, name=EXTENSION)
        fine.header["PIXSCALE"] = (kernel.pixel_scale / OVERSAMPLING, "pixel scale of this array [arcsec]")
        fine.header["OVERSAMP"] = (OVERSAMPLING, "pixels of this array along a native pixel")
        fine.header["COMMENT"] = "Light on each fine pixel; 5 x 5 sum to a pixel of the primary array."
        units.append(fine)
    if kernel.exposure_map is not None:
        units.append(fits.ImageHDU(kernel.exposure_map.astype(np.float32), name=EXPOSURE_MAP))
        units[-1].header["COMMENT"] = "Share of the exposure time that each pixel of an image has."
    with files.atomic(path) as temporary:
        fits.HDUList(units).writeto(temporary, overwrite=True)
    files.write_manifest(path)


def read_kernel(path: Path) -> Kernel:
    """Read a kernel that :func:`write_kernel` wrote.

    Raises
    ------
    LensvitError
        If the file is absent, damaged or holds no kernel of this kind.
    """
    with files.reading(path, "PSF"):
        with (
            warnings.catch_warnings(action="ignore", category=AstropyWarning),
            fits.open(path, memmap=False) as units,
        ):
            header = units[0].header
            native = np.array(units[0].data, dtype=float)
            fine = np.array(units[EXTENSION].data, dtype=float) if header["OVERSAMP"] > 1 else None
            mapped = np.array(units[EXPOSURE_MAP].data, dtype=np.float32) if EXPOSURE_MAP in units else None
            kernel = Kernel(native, float(header["PIXSCALE"]), float(header["ENCLOSED"]), fine, mapped)
        _check(kernel)
    return kernel


def _check(kernel: Kernel) -> None:
    """Raise ValueError for a kernel that breaks the rules of all kernels."""
    for array in (kernel.native, kernel.supersampled):
        if array is None:
            continue
        if array.ndim != 2 or array.shape[0] != array.shape[1] or len(array) % 2 == 0:
            raise ValueError(f"the kernel's shape is {array.shape}, not square and odd")
        if not (np.isfinite(array).all() and array.min() >= 0 and abs(array.sum() - 1) < 1e-9):
            raise ValueError("the kernel is not finite, non-negative and of sum 1")
