"""Keck with laser-guide-star adaptive optics in K', a long exposure from its transfer functions.

Telescope with its static wavefront, times exp(-D / 2) of the turbulence that is left, times
tip-tilt jitter. The residual spectrum is that of Fetick et al. (2019, A&A 628, A99): a Moffat
function inside the frequencies that the deformable mirror corrects, von Karman outside.
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
BETA = 1.2  # its power
SEEING_WAVELENGTH = 0.5e-6  # at which r0 is given [m]
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
    r0 : Fried parameter at 500 nm at the zenith [m].
    zenith_angle_deg : zenith angle [deg].
    outer_scale : outer scale of the turbulence [m].
    residual_nm : rms of the corrected part of the wavefront that is left over [nm].
    jitter_mas : rms of the jitter along x and y [mas].
    static_nm : rms of the static wavefront [nm].
    seed : of the shape of the static wavefront.
    pixel : side of a pixel [arcsec].
    pixels : number of pixels along a side.

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

    Random Zernike polynomials without piston and tilt, their rms falling with the radial order
    as n^-1.5, scaled to an rms of ``static_nm`` over the pupil.
    """
    import hcipy

    pupil, grid = optics.sample_pupil(hcipy.make_keck_aperture(gap_padding=1), DIAMETER, spacing)
    modes = optics.zernike_modes(pupil, grid, DIAMETER, STATIC_MODES)[3:]
    orders = np.array([hcipy.noll_to_zernike(index)[0] for index in range(4, STATIC_MODES + 1)])
    shares = np.random.default_rng(seed).normal(size=len(orders)) * orders**-1.5
    return pupil, np.tensordot(shares * (static_nm * 1e-9 / np.linalg.norm(shares)), modes, 1)


def residual_spectrum(frequency: np.ndarray, r0: float, outer_scale: float, residual: float) -> np.ndarray:
    """Power spectrum of the residual optical path difference [m^2 m^2] at spatial frequencies [1/m].

    Inside :data:`CUTOFF` its integral is ``residual`` [m] squared; outside it is von Karman's
    with Fried parameter ``r0`` [m] and ``outer_scale`` [m].
    """
    turbulence = 0.0229 * r0 ** (-5 / 3) * (frequency**2 + outer_scale**-2) ** (-11 / 6)
    turbulence *= (SEEING_WAVELENGTH / (2 * np.pi)) ** 2
    norm = (BETA - 1) / (np.pi * ALPHA**2 * (1 - (1 + (CUTOFF / ALPHA) ** 2) ** (1 - BETA)))
    corrected = residual**2 * norm * (1 + (frequency / ALPHA) ** 2) ** -BETA
    return np.where(frequency <= CUTOFF, corrected, turbulence)


def structure_function(separation: np.ndarray, r0: float, outer_scale: float, residual: float) -> np.ndarray:
    """Structure function [m^2] of the residual optical path difference at separations [m].

    D(rho) = 4 pi int f S(f) [1 - J0(2 pi f rho)] df, for an isotropic spectrum S.
    """
    inner, outer = np.geomspace(1e-4 * CUTOFF, CUTOFF, 1000), np.geomspace(CUTOFF * (1 + 1e-12), 50, 3000)
    rho = np.linspace(0, separation.max(), 600)
    total = np.zeros_like(rho)
    for f in (inner, outer):
        integrand = f * residual_spectrum(f, r0, outer_scale, residual)
        total += 4 * np.pi * trapezoid(integrand * (1 - j0(2 * np.pi * rho[:, None] * f)), f)
    return np.interp(separation, rho, total)
