"""A user's FITS: what is accepted, what becomes of it, and every refusal."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from lensvit.errors import LensvitError
from lensvit.psf import kernel, user


@pytest.fixture
def save(tmp_path):
    def write(image: np.ndarray, name: str = "star.fits", **header: object):
        unit = fits.PrimaryHDU(image)
        unit.header.update(header)
        unit.writeto(tmp_path / name, overwrite=True)
        return tmp_path / name

    return write


def test_clean_star_is_kept(save, stars):
    psf, cards = user.load_user_kernel(save(stars(51, 2.0), PIXSCALE=0.05), 0.05)
    np.testing.assert_allclose(psf.native, stars(51, 2.0), atol=1e-9)
    assert psf.supersampled is None
    assert psf.enclosed == pytest.approx(1, abs=1e-6)
    assert cards["SOURCE"][0] == "star.fits" and len(cards["SRCSHA"][0]) == 64


def test_flux_and_background_do_not_matter(save, stars):
    plain, _ = user.load_user_kernel(save(stars(51, 2.0), PIXSCALE=0.05), 0.05)
    raised, cards = user.load_user_kernel(save(4e5 * stars(51, 2.0) + 120, PIXSCALE=0.05), 0.05)
    np.testing.assert_allclose(raised.native, plain.native, atol=1e-9)
    assert cards["BACKGRND"][0] == pytest.approx(120)


def test_noise_is_clipped_and_the_border_tapered(save, stars):
    noisy = 1e5 * stars(51, 2.0) + np.random.default_rng(1).normal(10, 2, (51, 51))
    psf, cards = user.load_user_kernel(save(noisy, PIXSCALE=0.05), 0.05)
    edge = np.concatenate([psf.native[0], psf.native[-1], psf.native[:, 0], psf.native[:, -1]])
    assert psf.native.min() == 0 and (edge == 0).all()
    assert psf.native.sum() == pytest.approx(1, abs=1e-12)
    assert 0 < cards["CLIPPED"][0] < 0.05
    assert 0.95 < psf.enclosed < 1


def test_pixel_scale_from_a_wcs(save, stars):
    wcs = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CD1_1": -0.05 / 3600, "CD2_2": 0.05 / 3600}
    assert user.load_user_kernel(save(stars(51, 2.0), **wcs), 0.05)[0].pixel_scale == 0.05


def test_pixel_scale_from_the_config(save, stars):
    assert user.load_user_kernel(save(stars(51, 2.0)), 0.05, file_pixel_scale=0.0498)[0].pixel_scale == 0.05


def test_an_extension_by_number_and_name(tmp_path, stars):
    image = fits.ImageHDU(stars(31, 1.5), name="PSF")
    image.header["PIXELSCL"] = 0.05
    path = tmp_path / "two.fits"
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    for extension in (1, "PSF"):
        assert user.load_user_kernel(path, 0.05, extension)[0].native.shape == (31, 31)
    for extension in (0, 7, "SCI"):
        with pytest.raises(LensvitError, match="holds no image; set `extension` to one of: 1 PSF"):
            user.load_user_kernel(path, 0.05, extension)


@pytest.mark.parametrize("given", [None, 0.04])
def test_an_extension_without_a_scale_has_that_of_the_primary_header(tmp_path, stars, given):
    primary, path = fits.PrimaryHDU(), tmp_path / "two.fits"
    primary.header.update({"PIXSCALE": 0.04, "TELESCOP": "HST"})
    fits.HDUList([primary, fits.ImageHDU(stars(31, 1.5), name="PSF")]).writeto(path)
    psf, cards = user.load_user_kernel(path, 0.04, 1, given)
    assert psf.pixel_scale == 0.04 and cards["TELESCOP"][0] == "HST" and cards["EXTENSN"][0] == "PSF"
    says = "the primary header says 0.04 arcsec a pixel, "
    with pytest.raises(LensvitError, match=f"{says}`file_pixel_scale` says 0.05"):
        user.load_user_kernel(path, 0.05, 1, 0.05)
    with pytest.raises(LensvitError, match=f"{says}the instrument's pixels are 0.05"):
        user.load_user_kernel(path, 0.05, 1)


def test_the_scale_of_a_primary_header_with_an_image_is_that_images_alone(tmp_path, stars):
    primary, path = fits.PrimaryHDU(stars(101, 6.0)), tmp_path / "both.fits"
    primary.header.update({"PIXSCALE": 0.0125, "TELESCOP": "HST"})
    fits.HDUList([primary, fits.ImageHDU(stars(31, 1.5), name="PSF")]).writeto(path)
    psf, cards = user.load_user_kernel(path, 0.05, 1, 0.05)
    assert psf.pixel_scale == 0.05 and cards["TELESCOP"][0] == "HST"
    with pytest.raises(LensvitError, match=r"no pixel scale is in the header \(.*set `file_pixel_scale`"):
        user.load_user_kernel(path, 0.05, 1)
    with pytest.raises(LensvitError, match=r"the header says 0.0125 arcsec a pixel, the instrument's pixels are 0.05"):
        user.load_user_kernel(path, 0.05, 0)


def test_no_header_has_a_scale(tmp_path, stars):
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(stars(31, 1.5))]).writeto(tmp_path / "none.fits")
    with pytest.raises(LensvitError, match="no pixel scale is in the header or the primary header "):
        user.load_user_kernel(tmp_path / "none.fits", 0.05, 1)


def test_an_extensions_own_scale_goes_before_that_of_the_primary_header(tmp_path, stars):
    primary, image, path = fits.PrimaryHDU(), fits.ImageHDU(stars(31, 1.5)), tmp_path / "two.fits"
    primary.header["PIXSCALE"], image.header["PIXSCALE"] = 0.04, 0.05
    fits.HDUList([primary, image]).writeto(path)
    assert user.load_user_kernel(path, 0.05, 1)[0].pixel_scale == 0.05


def negative(image: np.ndarray, depth: float) -> np.ndarray:
    image = image.copy()
    image[25, 32] = -depth * image.max()
    return image


def holed(image: np.ndarray, value: float) -> np.ndarray:
    image = image.copy()
    image[3, 4] = value
    return image


REFUSED = {
    "even": (lambda star: star(50, 2.0), "50 x 50 pixels; the side must be odd"),
    "not square": (lambda star: star(51, 2.0)[:, 2:-2], "51 x 47 pixels; cut out a square"),
    "cube": (lambda star: np.stack([star(51, 2.0)] * 3), "3 x 51 x 51 pixels; cut out a square, 2-D"),
    "tiny": (lambda star: star(9, 1.0), "9 x 9 pixels; the side must be 11 to 1001"),
    "nan": (lambda star: holed(star(51, 2.0), np.nan), "1 of 2601 pixels are NaN or infinite"),
    "infinite": (lambda star: holed(star(51, 2.0), np.inf), "1 of 2601 pixels are NaN or infinite"),
    "beside": (lambda star: star(51, 2.0, 1.0, 0.0), r"brightest pixel is \(26, 25\).*\(25, 25\)"),
    "off centre": (lambda star: star(51, 2.0, 0.2, -0.3), r"\(\+0\.20, -0\.30\) pixels off.*shift it"),
    "negative": (lambda star: negative(star(51, 2.0), 0.1), "negative pixels reach 10.0% of the peak"),
    "empty": (lambda star: np.zeros((51, 51)), "no pixel is brighter than the background"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_the_file_and_the_remedy(save, stars, case):
    image, message = REFUSED[case]
    with pytest.raises(LensvitError, match=rf"^PSF .*star\.fits: .*{message}"):
        user.load_user_kernel(save(image(stars), PIXSCALE=0.05), 0.05)


def test_a_shift_of_a_tenth_of_a_pixel_passes(save, stars):
    psf, _ = user.load_user_kernel(save(stars(51, 2.0, 0.1, -0.1), PIXSCALE=0.05), 0.05)
    assert kernel.centroid(psf.native) == pytest.approx((0.1, -0.1), abs=0.01)


@pytest.mark.parametrize(
    ("header", "given", "message"),
    [
        ({}, None, r"no pixel scale is in the header \(.*`file_pixel_scale`"),
        ({"PIXSCALE": 0.03}, None, "the header says 0.03 arcsec a pixel, the instrument's pixels are 0.05"),
        ({}, 0.06, "`file_pixel_scale` says 0.06 arcsec a pixel, the instrument's pixels are 0.05"),
        ({"PIXSCALE": 0.05}, 0.03, "the header says 0.05 arcsec a pixel, `file_pixel_scale` says 0.03"),
    ],
)
def test_pixel_scale_must_be_known_and_right(save, stars, header, given, message):
    with pytest.raises(LensvitError, match=message):
        user.load_user_kernel(save(stars(51, 2.0), **header), 0.05, file_pixel_scale=given)


def test_absent_file(tmp_path):
    with pytest.raises(LensvitError, match=r"none\.fits: there is no such file"):
        user.load_user_kernel(tmp_path / "none.fits", 0.05)


def test_no_fits_file_and_a_truncated_one(tmp_path, save, stars):
    (tmp_path / "text.fits").write_text("this is no image\n" * 400)
    cut = save(stars(51, 2.0), "cut.fits", PIXSCALE=0.05)
    cut.write_bytes(cut.read_bytes()[:8000])
    for path in (tmp_path / "text.fits", cut):
        with pytest.raises(LensvitError, match=rf"{path.name}: .*(FITS|damaged|no image)"):
            user.load_user_kernel(path, 0.05)


def test_real_tiny_tim_file_passes(real_file):
    """0.0495 arcsec is within 1% of 0.05."""
    psf, cards = user.load_user_kernel(real_file("acs_f814w_tinytim_alpha-1_lenstronomy-tutorials.fits"), 0.05)
    assert psf.native.shape == (147, 147)
    assert cards["INSTRUME"][0] == "ACS_WFC2"
    assert kernel.fwhm(psf.native, 0.0495) == pytest.approx(0.081, rel=0.02)


@pytest.mark.parametrize(
    ("name", "scale", "message"),
    [
        ("acs_f814w_cosmos_0.03_galsim_147246.psf.fits", 0.03, r"brightest pixel is \(51, 51\)"),
        ("acs_f814w_tinytim_x2_paltas_tt1.fits", 0.05, "the header says 0.0247 arcsec"),
        ("keck2_nirc2_ngs_feii_20130801_n0004.fits", 0.01, "150 x 150 pixels; the side must be odd"),
    ],
)
def test_real_files_that_do_not_suit(real_file, name, scale, message):
    given = None if "tinytim" in name else scale
    with pytest.raises(LensvitError, match=message):
        user.load_user_kernel(real_file(name), scale, file_pixel_scale=given)


# ---------------------------------------------------------------- libraries


def library(path, count=5, side=101, oversampling=4, **header):
    """A cube of effective PSFs of different widths, on fine pixels."""
    axis = (np.arange(side) - side // 2) / oversampling
    widths = np.linspace(1.0, 1.8, count)
    cube = np.stack([np.exp(-(axis**2 + axis[:, None] ** 2) / (2 * width**2)) for width in widths])
    fits.PrimaryHDU(cube.astype("f4"), fits.Header(header)).writeto(path, overwrite=True)
    return widths


def test_a_mix_of_a_library_is_between_its_kernels_and_follows_from_the_seed(tmp_path):
    widths = library(tmp_path / "cube.fits")
    known, cards = user.load_library_kernel(tmp_path / "cube.fits", 0.05, oversampling=4, mix=3, seed=1)
    assert known.native.shape == (25, 25) and known.native.sum() == pytest.approx(1)
    chosen = [int(name) for name in cards["MEMBERS"][0].split()]
    assert len(set(chosen)) == 3
    axis = np.arange(25) - 12
    # of Gaussians of sum 1, the mean squared width of the mix lies between theirs
    width = np.sqrt((known.native.sum(0) * axis**2).sum())
    assert min(widths[chosen]) * 0.95 < width < max(widths[chosen]) * 1.05
    again, _ = user.load_library_kernel(tmp_path / "cube.fits", 0.05, oversampling=4, mix=3, seed=1)
    other, _ = user.load_library_kernel(tmp_path / "cube.fits", 0.05, oversampling=4, mix=3, seed=2)
    assert np.array_equal(known.native, again.native) and not np.allclose(known.native, other.native, rtol=1e-3)
    whole, cards = user.load_library_kernel(tmp_path / "cube.fits", 0.05, oversampling=4, mix=50, seed=1)
    assert cards["MEMBERS"][0] == "0 1 2 3 4" and whole.native.shape == (25, 25)


def test_one_kernel_of_a_library_is_its_every_fourth_pixel(tmp_path):
    widths = library(tmp_path / "cube.fits", count=1)
    known, _ = user.load_library_kernel(tmp_path / "cube.fits", 0.05, oversampling=4, mix=1, seed=9)
    axis = np.arange(25) - 12
    right = np.exp(-(axis**2 + axis[:, None] ** 2) / (2 * widths[0] ** 2))
    assert np.abs(known.native / known.native.max() - right).max() < 1e-3


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (np.ones((11, 11)), {}, "a library is a cube of square kernels"),
        (np.ones((2, 12, 12)), {}, "must be odd"),
        (np.full((2, 51, 51), np.nan), {}, "NaN or infinite"),
        (np.zeros((2, 51, 51)), {}, "has no light"),
        (np.ones((2, 51, 51)), {"oversampling": 10}, "the side must be 11 to 1001"),
    ],
)
def test_a_library_that_is_none_is_one_line(tmp_path, content, options, message):
    fits.PrimaryHDU(content).writeto(tmp_path / "cube.fits")
    with pytest.raises(LensvitError, match=message) as error:
        user.load_library_kernel(tmp_path / "cube.fits", 0.05, **options)
    assert "\n" not in str(error.value)


def test_the_pixels_of_a_library_are_those_of_the_camera_over_the_oversampling(tmp_path):
    library(tmp_path / "cube.fits", PIXSCALE=0.02)
    with pytest.raises(LensvitError, match=r"0\.0125"):
        user.load_library_kernel(tmp_path / "cube.fits", 0.05, oversampling=4)
    library(tmp_path / "cube.fits", PIXSCALE=0.0125)
    user.load_library_kernel(tmp_path / "cube.fits", 0.05, oversampling=4)
