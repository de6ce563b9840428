"""The PSF stage: from settings to a file that keeps the kernel's contract."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.io import fits

from lensvit.cli import main
from lensvit.errors import LensvitError
from lensvit.psf import kernel
from lensvit.psf.build import build_kernel

NAMES = ["hst_a", "hst_b", "hst_c", "keck_a", "keck_b", "keck_c"]


@pytest.mark.parametrize("name", NAMES)
def test_contract_of_the_kernel(paper_psfs, paper_settings, name):
    psf = kernel.read_kernel(paper_psfs[name])
    pixels = paper_settings[name]["pixels"]
    assert psf.native.shape == (pixels, pixels) and psf.supersampled.shape == (5 * pixels, 5 * pixels)
    assert psf.native.dtype == psf.supersampled.dtype == np.float64
    for array in (psf.native, psf.supersampled):
        assert np.isfinite(array).all() and array.min() >= 0
        assert array.sum() == pytest.approx(1, abs=1e-12)
        assert not array[[0, -1]].any() and not array[:, [0, -1]].any()
        middle = len(array) // 2
        assert np.hypot(*(np.array(np.unravel_index(array.argmax(), array.shape)) - middle)) <= 1
    assert psf.native.argmax() == psf.native.size // 2
    assert np.abs(kernel.centroid(psf.native)).max() < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_fine_pixels_sum_to_the_native_kernel(paper_psfs, name):
    psf = kernel.read_kernel(paper_psfs[name])
    n = len(psf.native)
    np.testing.assert_allclose(psf.supersampled.reshape(n, 5, n, 5).sum((1, 3)), psf.native, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_taper_leaves_no_step(paper_psfs, name):
    native = kernel.read_kernel(paper_psfs[name]).native
    middle = len(native) // 2
    assert 0 < native[middle, 1] < 0.05 * native[middle, middle // 2]


def test_header(paper_psfs):
    with fits.open(paper_psfs["keck_b"]) as units:
        primary, fine = units[0].header, units["SUPERSAMPLED"].header
    assert (primary["PIXSCALE"], primary["OVERSAMP"], primary["KIND"]) == (0.02, 5, "keck_ao")
    assert (fine["PIXSCALE"], fine["OVERSAMP"]) == (pytest.approx(0.004), 5)
    assert primary["SETTING residual_nm"] == 280.0 and primary["SETTING jitter_mas"] == "[14.0, 11.0]"
    assert primary["CREATOR"] == "lensvit 0.1.0"  # in every version, as a release's hashes need
    assert 0 < primary["FWHM"] < 0.1
    assert "DATE" not in primary and "DATE" not in fine


def test_same_settings_same_bytes(paper_psfs, paper_settings, settings_file, tmp_path):
    for name in ("hst_b", "keck_b"):
        build_kernel(settings_file(tmp_path, name, **paper_settings[name]), tmp_path / "again.fits")
        assert (tmp_path / "again.fits").read_bytes() == paper_psfs[name].read_bytes()


@pytest.mark.parametrize(
    ("name", "scale", "pixels"), [("hst_a", 0.1, 51), ("keck_b", 0.06, 101), ("keck_b", 0.01, 301)]
)
def test_other_samplings(paper_settings, settings_file, tmp_path, name, scale, pixels):
    """The light within a radius does not depend on the sampling, but for the pixel's own blur."""
    changed = {**paper_settings[name], "pixel_scale": scale, "pixels": pixels}
    build_kernel(settings_file(tmp_path, name, **changed), tmp_path / "a.fits")
    psf = kernel.read_kernel(tmp_path / "a.fits")
    assert psf.native.shape == (pixels, pixels) and psf.pixel_scale == scale
    reference = {"hst_a": 0.948, "keck_b": 0.909}[name]
    assert kernel.encircled_energy(psf.native, scale, 0.5) == pytest.approx(reference, abs=0.025)


def test_users_file(settings_file, stars, tmp_path):
    fits.writeto(tmp_path / "star.fits", stars(51, 2.0))
    settings = settings_file(
        tmp_path, "mine", kind="fits", instrument="hst", pixel_scale=0.05, path=str(tmp_path / "star.fits"),
        extension=0, file_pixel_scale=0.05,
    )  # fmt: skip
    build_kernel(settings, tmp_path / "mine.fits")
    psf = kernel.read_kernel(tmp_path / "mine.fits")
    assert psf.supersampled is None and psf.native.shape == (51, 51)
    header = fits.getheader(tmp_path / "mine.fits")
    assert header["OVERSAMP"] == 1 and header["SOURCE"] == "star.fits"
    assert str(tmp_path) not in header.tostring()


def test_refusal_leaves_no_file_and_one_line(settings_file, stars, tmp_path, capsys):
    fits.writeto(tmp_path / "star.fits", stars(50, 2.0))
    settings = settings_file(
        tmp_path, "mine", kind="fits", instrument="hst", pixel_scale=0.05, path=str(tmp_path / "star.fits"),
        file_pixel_scale=0.05,
    )  # fmt: skip
    assert main(["psf", "--settings", str(settings), "--output", str(tmp_path / "out" / "mine.fits")]) == 1
    message = capsys.readouterr().err
    assert message.startswith("lensvit psf: PSF ") and message.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_unknown_kind(settings_file, tmp_path):
    said = r"mine\.yaml: Input tag 'gauss' found using 'kind' .*: 'hst_acs', 'keck_ao', 'fits'"
    with pytest.raises(LensvitError, match=said):
        build_kernel(settings_file(tmp_path, "mine", kind="gauss", pixel_scale=0.05), tmp_path / "a.fits")


def test_the_summary_says_what_the_paper_prints(paper_psfs):
    summary = json.loads(paper_psfs["keck_b"].with_suffix(".json").read_text())
    psf = kernel.read_kernel(paper_psfs["keck_b"])
    assert (summary["pixels"], summary["pixel_scale"]) == (201, 0.02)
    assert summary["fwhm"] == pytest.approx(0.056, rel=0.1) and summary["strehl"] == pytest.approx(0.31, rel=0.1)
    assert summary["enclosed"] == pytest.approx(
        [kernel.encircled_energy(psf.native, 0.02, radius) for radius in summary["radii"]]
    )
    assert json.loads(paper_psfs["hst_a"].with_suffix(".json").read_text())["strehl"] is None
