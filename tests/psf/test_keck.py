"""The Keck kernels against the figures to reach, and against the theory of turbulence."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from scipy.integrate import quad

from lensvit.psf import keck, kernel

QUIET = {
    "r0": 0.2,
    "zenith_angle_deg": 0.0,
    "outer_scale": 30.0,
    "residual_nm": 0.0,
    "jitter_mas": (0.0, 0.0),
    "static_nm": 0.0,
    "seed": 1,
}
SMALL = {"pixel": 0.008, "pixels": 151}


@pytest.mark.parametrize(
    ("name", "strehl", "width", "within"),
    [
        ("keck_a", 0.50, 0.049, (0.65, 0.83, 0.93)),
        ("keck_b", 0.31, 0.056, (0.55, 0.77, 0.91)),
        ("keck_c", 0.18, 0.065, (0.43, 0.68, 0.86)),
    ],
)
def test_figures_to_reach(paper_psfs, name, strehl, width, within):
    psf = kernel.read_kernel(paper_psfs[name])
    assert fits.getval(paper_psfs[name], "STREHL") == pytest.approx(strehl, rel=0.1)
    assert kernel.fwhm(psf.native, 0.02) == pytest.approx(width, rel=0.1)
    found = [kernel.encircled_energy(psf.native, 0.02, radius) for radius in (0.1, 0.25, 0.5)]
    assert found == pytest.approx(within, rel=0.1)
    assert 0.97 < psf.enclosed < 1


def test_structure_function_without_correction_is_kolmogorovs(monkeypatch):
    """6.88 (rho / r0)^(5/3) rad^2, for an outer scale far beyond the separations."""
    monkeypatch.setattr(keck, "CUTOFF", 1e-7)
    rho = np.array([0.5, 1.0, 2.0, 5.0])
    radians = (2 * np.pi / keck.SEEING_WAVELENGTH) ** 2
    found = keck.structure_function(rho, 0.15, 1e9, 0.0) * radians
    np.testing.assert_allclose(found, 6.88 * (rho / 0.15) ** (5 / 3), rtol=0.03)


def test_corrected_part_of_the_spectrum_integrates_to_the_residual():
    def ring(f: float) -> float:
        return 2 * np.pi * f * float(keck.residual_spectrum(np.array(f), 0.15, 30.0, 250e-9)) * 1e14

    total = quad(ring, 0, keck.CUTOFF, points=[0.05, 0.2])[0]
    assert total / 1e14 == pytest.approx(250e-9**2, rel=1e-4)


def test_structure_function_saturates_at_twice_the_variance():
    """At large separations the two points are nearly independent."""
    found = keck.structure_function(np.array([0.0, 500.0]), 0.15, 30.0, 250e-9)
    outside = quad(
        lambda f: 2 * np.pi * f * float(keck.residual_spectrum(np.array(f), 0.15, 30.0, 0.0)) * 1e14,
        keck.CUTOFF * (1 + 1e-9), 50,
    )[0] / 1e14  # fmt: skip
    assert found[0] == 0
    assert found[1] == pytest.approx(2 * (250e-9**2 + outside), rel=0.03)


@pytest.mark.parametrize(("static", "residual"), [(100.0, 0.0), (0.0, 150.0), (100.0, 150.0)])
def test_strehl_follows_marechal(static, residual):
    """Strehl = exp(-(2 pi rms / lambda)^2), seeing nearly off."""
    settings = {**QUIET, "r0": 50.0, "static_nm": static, "residual_nm": residual}
    _, strehl = keck.light(**settings, **SMALL)
    rms = np.hypot(static, residual) * 1e-9
    expected = np.exp(-((2 * np.pi * rms / keck.WAVELENGTHS.mean()) ** 2))
    assert strehl == pytest.approx(expected, rel=0.05)


def test_fitting_error_is_that_of_the_actuator_pitch():
    """Strehl of the uncorrected part alone.

    Kolmogorov's spectrum beyond a circle of radius 1 / (2d) has 0.274 (d / r0)^(5/3) rad^2.
    """
    _, strehl = keck.light(**{**QUIET, "r0": 0.15}, **SMALL)
    scale = (keck.SEEING_WAVELENGTH / keck.WAVELENGTHS.mean()) ** 2
    variance = 0.274 * (0.5625 / 0.15) ** (5 / 3) * scale
    assert -np.log(strehl) == pytest.approx(variance, rel=0.05)


def test_unaberrated_width_is_the_diffraction_limit():
    light, strehl = keck.light(**{**QUIET, "r0": 1e6}, **SMALL)
    resolution = keck.WAVELENGTHS.mean() / keck.DIAMETER * 206265
    assert strehl == pytest.approx(1, abs=1e-3)
    assert 0.98 * resolution < kernel.fwhm(light, SMALL["pixel"]) < 1.1 * resolution


def test_zenith_angle_shrinks_r0():
    """sec(z)^(-3/5): 0.2 m at 30 deg is 0.1835 m at the zenith."""
    inclined, one = keck.light(**{**QUIET, "zenith_angle_deg": 30.0}, **SMALL)
    upright, two = keck.light(**{**QUIET, "r0": 0.2 * np.cos(np.pi / 6) ** 0.6}, **SMALL)
    np.testing.assert_allclose(inclined, upright, atol=1e-12)
    assert one == pytest.approx(two)


def test_jitter_is_wider_along_its_axis(paper_psfs):
    psf = kernel.read_kernel(paper_psfs["keck_c"]).supersampled
    middle = len(psf) // 2
    along_x, along_y = ((profile > profile.max() / 2).sum() for profile in (psf[middle], psf[:, middle]))
    assert along_x > along_y


def test_static_wavefront_has_its_rms_no_tilt_and_a_seed():
    pupil, path = keck.wavefront(120.0, 3, keck.COARSEST)
    position = np.arange(len(pupil)) - (len(pupil) - 1) / 2
    weight = pupil / pupil.sum()
    assert np.sqrt((weight * path**2).sum()) == pytest.approx(120e-9)
    for moment in (weight * path, weight * path * position, weight * path * position[:, None]):
        assert abs(moment.sum()) < 1e-12
    np.testing.assert_array_equal(path, keck.wavefront(120.0, 3, keck.COARSEST)[1])
    assert np.abs(path - keck.wavefront(120.0, 4, keck.COARSEST)[1]).max() > 1e-8
