"""PSF of Keck with laser-guide-star adaptive optics in K', in a long exposure, from transfer functions.

The transfer function is that of the telescope with its static wavefront, times exp(-D / 2) for the turbulence that is
left, times that of tip-tilt jitter. D is the structure function of the residual spectrum of Fetick et al. (2019,
A&A 628, A99): a Moffat function at the spatial frequencies that the deformable mirror corrects, von Karman's spectrum
at higher ones.
"""

from __future__ import annotations

import numpy as np
from scipy.integrate import trapezoid
from scipy.special import j0

from lensvit.psf import optics

LABELS = {
    "TELESCOP": ("Keck", "telescope"),
    "INSTRUME": ("LGS AO", "instrument"),
    "FILTER": ("K prime", "filter"),
}
DIAMETER = 10.95  # circle around the 36 segments [m]
COARSEST = 0.05  # spacing of the pupil grid [m]
WAVELENGTHS = np.linspace(1.948e-6, 2.299e-6, 5)  # across the passband, equally many photons at each [m]
CUTOFF = 0.889  # highest corrected spatial frequency, 1 / (2 x 0.5625 m between actuators) [1/m]
ALPHA = 0.1  # width of the Moffat function [1/m]
BETA = 1.2  # power of the Moffat function
SEEING_WAVELENGTH = 0.5e-6  # wavelength at which r0 is given [m]
STATIC_MODES = 28  # Zernike polynomials up to radial order 6


def light(
    *,
    r0: float,
    zenith_angle_deg: float,
    outer_scale: float,
    residual_nm: float,
    jitter_mas: tuple[float, float],
    static_nm: float,
    seed: int,
    pixel: float,
    pixels: int,
) -> tuple[np.ndarray, float]:
    """Share of a point source's light on each pixel, (pixels, pixels), and the Strehl ratio.

    Parameters
    ----------
    r0
        Fried parameter at 500 nm at the zenith [m].
    zenith_angle_deg
        Zenith angle [deg].
    outer_scale
        Outer scale of the turbulence [m].
    residual_nm
        Rms of what the correction leaves of the wavefront at the frequencies that it corrects [nm].
    jitter_mas
        Rms of the jitter along x and y [mas].
    static_nm
        Rms of the static wavefront [nm].
    seed
        Seed of the shape of the static wavefront.
    pixel
        Side of a pixel [arcsec].
    pixels
        Number of pixels along a side.

    Raises
    ------
    LensvitError
        If the kernel is too wide to compute.
    """
    spacing = optics.grid_spacing(COARSEST, WAVELENGTHS.min(), pixel * pixels)
    pupil, path = wavefront(static_nm, seed, spacing)
    lags = optics.lags(len(pupil), spacing)
    r0 = r0 * np.cos(np.radians(zenith_angle_deg)) ** 0.6
    structure = structure_function(np.hypot(lags[:, None], lags), r0, outer_scale, residual_nm * 1e-9)
    total, peak, perfect = np.zeros((pixels, pixels)), 0.0, 0.0
    for wavelength in WAVELENGTHS:
        frequency = lags / wavelength
        otf = optics.transfer(pupil * np.exp(2j * np.pi * path / wavelength))
        otf *= np.exp(-structure / 2 * (2 * np.pi / wavelength) ** 2) * optics.jitter(frequency, jitter_mas)
        peak += otf.real.sum() / wavelength**2
        perfect += optics.transfer(pupil).real.sum() / wavelength**2
        total += optics.image(otf, frequency, pixel, pixels) / len(WAVELENGTHS)
    return total, peak / perfect


def wavefront(static_nm: float, seed: int, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Transmission of the pupil and static optical path difference [m], both (m, m).

    The path difference is a random sum of Zernike polynomials without piston and tilt, whose rms falls with the radial
    order n as n^-1.5.

    Parameters
    ----------
    static_nm
        Rms of the path difference over the pupil [nm].
    seed
        Seed of the random numbers.
    spacing
        Spacing of the pupil grid [m].
    """
    import hcipy

    pupil, grid = optics.sample_pupil(hcipy.make_keck_aperture(gap_padding=1), DIAMETER, spacing)
    modes = optics.zernike_modes(pupil, grid, DIAMETER, STATIC_MODES)[3:]
    orders = np.array([hcipy.noll_to_zernike(index)[0] for index in range(4, STATIC_MODES + 1)])
    shares = np.random.default_rng(seed).normal(size=len(orders)) * orders**-1.5
    return pupil, np.tensordot(shares * (static_nm * 1e-9 / np.linalg.norm(shares)), modes, 1)


def residual_spectrum(frequency: np.ndarray, r0: float, outer_scale: float, residual: float) -> np.ndarray:
    """Power spectrum of the residual optical path difference [m^2 m^2].

    Parameters
    ----------
    frequency
        Spatial frequencies [1/m], of any shape.
    r0
        Fried parameter of von Karman's spectrum beyond :data:`CUTOFF` [m].
    outer_scale
        Outer scale of the same spectrum [m].
    residual
        Root of the spectrum's integral within :data:`CUTOFF` [m].
    """
    turbulence = 0.0229 * r0 ** (-5 / 3) * (frequency**2 + outer_scale**-2) ** (-11 / 6)
    turbulence *= (SEEING_WAVELENGTH / (2 * np.pi)) ** 2
    norm = (BETA - 1) / (np.pi * ALPHA**2 * (1 - (1 + (CUTOFF / ALPHA) ** 2) ** (1 - BETA)))
    corrected = residual**2 * norm * (1 + (frequency / ALPHA) ** 2) ** -BETA
    return np.where(frequency <= CUTOFF, corrected, turbulence)


def structure_function(separation: np.ndarray, r0: float, outer_scale: float, residual: float) -> np.ndarray:
    """Structure function of the residual optical path difference [m^2].

    It is D(rho) = 4 pi int f S(f) [1 - J0(2 pi f rho)] df for the isotropic spectrum S of :func:`residual_spectrum`.

    Parameters
    ----------
    separation
        Separations rho [m], of any shape.
    r0
        Fried parameter [m].
    outer_scale
        Outer scale of the turbulence [m].
    residual
        Rms of the residual path difference at the corrected frequencies [m].
    """
    inner, outer = np.geomspace(1e-4 * CUTOFF, CUTOFF, 1000), np.geomspace(CUTOFF * (1 + 1e-12), 50, 3000)
    rho = np.linspace(0, separation.max(), 600)
    total = np.zeros_like(rho)
    for f in (inner, outer):
        integrand = f * residual_spectrum(f, r0, outer_scale, residual)
        total += 4 * np.pi * trapezoid(integrand * (1 - j0(2 * np.pi * rho[:, None] * f)), f)
    return np.interp(separation, rho, total)
