"""Pupils, transfer functions and images, for the PSFs of all telescopes.

An incoherent image is the Fourier transform of the optical transfer function, which is the autocorrelation of the
pupil field and vanishes beyond the pupil's width. A few hundred lags are therefore enough, and a matrix Fourier
transform (Soummer et al. 2007, Optics Express 15, 15935) gives the image on any grid. Jitter, pixels and atmosphere
are factors on the transfer function.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.fft

from lensvit.errors import LensvitError
from lensvit.psf.settings import WIDEST

ARCSEC = np.pi / 180 / 3600  # [rad]
EDGE_SAMPLES = 8  # points across a cell of the grid, for cells that the edge of the pupil crosses


def grid_spacing(coarsest: float, wavelength: float, side: float) -> float:
    """Spacing [m] of the pupil grid.

    The image of a grid repeats with a period of wavelength / spacing, which must be 1.5 sides of the image or more.

    Parameters
    ----------
    coarsest
        The largest spacing [m].
    wavelength
        The shortest wavelength [m].
    side
        Side of the image [arcsec].

    Raises
    ------
    LensvitError
        If the kernel is wider than 25 arcsec.
    """
    if side > WIDEST:
        raise LensvitError(
            f"a PSF kernel of {side:.1f} arcsec is too wide to compute (at most {WIDEST:g}): "
            "choose fewer `pixels` for this PSF, or a finer `pixel_scale` for its instrument"
        )
    return min(coarsest, wavelength / (1.5 * side * ARCSEC))


def sample_pupil(aperture: Callable, diameter: float, spacing: float) -> tuple[np.ndarray, object]:
    """Transmission of a pupil on a square grid, between 0 and 1 at the edges.

    Parameters
    ----------
    aperture
        The pupil as hcipy defines it.
    diameter
        Diameter that the grid has to cover [m].
    spacing
        Spacing of the grid [m].

    Returns
    -------
    tuple[np.ndarray, object]
        (m, m) transmission, m being even, and hcipy's grid.
    """
    import hcipy

    cells = 2 * int(np.ceil(diameter / spacing / 2))
    grid = hcipy.make_pupil_grid(cells, cells * spacing)
    return np.asarray(hcipy.evaluate_supersampled(aperture, grid, EDGE_SAMPLES).shaped), grid


def zernike_modes(pupil: np.ndarray, grid: object, diameter: float, count: int) -> np.ndarray:
    """The first Zernike polynomials in Noll's order, made orthonormal over the pupil.

    Mode j has an rms of 1 over the transmission, and no piston or tilt for j > 3. On an annulus these are the annular
    polynomials of Mahajan (1981, JOSA 71, 75).

    Parameters
    ----------
    pupil
        (m, m) transmission.
    grid
        hcipy's grid of the pupil.
    diameter
        Diameter of the circle on which the polynomials are defined [m].
    count
        The number of polynomials.

    Returns
    -------
    np.ndarray
        (count, m, m) polynomials, 0 where the pupil is dark.
    """
    import hcipy

    basis = hcipy.make_zernike_basis(count, diameter, grid, 1, radial_cutoff=False)
    bright = pupil.ravel() > 0
    root = np.sqrt(pupil.ravel()[bright])  # (p,)
    vectors, triangle = np.linalg.qr(np.asarray(basis.transformation_matrix)[bright] * root[:, None])
    vectors *= np.sign(np.diag(triangle))  # keep each polynomial's own sign
    modes = np.zeros((count, pupil.size))
    modes[:, bright] = vectors.T / root * np.linalg.norm(root)
    return modes.reshape(count, *pupil.shape)


def transfer(field: np.ndarray) -> np.ndarray:
    """Optical transfer function, complex (2m - 1, 2m - 1), of a pupil field (m, m).

    It is normalised by the light that passes. Its centre is 1 less the few parts in a thousand that cells at the edge
    of the pupil scatter farther out than the image's period.
    """
    lags = np.arange(1 - len(field), len(field))
    size = scipy.fft.next_fast_len(len(lags))
    power = np.abs(scipy.fft.fft2(field, (size, size))) ** 2
    correlation = scipy.fft.ifft2(power)[np.ix_(lags % size, lags % size)]
    return correlation / np.abs(field).sum()


def lags(cells: int, spacing: float) -> np.ndarray:
    """Lags (2m - 1,) [m] along one axis of :func:`transfer`, for a pupil of m ``cells`` with a ``spacing`` [m]."""
    return np.arange(1 - cells, cells) * spacing


def jitter(frequency: np.ndarray, mas: tuple[float, float]) -> np.ndarray:
    """Transfer function (n, n) of Gaussian jitter.

    Parameters
    ----------
    frequency
        (n,) frequencies along one axis [cycles/rad].
    mas
        Rms of the jitter along x and y [mas].
    """
    x, y = (np.exp(-2 * (np.pi * frequency * rms * 1e-3 * ARCSEC) ** 2) for rms in mas)
    return y[:, None] * x


def image(otf: np.ndarray, frequency: np.ndarray, pixel: float, pixels: int) -> np.ndarray:
    """Share of a point source's light that falls on each pixel of a centred square grid.

    Parameters
    ----------
    otf
        (n, n) optical transfer function, without that of the pixel, which is applied here.
    frequency
        (n,) frequencies of ``otf`` along one axis [cycles/rad].
    pixel
        Side of a pixel [arcsec].
    pixels
        Number of pixels along a side.

    Returns
    -------
    np.ndarray
        (pixels, pixels) shares, whose sum is the share of the light inside the grid.
    """
    side = pixel * ARCSEC
    angle = (np.arange(pixels) - (pixels - 1) / 2) * side
    wave = np.exp(-2j * np.pi * np.outer(angle, frequency)) * np.sinc(frequency * side)  # (pixels, n)
    half = wave @ otf  # (pixels, n)
    light = half.real @ wave.real.T - half.imag @ wave.imag.T  # (pixels, pixels)
    return light * (side * (frequency[1] - frequency[0])) ** 2
