"""The HST kernels against the figures to reach, and against Tiny Tim's own files."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from scipy import ndimage

from lensvit.psf import hst, kernel, optics

TINY_TIM_FINE = "acs_f814w_tinytim_x2_paltas_tt1.fits"  # 0.0247 arcsec, no charge diffusion
TINY_TIM_NATIVE = "acs_f814w_tinytim_alpha-1_lenstronomy-tutorials.fits"
RADII = (0.1, 0.25, 0.5)  # [arcsec]


def energies(image: np.ndarray, scale: float) -> list[float]:
    return [kernel.encircled_energy(image, scale, radius) for radius in RADII]


def tiny_tim(path) -> np.ndarray:
    with fits.open(path, ignore_missing_simple=True) as units:
        return units[0].data.astype(float)


@pytest.mark.parametrize(
    ("name", "width", "within"),
    [("hst_a", 0.085, (0.60, 0.90, 0.945)), ("hst_b", 0.085, (0.60, 0.90, 0.945)),
     ("hst_c", 0.085, (0.63, 0.90, 0.945))],
)  # fmt: skip
def test_figures_to_reach(paper_psfs, name, width, within):
    psf = kernel.read_kernel(paper_psfs[name])
    assert kernel.fwhm(psf.native, 0.05) == pytest.approx(width, rel=0.1)
    assert energies(psf.native, 0.05) == pytest.approx(within, rel=0.1)
    assert 0.97 < psf.enclosed < 1


def test_more_despace_and_a_redder_spectrum_spread_the_light(paper_psfs):
    core = [energies(kernel.read_kernel(paper_psfs[name]).native, 0.05)[0] for name in ("hst_a", "hst_b", "hst_c")]
    assert core[0] < core[1] < core[2]


def test_tiny_tim_before_charge_diffusion(real_file, monkeypatch):
    expected = tiny_tim(real_file(TINY_TIM_FINE))
    monkeypatch.setattr(hst, "diffusion", lambda frequency: 1.0)
    despace = 0.0417 / hst.FOCUS_PER_UM  # the file's header has 0.0417 waves of focus
    made = hst.light(-1.0, despace, 0.0247, 149)
    assert kernel.fwhm(made, 0.0247) == pytest.approx(kernel.fwhm(expected, 0.0247), rel=0.04)
    assert energies(made, 0.0247) == pytest.approx(energies(expected, 0.0247), rel=0.02)


def test_optical_width_is_tiny_tims(monkeypatch):
    monkeypatch.setattr(hst, "diffusion", lambda frequency: 1.0)
    assert 0.067 < kernel.fwhm(hst.light(-1.0, 4.0, 0.01, 101), 0.01) < 0.071


def test_tiny_tim_on_detector_pixels(real_file, paper_psfs):
    """Tiny Tim's fine PSF, summed over detector pixels and diffused as its header says to."""
    fine = tiny_tim(real_file(TINY_TIM_FINE))
    centred_pixel = np.outer([0.5, 1, 0.5], [0.5, 1, 0.5])
    diffusion = np.full((3, 3), 0.016337)
    diffusion[1], diffusion[:, 1], diffusion[1, 1] = 0.070034, 0.070034, 0.654517
    binned = ndimage.convolve(fine, centred_pixel, mode="constant")[::2, ::2]
    expected = ndimage.convolve(binned, diffusion, mode="constant")
    psf = kernel.read_kernel(paper_psfs["hst_b"])
    assert kernel.fwhm(psf.native, 0.05) == pytest.approx(kernel.fwhm(expected, 0.0494), rel=0.06)
    assert energies(psf.native, 0.05) == pytest.approx(energies(expected, 0.0494), rel=0.03)


def test_tiny_tim_at_native_sampling(real_file, paper_psfs):
    expected = tiny_tim(real_file(TINY_TIM_NATIVE))
    psf = kernel.read_kernel(paper_psfs["hst_b"])
    assert kernel.fwhm(psf.native, 0.05) == pytest.approx(kernel.fwhm(expected, 0.0495), rel=0.05)
    assert energies(psf.native, 0.05) == pytest.approx(energies(expected, 0.0495), rel=0.04)


def test_photons_follow_the_spectrum():
    """F_nu ~ nu^-1 gives photons without a slope; a smaller index is redder."""
    np.testing.assert_allclose(hst.photon_weights(-1.0), 1 / 15)
    assert np.diff(hst.photon_weights(-2.0)).min() > 0 > np.diff(hst.photon_weights(0.0)).max()


def test_diffusion_is_the_three_by_three_kernel():
    """Its inverse transform on the detector's pixels gives the taps back."""
    frequency = np.fft.fftfreq(8, hst.DETECTOR_PIXEL * optics.ARCSEC)
    taps = np.fft.ifft2(hst.diffusion(frequency)).real
    same, edge, corner = np.array(hst.DIFFUSION) / (hst.DIFFUSION @ np.array([1, 4, 4]))
    np.testing.assert_allclose(
        np.roll(taps, (1, 1), (0, 1))[:3, :3],
        [[corner, edge, corner], [edge, same, edge], [corner, edge, corner]],
        atol=1e-12,
    )
    assert taps.sum() == pytest.approx(1)


def test_wavefront_has_the_rms_of_its_terms():
    pupil, path = hst.wavefront(6.0, hst.COARSEST)
    rms = np.sqrt((pupil * path**2).sum() / pupil.sum())
    terms = [hst.FOCUS_PER_UM * 6.0, *hst.ABERRATIONS.values()]
    assert rms == pytest.approx(hst.REFERENCE * np.linalg.norm(terms))
