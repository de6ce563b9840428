"""Taper, measures and the file of a kernel."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from lensvit.errors import LensvitError
from lensvit.io import files
from lensvit.psf import kernel


@pytest.mark.parametrize("pixels", [11, 101, 201])
@pytest.mark.parametrize("oversampling", [1, 5])
def test_window_is_zero_on_the_native_border_and_one_within(pixels, oversampling):
    window = kernel.window(pixels, oversampling)
    border = np.ones((pixels, pixels), bool)
    border[1:-1, 1:-1] = False
    border = np.kron(border, np.ones((oversampling, oversampling), bool))
    assert window.shape == border.shape
    assert (window[border] == 0).all()
    offset = (np.arange(len(window)) - (len(window) - 1) / 2) / oversampling
    assert (window[np.hypot(offset[:, None], offset) < 0.9 * (pixels / 2 - 1)] == 1).all()
    assert np.diff(window[len(window) // 2, len(window) // 2 :]).max() <= 0


def test_window_is_smooth():
    row = kernel.window(201)[100, 100:]
    assert np.abs(np.diff(row)).max() < 0.2


def test_from_supersampled_bins_and_normalises(stars):
    made = kernel.from_supersampled(0.9 * stars(155, 20.0), 0.05)
    fine = 0.9 * stars(155, 20.0) * kernel.window(31, 5)
    assert made.enclosed == pytest.approx(fine.sum())
    np.testing.assert_allclose(made.supersampled, fine / fine.sum(), atol=1e-15)
    np.testing.assert_allclose(made.native[15, 15], made.supersampled[75:80, 75:80].sum(), rtol=1e-12)
    assert made.native.sum() == pytest.approx(1, abs=1e-12)


def test_too_small_a_kernel_is_an_error(stars):
    with pytest.raises(LensvitError, match=r"11 pixels of 0.01 arcsec holds only .*more `pixels`"):
        kernel.from_supersampled(stars(551, 60.0)[248:303, 248:303], 0.01)


@pytest.mark.parametrize("sigma", [0.8, 1.5, 6.0])
def test_measures_of_a_gaussian(stars, sigma):
    star = stars(101, sigma)
    assert kernel.fwhm(star, 0.05) == pytest.approx(2.3548 * sigma * 0.05, rel=0.03)
    for radius in (1.5 * sigma, 3 * sigma):
        expected = 1 - np.exp(-(radius**2) / (2 * (sigma**2 + 1 / 12)))  # 1 / 12: the pixel's variance
        assert kernel.encircled_energy(star, 0.05, radius * 0.05) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (0.3, -0.2), (-0.45, 0.1), (2.2, 1.0)])
def test_centroid_of_a_shifted_gaussian(stars, x, y):
    assert kernel.centroid(stars(41, 1.6, x, y)) == pytest.approx((x, y), abs=1e-3)


def test_centroid_ignores_far_noise(stars):
    noise = np.random.default_rng(1).normal(0, 3e-4, (101, 101))
    assert kernel.centroid(stars(101, 1.5, 0.2, 0.0) + noise) == pytest.approx((0.2, 0.0), abs=0.03)


def test_file_round_trip(tmp_path, stars):
    made = kernel.from_supersampled(stars(155, 8.0), 0.05)
    kernel.write_kernel(tmp_path / "a.fits", made, {"STREHL": (0.5, "")})
    again = kernel.read_kernel(tmp_path / "a.fits")
    np.testing.assert_array_equal(again.native, made.native)
    np.testing.assert_array_equal(again.supersampled, made.supersampled)
    assert (again.pixel_scale, again.enclosed) == (made.pixel_scale, made.enclosed)
    manifest = files.manifest_path(tmp_path / "a.fits").read_text()
    assert manifest.split()[0] == files.sha256(tmp_path / "a.fits")


def test_lenstronomy_degrades_the_fine_kernel_to_the_native_one(stars):
    from lenstronomy.Data.psf import PSF

    made = kernel.from_supersampled(stars(155, 8.0), 0.05)
    psf = PSF("PIXEL", kernel_point_source=made.supersampled, point_source_supersampling_factor=5)
    np.testing.assert_allclose(psf.kernel_point_source, made.native, atol=1e-14)


def test_reading_an_absent_file(tmp_path):
    with pytest.raises(LensvitError, match=r"there is no PSF .*run snakemake again"):
        kernel.read_kernel(tmp_path / "none.fits")


def test_reading_a_truncated_file(tmp_path, stars):
    path = tmp_path / "a.fits"
    kernel.write_kernel(path, kernel.from_supersampled(stars(155, 8.0), 0.05), {})
    for length in (5760, path.stat().st_size // 2):
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(LensvitError, match="truncated or broken"):
            kernel.read_kernel(path)


@pytest.mark.parametrize("fault", ["sum", "nan", "negative", "even"])
def test_reading_an_unfit_kernel(tmp_path, stars, fault):
    image = stars(31, 2.0)
    image = {
        "sum": 2 * image,
        "nan": np.where(image == image.max(), np.nan, image),
        "negative": image - 1e-3 * np.eye(31)[::-1] + 1e-3 * np.eye(31),
        "even": stars(30, 2.0),
    }[fault]
    unit = fits.PrimaryHDU(image)
    unit.header.update({"PIXSCALE": 0.05, "OVERSAMP": 1, "ENCLOSED": 1.0})
    unit.writeto(tmp_path / "a.fits")
    with pytest.raises(LensvitError, match=r"broken: delete it"):
        kernel.read_kernel(tmp_path / "a.fits")
