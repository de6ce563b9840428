"""What a kernel is said to be, and the warnings of what a star's image cannot be."""

import re

import numpy as np
import pytest
from astropy.io import fits

from lensvit.psf import kernel, plausible
from lensvit.psf.build import build_kernel

HST = {"TELESCOP": ("HST", ""), "FILTER": ("F814W", "")}


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
    for sigma in (0.8, 1.0, 2.0):
        assert said(stars(51, sigma)) == []


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
    assert "8.0 pixels wide" in warning and "bin it" in warning


def test_a_kernel_narrower_than_diffraction(stars):
    (warning,) = said(stars(51, 1.0), pixel_scale=0.02)
    assert "narrower" in warning and "0.072" in warning
    assert said(stars(51, 1.0), {}, pixel_scale=0.02) == []


@pytest.mark.parametrize(
    "card", [{"EXTENSN": ("VAR", "")}, {"EXTENSN": ("err", "")}, {"UNIT": ("(electron/s)**2", "")}]
)
def test_a_map_of_variance(stars, card):
    assert any("variance" in warning for warning in said(stars(51, 1.0), card))


def test_kernels_of_the_telescopes_give_no_warning(paper_psfs):
    for path in paper_psfs.values():
        with fits.open(path) as units:
            cards = {key: (units[0].header[key], "") for key in HST}
        assert plausible.diffraction_limit(cards) is not None
        assert list(plausible.warnings(kernel.read_kernel(path), cards)) == []


def test_the_stage_prints_both(tmp_path, stars, settings_file, capsys):
    fits.PrimaryHDU(stars(51, 1.0) + 0.3 * stars(51, 1.0, 10, 0)).writeto(tmp_path / "star.fits")
    settings = settings_file(
        tmp_path, "mine", kind="fits", instrument="hst", pixel_scale=0.05, path=str(tmp_path / "star.fits"),
        file_pixel_scale=0.05,
    )  # fmt: skip
    build_kernel(settings, tmp_path / "mine.fits")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("PSF mine: FWHM 0.1") and "PSF mine: warning: a second peak of 30%" in lines[1]
