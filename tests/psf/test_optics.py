"""The optics against what is known of a clear circular pupil."""

from __future__ import annotations

import hcipy
import numpy as np
import pytest

from lensvit.errors import LensvitError
from lensvit.psf import kernel, optics

DIAMETER, WAVELENGTH, SPACING = 2.0, 1e-6, 2.0 / 160
RESOLUTION = WAVELENGTH / DIAMETER / optics.ARCSEC  # lambda / D [arcsec]
CIRCLE = hcipy.make_circular_aperture(DIAMETER)


@pytest.fixture(scope="module")
def circle() -> tuple[np.ndarray, object]:
    return optics.sample_pupil(CIRCLE, DIAMETER, SPACING)


def picture(field: np.ndarray, pixel: float, pixels: int) -> np.ndarray:
    frequency = optics.lags(len(field), SPACING) / WAVELENGTH
    return optics.image(optics.transfer(field), frequency, pixel, pixels)


def test_circle_gives_the_airy_pattern(circle):
    pixel = RESOLUTION / 20
    airy = picture(circle[0], pixel, 401)
    assert kernel.fwhm(airy, pixel) == pytest.approx(1.029 * RESOLUTION, rel=0.01)
    inside_first_dark_ring = kernel.encircled_energy(airy, pixel, 1.22 * RESOLUTION) * airy.sum()
    assert inside_first_dark_ring == pytest.approx(0.838, abs=0.005)
    row = airy[200, 200:]
    assert row[20:30].argmin() + 20 == pytest.approx(1.22 * 20, abs=1)


def test_all_light_falls_on_one_period(circle):
    """All but what grey edges, which transmit p and pass p^2 undiffracted, scatter beyond it."""
    pupil, period = circle[0], WAVELENGTH / SPACING / optics.ARCSEC
    total = picture(pupil, period / 101, 101).sum()
    assert total == pytest.approx((pupil**2).sum() / pupil.sum(), abs=1e-9)
    assert total == pytest.approx(1, abs=0.005)


def test_fine_pixels_sum_to_coarse_ones(circle):
    coarse, fine = picture(circle[0], RESOLUTION / 2, 31), picture(circle[0], RESOLUTION / 10, 155)
    np.testing.assert_allclose(fine.reshape(31, 5, 31, 5).sum((1, 3)), coarse, atol=1e-3 * coarse.max())


def test_tilt_moves_the_star(circle):
    pupil, _ = circle
    position = (np.arange(len(pupil)) - (len(pupil) - 1) / 2) * SPACING
    angle = 3.0 * RESOLUTION / 5 * optics.ARCSEC  # three pixels along x
    tilted = pupil * np.exp(2j * np.pi * position * angle / WAVELENGTH)
    image = picture(tilted, RESOLUTION / 5, 61)
    assert np.unravel_index(image.argmax(), image.shape) == (30, 33)


def test_transfer_function_is_that_of_a_circle(circle):
    """Goodman's closed form: 2/pi (arccos s - s sqrt(1 - s^2)), s the lag in diameters."""
    otf = optics.transfer(circle[0])
    middle = len(otf) // 2
    share = optics.lags(len(circle[0]), SPACING)[middle:] / DIAMETER
    expected = 2 / np.pi * (np.arccos(share) - share * np.sqrt(1 - share**2))
    np.testing.assert_allclose(otf[middle, middle + 1 :].real, expected[1:], atol=1e-3)
    np.testing.assert_allclose(otf, otf[::-1, ::-1].conj(), atol=1e-12)


def test_modes_are_orthonormal_over_the_light():
    pupil, grid = optics.sample_pupil(hcipy.make_hst_aperture(), 2.4, 0.0125)
    modes = optics.zernike_modes(pupil, grid, 2.4, 11).reshape(11, -1)
    products = (modes * pupil.ravel()) @ modes.T / pupil.sum()
    np.testing.assert_allclose(products, np.eye(11), atol=1e-10)


def test_focus_mode_keeps_its_shape_and_sign(circle):
    pupil, grid = circle
    modes = optics.zernike_modes(pupil, grid, DIAMETER, 4)
    position = (np.arange(len(pupil)) - (len(pupil) - 1) / 2) * SPACING / (DIAMETER / 2)
    focus = np.sqrt(3) * (2 * (position[:, None] ** 2 + position**2) - 1)
    np.testing.assert_allclose(modes[3][pupil == 1], focus[pupil == 1], atol=0.02)


def test_small_aberration_follows_marechal(circle):
    """The peak falls as exp(-(2 pi rms)^2), for rms in waves."""
    pupil, grid = circle
    focus = optics.zernike_modes(pupil, grid, DIAMETER, 4)[3]
    peaks = [optics.transfer(pupil * np.exp(2j * np.pi * rms * focus)).real.sum() for rms in (0, 0.05)]
    assert peaks[1] / peaks[0] == pytest.approx(np.exp(-((2 * np.pi * 0.05) ** 2)), rel=0.01)


def test_jitter_widens_by_quadrature(circle):
    """The variance of the image grows by the jitter's, each axis by its own."""
    frequency = optics.lags(len(circle[0]), SPACING) / WAVELENGTH
    smooth = np.exp(-2 * (np.pi * frequency * RESOLUTION * optics.ARCSEC) ** 2)
    sharp = np.outer(smooth, smooth)
    pixel = RESOLUTION / 5
    offset = (np.arange(101) - 50) * pixel
    mas = (300 * RESOLUTION, 600 * RESOLUTION)
    before, after = (optics.image(otf, frequency, pixel, 101) for otf in (sharp, sharp * optics.jitter(frequency, mas)))
    for axis, rms in ((0, mas[0]), (1, mas[1])):
        grown = (after.sum(axis) - before.sum(axis)) @ offset**2
        assert grown == pytest.approx((rms / 1000) ** 2, rel=1e-3)


def test_grid_becomes_finer_for_a_wide_image():
    assert optics.grid_spacing(0.05, 2e-6, 2.0) == 0.05
    fine = optics.grid_spacing(0.05, 2e-6, 20.0)
    assert 2e-6 / fine / optics.ARCSEC == pytest.approx(30.0)


def test_too_wide_a_kernel_is_an_error():
    with pytest.raises(LensvitError, match=r"100\.0 arcsec is too wide.*fewer `pixels`"):
        optics.grid_spacing(0.05, 2e-6, 100.0)
