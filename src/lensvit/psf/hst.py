"""PSF of HST's Advanced Camera for Surveys, Wide Field Channel, filter F814W, computed as by Tiny Tim.

After Krist, Hook & Stoehr (2011, Proc. SPIE 8127, 81270J) it is made of the telescope's pupil with its secondary
mirror, vanes and mirror pads, of a wavefront of annular Zernike polynomials, of a sum over the passband, and of
jitter, pixel and the detector's charge diffusion. The camera's distortion is left out: pixels are square, and the axes
of the pupil lie along those of the detector.
"""

from __future__ import annotations

import numpy as np

from lensvit.psf import optics

LABELS = {
    "TELESCOP": ("HST", "telescope"),
    "INSTRUME": ("ACS/WFC", "instrument"),
    "FILTER": ("F814W", "filter"),
}
DIAMETER = 2.4  # [m]
COARSEST = 0.0125  # spacing of the pupil grid [m]
WAVELENGTHS = np.linspace(0.700e-6, 0.955e-6, 15)  # across the passband, equal throughput [m]
REFERENCE = 0.547e-6  # wavelength at which the aberrations are given in waves [m]
FOCUS_PER_UM = 0.011  # rms waves of focus for 1 um of despace of the secondary mirror
# rms waves by Noll's index, at the centre of chip WFC1: astigmatism (sine, cosine), coma (y, x), trefoil (sine,
# cosine) and spherical aberration
ABERRATIONS = {5: 0.0319, 6: 0.0138, 7: 0.0054, 8: 0.0124, 9: 0.0180, 10: 0.0070, 11: -0.0250}
JITTER = 7.0  # rms of the telescope's jitter along each axis [mas]
DETECTOR_PIXEL = 0.05  # side of a pixel of the detector, over which charge diffuses [arcsec]
DIFFUSION = (0.654517, 0.070034, 0.016337)  # share of charge in the same pixel, the next, the one across the corner


def light(spectral_index: float, despace_um: float, pixel: float, pixels: int) -> np.ndarray:
    """Share of a point source's light on each pixel, (pixels, pixels).

    Parameters
    ----------
    spectral_index
        Index alpha of the source's spectrum, F_nu ~ nu^alpha.
    despace_um
        Despace of the secondary mirror from best focus [um].
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
    pupil, path = wavefront(despace_um, spacing)
    lags = optics.lags(len(pupil), spacing)
    total = np.zeros((pixels, pixels))
    for wavelength, weight in zip(WAVELENGTHS, photon_weights(spectral_index), strict=True):
        frequency = lags / wavelength
        otf = optics.transfer(pupil * np.exp(2j * np.pi * path / wavelength))
        otf *= optics.jitter(frequency, (JITTER, JITTER)) * diffusion(frequency)
        total += weight * optics.image(otf, frequency, pixel, pixels)
    return total


def wavefront(despace_um: float, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Transmission of the pupil and optical path difference [m], both (m, m).

    Parameters
    ----------
    despace_um
        Despace of the secondary mirror [um].
    spacing
        Spacing of the pupil grid [m].
    """
    import hcipy

    pupil, grid = optics.sample_pupil(hcipy.make_hst_aperture(), DIAMETER, spacing)
    modes = optics.zernike_modes(pupil, grid, DIAMETER, max(ABERRATIONS))
    waves = {4: FOCUS_PER_UM * despace_um, **ABERRATIONS}
    return pupil, REFERENCE * sum(rms * modes[index - 1] for index, rms in waves.items())


def photon_weights(spectral_index: float) -> np.ndarray:
    """Share of the photons at each of :data:`WAVELENGTHS`, ~ lambda^(-alpha - 1) for a spectrum F_nu ~ nu^alpha."""
    weights = WAVELENGTHS ** (-spectral_index - 1)
    return weights / weights.sum()


def diffusion(frequency: np.ndarray) -> np.ndarray:
    """Transfer function (n, n) of the charge diffusion over 3 x 3 detector pixels, at frequencies (n,) [cycles/rad].

    The shares of the charge are Tiny Tim's for F814W.
    """
    same, edge, corner = np.array(DIFFUSION) / np.dot(DIFFUSION, (1, 4, 4))
    wave = 2 * np.cos(2 * np.pi * frequency * DETECTOR_PIXEL * optics.ARCSEC)
    return same + edge * (wave[:, None] + wave) + corner * wave[:, None] * wave
