"""What a kernel is said to be, and the warnings of what a star's image cannot be."""

import re

import numpy as np
import pytest
from astropy.io import fits

from lensvit.psf import kernel, plausible
from lensvit.psf.build import build_kernel

HST = {"TELESCOP": ("HST", ""), "FILTER": ("F814W", "")}
PER_WIDTH = 1 / np.sqrt(8 * np.log(2))  # standard deviation of a Gaussian in full widths at half maximum


def said(image, cards=HST, pixel_scale=0.05):
    return list(plausible.warnings(kernel.Kernel(image / image.sum(), pixel_scale, 1.0), cards))


@pytest.mark.parametrize(
    ("telescope", "band", "limit"),
    [
        ("HST", "F814W", 0.0721),
        ("HST", "F160W", 0.1416),
        ("Keck II", "Kp", 0.0412),
        ("JWST", "F150W", 0.0483),
        ("JWST", "F444W", 0.1429),
        ("SDSS", "F814W", None),
        ("HST", "clear", None),
        ("", "", None),
    ],
)
def test_the_diffraction_limit_is_known_by_telescope_and_filter(telescope, band, limit):
    found = plausible.diffraction_limit({"TELESCOP": (telescope, ""), "FILTER": (band, "")})
    assert found == (None if limit is None else pytest.approx(limit, abs=1e-4))


def test_a_plain_star_gives_no_warning(stars):
    for sigma in (0.8, 1.0, 1.4):
        assert said(stars(51, sigma)) == []
    assert said(stars(51, 2.0), {}) == []


def test_measures_of_a_gaussian(stars):
    line = plausible.measures(kernel.Kernel(stars(51, 2.0), 0.05, 1.0), HST)
    width, pixels, limit, *light = map(float, re.findall(r"\d+\.\d+(?=%|\"| pixels)", line)[:4])
    assert (width, pixels, limit) == (pytest.approx(0.2355, abs=2e-3), 4.7, 0.072)
    assert light[0] == pytest.approx(100 * (1 - np.exp(-((0.1 / 0.1) ** 2) / 2)), abs=0.5)
    assert "is not known" in plausible.measures(kernel.Kernel(stars(51, 2.0), 0.05, 1.0), {})


@pytest.mark.parametrize("share", [0.06, 0.3])
def test_a_second_star(stars, share):
    (warning,) = said(stars(51, 1.0) + share * stars(51, 1.0, 10, -3))
    assert f"second peak of {share:.0%} lies (+10, -3) pixels" in warning


def test_faint_companions_are_none(stars):
    assert said(stars(51, 1.0) + 0.04 * stars(51, 1.0, 10, -3)) == []


def test_a_kernel_that_is_sampled_finer_than_the_camera(stars):
    (warning,) = said(stars(51, 4 * 0.85))
    assert '8.0 pixels wide (FWHM 0.401", where diffraction and pixels make 0.088")' in warning and "bin it" in warning
    (warning,) = said(stars(51, 4 * 0.85), {})
    assert '8.0 pixels wide (FWHM 0.401"): is' in warning


def test_four_pixels_in_place_of_one(stars):
    """A kernel of HST F160W on pixels of a quarter, 4.7 of which are its width, is none on the camera's."""
    infrared = {"TELESCOP": ("HST", ""), "FILTER": ("F160W", "")}
    assert said(stars(51, 4.7 * PER_WIDTH), infrared, 0.032) == []
    (warning,) = said(stars(51, 4.7 * PER_WIDTH), infrared, 0.128)
    assert "4.7 pixels wide" in warning and "bin it" in warning


def test_small_pixels_are_no_oversampling(stars):
    """Keck's narrow camera has six pixels across a star."""
    assert (
        said(stars(101, 0.055 / 0.00994 * PER_WIDTH), {"TELESCOP": ("Keck II", ""), "FILTER": ("Kp", "")}, 0.00994)
        == []
    )


@pytest.mark.parametrize("number", [0, 27, 55])
def test_real_kernels_on_finer_pixels(real_file, number):
    """WFC3's pixels are of 0.04 arcsec, those of this library of empirical kernels a quarter of them."""
    star = np.clip(fits.getdata(real_file("../real/emp_psf_f814w.fits"))[number].astype(float), 0, None)
    assert said(star, pixel_scale=0.01) == []
    (warning,) = said(star, pixel_scale=0.04)
    assert "bin it" in warning


def test_a_kernel_narrower_than_diffraction(stars):
    (warning,) = said(stars(51, 1.0), pixel_scale=0.02)
    assert "narrower" in warning and "0.072" in warning
    assert said(stars(51, 1.0), {}, pixel_scale=0.02) == []


@pytest.mark.parametrize("name", ["VAR", "err", "PSF_VAR", "PSF VAR", "WHT2", "sci-mask", "VAR_POISSON", "DQ"])
def test_a_name_of_a_map_of_variance(stars, name):
    (warning,) = said(stars(51, 1.0), {"EXTENSN": (name, "")})
    assert warning.startswith(f"the image {name} (unit not given) is rather a map of variance")


@pytest.mark.parametrize("name", ["PSF", "CONVOLVED", "CONTINUUM", "MASKED", "VARIABLE", "STD_STAR", "SCI", ""])
def test_a_name_of_an_image(stars, name):
    assert said(stars(51, 1.0), {"EXTENSN": (name, "")}) == []


@pytest.mark.parametrize(
    "unit",
    ["electron2/s2", "count2 s-2", "(electron/s)**2", "counts^2/s^2", "ELECTRONS**2", "adu2", "DN^(2)", "(ADU)^-2",
     "MJy2/sr2", "photon-2", "1/(electron/s)**2", "erg2/s2/cm4",
     "(e-/s)**2", "(e/s)^2", "e-**2", "cps^2", "(1E-17 erg/s/cm^2/Angstrom)^2"],
)  # fmt: skip
def test_a_unit_of_a_map_of_variance(stars, unit):
    (warning,) = said(stars(51, 1.0), {"UNIT": (unit, "")})
    assert warning.startswith(f"the image (unit {unit}) is rather a map of variance")


@pytest.mark.parametrize(
    "unit",
    ["erg/s/cm**2", "erg s-1 cm-2 Angstrom-1", "W/m^2", "counts/s/arcsec^2", "ELECTRONS/S", "e-/s", "MJy/sr", "(m/s)^2",
     "DN/s", "(foo)**2", "foo^2", "mag", "((", "2", "10**2**3", "", "ct/(pix)**2", "1/(m/s)^2", "1e400 m", "J/s"],
)  # fmt: skip
def test_a_unit_of_an_image(stars, unit):
    assert said(stars(51, 1.0), {"UNIT": (unit, "")}) == []


def test_kernels_of_the_telescopes_give_no_warning(paper_psfs):
    for path in paper_psfs.values():
        with fits.open(path) as units:
            cards = {key: (units[0].header[key], "") for key in HST}
        assert plausible.diffraction_limit(cards) is not None
        psf = kernel.read_kernel(path)
        assert list(plausible.warnings(psf, cards)) == []
        (warning,) = plausible.warnings(kernel.Kernel(psf.supersampled, psf.pixel_scale, 1.0), cards)
        assert "bin it" in warning


def test_the_stage_prints_both(tmp_path, stars, settings_file, capsys):
    fits.PrimaryHDU(stars(51, 1.0) + 0.3 * stars(51, 1.0, 10, 0)).writeto(tmp_path / "star.fits")
    settings = settings_file(
        tmp_path, "mine", kind="fits", instrument="hst", pixel_scale=0.05, path=str(tmp_path / "star.fits"),
        file_pixel_scale=0.05,
    )  # fmt: skip
    build_kernel(settings, tmp_path / "mine.fits")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("PSF mine: FWHM 0.1") and "PSF mine: warning: a second peak of 30%" in lines[1]
