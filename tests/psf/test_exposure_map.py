"""Exposure maps of users: shares of the exposure time, in whatever unit, and what cannot be one."""

import numpy as np
import pytest
from astropy.io import fits

from lensvit.errors import LensvitError
from lensvit.psf.build import build_kernel
from lensvit.psf.exposure_map import load_exposure_map
from lensvit.psf.kernel import read_kernel


def written(path, image):
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image)]).writeto(path, overwrite=True)
    return path


def test_seconds_become_shares_and_pixels_without_data_zero(tmp_path):
    seconds = np.full((20, 20), 600.0)
    seconds[:10] = 1200.0
    seconds[0, :3] = np.nan, -1.0, 0.0
    found = load_exposure_map(written(tmp_path / "map.fits", seconds), 20)
    assert found.dtype == np.float32 and found.max() == 1
    assert (found[0, :3] == 0).all() and (found[0, 3:] == 1).all() and (found[10:] == 0.5).all()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.ones((20, 21)), "20 x 21 pixels; it must be that of the camera's images, 20 x 20"),
        (np.ones((3, 20, 20)), "3 x 20 x 20 pixels"),
        (np.pad(np.ones((20, 9)), ((0, 0), (0, 11))), "55% of the pixels have no exposure"),
        (np.full((20, 20), np.nan), "100% of the pixels have no exposure"),
    ],
)
def test_what_is_no_exposure_map_of_these_images_is_said(tmp_path, image, message):
    path = written(tmp_path / "map.fits", image)
    with pytest.raises(LensvitError, match=message) as caught:
        load_exposure_map(path, 20)
    assert str(path) in str(caught.value)


def test_files_without_an_image_are_named(tmp_path):
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    (tmp_path / "text.fits").write_text("no FITS")
    for name in ("empty.fits", "text.fits", "absent.fits"):
        with pytest.raises(LensvitError, match=name):
            load_exposure_map(tmp_path / name, 20)


def test_it_goes_with_the_kernel(settings_file, tmp_path):
    """A kernel without a map has the bytes that it always had."""
    exposure_map = np.linspace(1, 2, 400).reshape(20, 20)
    path = written(tmp_path / "map.fits", exposure_map)
    settings = {
        "kind": "hst_acs", "instrument": "hst", "pixels": 31, "spectral_index": -1.0, "despace_um": 2.0,
        "pixel_scale": 0.05,
    }  # fmt: skip
    plain, mapped = tmp_path / "plain.fits", tmp_path / "mapped.fits"
    build_kernel(settings_file(tmp_path, "hst_a", **settings), plain)
    build_kernel(settings_file(tmp_path, "hst_a", **settings, exposure_map=str(path), image_pixels=20), mapped)
    assert read_kernel(plain).exposure_map is None
    kernel = read_kernel(mapped)
    assert np.allclose(kernel.exposure_map, exposure_map / 2) and (kernel.native == read_kernel(plain).native).all()
    with fits.open(plain) as one, fits.open(mapped) as other:
        assert len(other) == len(one) + 1 and repr(one[0].header) == repr(other[0].header)
