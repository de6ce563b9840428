"""Reading of users' images: what is found, and one line for each thing that is wrong."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from lensvit.errors import LensvitError
from lensvit.observations.reading import Given, edge_noise, prepared_psf, read_image
from tests.observations import simulated
from tests.observations.simulated import BACKGROUND, EXPOSURE, KERNEL, PIXELS, SCALE

FLAT = BACKGROUND * np.random.default_rng(3).standard_normal((PIXELS, PIXELS)) + 0.02


def _wcs(scale: float = SCALE, angle: float = 0.0, flip: bool = True, stretch: float = 1.0) -> fits.Header:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix = (150.0, 2.0), (10, 10)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wcs.wcs.cd = turn @ np.diag([-1.0 if flip else 1.0, stretch]) * scale / 3600
    return wcs.to_header()


def test_a_file_that_says_all_is_read(tmp_path: Path) -> None:
    image, notes = read_image(simulated.write(tmp_path / "lens.fits", FLAT))
    np.testing.assert_array_equal(image.data, FLAT)
    assert image.pixel_scale == SCALE and image.kernel.sum() == pytest.approx(1)
    assert image.exposure_time == EXPOSURE and image.sky is None
    np.testing.assert_allclose(image.variance, BACKGROUND**2 + FLAT.clip(0) / EXPOSURE)
    assert any("PIXSCALE" in note for note in notes)


def test_counts_are_divided_by_the_exposure_time(tmp_path: Path) -> None:
    image, notes = read_image(simulated.write(tmp_path / "lens.fits", FLAT * EXPOSURE, BUNIT="ELECTRONS"))
    np.testing.assert_allclose(image.data, FLAT)
    assert any("divided by the exposure time" in note for note in notes)


@pytest.mark.parametrize(
    "unit", ["electrons/s", "ELECTRONS/S", "e-/s", "counts s-1", "electron s^-1", "cps", "counts/sec"]
)
def test_units_per_second_are_known(tmp_path: Path, unit: str) -> None:
    image, _ = read_image(simulated.write(tmp_path / "lens.fits", FLAT, BUNIT=unit))
    np.testing.assert_array_equal(image.data, FLAT)


@pytest.mark.parametrize("angle", [0.0, 0.6])
@pytest.mark.parametrize("flip", [True, False])
def test_a_wcs_gives_the_pixel_scale_whatever_its_rotation(tmp_path: Path, angle: float, flip: bool) -> None:
    path = simulated.write(tmp_path / "lens.fits", FLAT, PIXSCALE=None, **dict(_wcs(angle=angle, flip=flip)))
    assert read_image(path)[0].pixel_scale == pytest.approx(SCALE, rel=1e-6)


@pytest.mark.parametrize("angle", [0.0, 0.6, -2.0])
@pytest.mark.parametrize("flip", [True, False])
def test_a_wcs_says_where_the_middle_is_and_where_the_north_is(tmp_path: Path, angle: float, flip: bool) -> None:
    header = _wcs(angle=angle, flip=flip)
    wide = np.concatenate([FLAT, FLAT], 1)
    wide[30:34, 100:104] += 3  # so that the right half is cut out
    sky = read_image(simulated.write(tmp_path / "lens.fits", wide, PIXSCALE=None, **dict(header)))[0].sky
    middle = (PIXELS - 1) / 2
    place = WCS(header).pixel_to_world(PIXELS + middle, middle)
    assert sky is not None and sky[:2] == pytest.approx((place.ra.deg, place.dec.deg), abs=1e-9)
    # a picture of the sky has east to the left of north, where angles grow counter-clockwise
    assert sky.mirrored is not flip
    assert sky.north == pytest.approx(np.degrees(angle if flip else -angle), abs=0.01)


def test_extensions_have_noise_mask_and_variance_of_the_psf(tmp_path: Path) -> None:
    path = simulated.write(tmp_path / "lens.fits", FLAT)
    sigma, mask = np.full_like(FLAT, 0.02), np.ones_like(FLAT)
    mask[3, 4] = 0
    with fits.open(path, mode="append") as units:
        units.append(fits.ImageHDU(sigma, name="SIGMA"))
        units.append(fits.ImageHDU(mask, name="MASK"))
        units.append(fits.ImageHDU(KERNEL**2 * 0.01, name="PSFVAR"))
    image, _ = read_image(path)
    assert np.isinf(image.variance[3, 4]) and np.isinf(image.variance).sum() == 1
    assert image.variance[0, 0] == pytest.approx(0.02**2)
    assert image.psf_variance is not None and image.psf_variance[16, 16] == pytest.approx(0.01 * KERNEL[15, 15] ** 2)


def test_hdf5_of_dolphin_is_read_with_its_map_of_exposure_times(tmp_path: Path) -> None:
    times = np.linspace(200, 900, FLAT.size).reshape(FLAT.shape)
    with h5py.File(tmp_path / "image.h5", "w") as file:
        file["image_data"], file["exposure_time"], file["background_rms"] = FLAT, times, BACKGROUND
        file["transform_pix2angle"] = np.array([[-SCALE, 1e-6], [1e-6, SCALE]])
        file["ra_at_xy_0"] = 1.0
    with h5py.File(tmp_path / "psf.h5", "w") as file:
        file["kernel_point_source"], file["psf_variance_map"] = KERNEL, KERNEL**2
    image, _ = read_image(tmp_path / "image.h5", Given(psf=tmp_path / "psf.h5"))
    np.testing.assert_allclose(image.variance, BACKGROUND**2 + FLAT.clip(0) / times)
    assert image.exposure_time is None  # it differs from pixel to pixel
    assert image.psf_variance is not None and image.pixel_scale == pytest.approx(SCALE, rel=1e-4)


def test_a_noise_that_is_quoted_too_low_is_raised_to_the_scatter_at_the_edge(tmp_path: Path) -> None:
    image, notes = read_image(simulated.write(tmp_path / "lens.fits", FLAT, BKGRMS=BACKGROUND / 3))
    assert np.sqrt(image.variance.min()) == pytest.approx(BACKGROUND, rel=0.1)
    assert any("scatter" in note for note in notes)


def test_noise_at_the_edge_is_that_of_white_noise_on_a_gradient() -> None:
    slope = np.linspace(0, 3, PIXELS)[:, None]
    assert edge_noise(FLAT + slope * 0.01, np.zeros_like(FLAT, dtype=bool)) == pytest.approx(BACKGROUND, rel=0.1)


def test_an_image_that_is_not_square_is_cut_around_its_light(tmp_path: Path) -> None:
    wide = np.concatenate([FLAT, FLAT], 1)
    wide[30:34, 100:104] += 3
    image, notes = read_image(simulated.write(tmp_path / "lens.fits", wide))
    assert image.data.shape == FLAT.shape and image.corner == (PIXELS, 0)
    assert image.data.max() > 2 and any("square" in note for note in notes)


@pytest.mark.parametrize("row", [15, 16])
def test_a_psf_of_even_side_gets_its_peak_into_the_middle(row: int) -> None:
    notes = list[str]()
    even = np.zeros((32, 32))
    even[row - 10 : row + 11, row - 10 : row + 11] = KERNEL[5:26, 5:26]
    odd = prepared_psf(even, 1, "psf", notes)
    assert odd.shape == (33, 33) and np.unravel_index(odd.argmax(), odd.shape) == (16, 16) and notes


def test_a_psf_off_its_middle_is_moved_there() -> None:
    from scipy import ndimage

    notes = list[str]()
    moved = prepared_psf(ndimage.shift(KERNEL, (0.4, -0.5), order=3).clip(0), 1, "psf", notes)
    assert notes and np.abs(moved - prepared_psf(KERNEL, 1, "psf", [])).max() < 0.05 * KERNEL.max()


def _nan_columns() -> np.ndarray:
    data = FLAT.copy()
    data[:, 10:30] = np.nan
    return data


BAD = {
    "no pixel scale": (FLAT, {"PIXSCALE": None}, {}, "--pixel-scale"),
    "scales that differ": (FLAT, {}, {"pixel_scale": 0.05}, "correct one of them"),
    "scale in degrees": (FLAT, {"PIXSCALE": 5.0}, {}, "is it in arcsec"),
    "no exposure": (FLAT, {"EXPTIME": None}, {}, "--exposure-time"),
    "negative exposure": (FLAT, {"EXPTIME": -5.0}, {}, "is positive"),
    "exposure of 0": (FLAT, {"EXPTIME": 0.0}, {}, "is positive"),
    "given negative exposure": (FLAT, {}, {"exposure_time": -1.0}, "is positive"),
    "strange unit": (FLAT, {"BUNIT": "MJy/sr"}, {}, "MJy/sr"),
    "counts without exposure": (FLAT, {"BUNIT": "counts", "EXPTIME": None}, {}, "--exposure-time"),
    "unknown unit option": (FLAT, {}, {"unit": "nanomaggies"}, "not known"),
    "zero noise": (FLAT, {"BKGRMS": 0.0}, {}, "above 0"),
    "NaN columns": (_nan_columns(), {}, {}, "cut out the lens"),
    "constant": (np.ones((PIXELS, PIXELS)), {}, {}, "same value"),
    "too small": (FLAT[:20, :20], {}, {}, "24 pixels"),
    "too large": (np.zeros((400, 400)), {}, {}, "--size"),
    "size above the image": (FLAT, {}, {"size": 200}, "not possible"),
    "cube": (np.zeros((3, 40, 40)), {}, {}, "one plane"),
    "pixels that are not square": (FLAT, {"PIXSCALE": None, **dict(_wcs(stretch=1.3))}, {}, "square pixels"),
    "wcs against pixscale": (FLAT, dict(_wcs(scale=0.1)), {}, "the WCS 0.1"),
    "no oversampling": (FLAT, {}, {"psf_oversampling": 0}, "1 or more"),
    "no such mask": (FLAT, {}, {"mask": Path("nowhere.fits")}, "no such file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_is_one_line(kind: str, tmp_path: Path) -> None:
    data, header, options, words = BAD[kind]
    path = simulated.write(tmp_path / "lens.fits", data, **header)
    with pytest.raises(LensvitError, match=words) as error:
        read_image(path, Given(**options))
    assert "\n" not in str(error.value) and "lens.fits" in str(error.value) + str(options)


PSFS = {
    "not square": (KERNEL[:, :-2], "square around the star"),
    "tiny": (KERNEL[12:19, 12:19], "9 are the least"),
    "NaN": (np.where(KERNEL > 0.1, np.nan, KERNEL), "NaN or infinite"),
    "dark": (-KERNEL, "above 0"),
    "negative": (KERNEL - 0.001, "negative pixels"),
    "off": (np.roll(KERNEL, 6, 0), "far from its middle"),
}


@pytest.mark.parametrize("kind", PSFS)
def test_a_psf_that_is_none_is_one_line(kind: str, tmp_path: Path) -> None:
    kernel, words = PSFS[kind]
    with pytest.raises(LensvitError, match=words):
        read_image(simulated.write(tmp_path / "lens.fits", FLAT, kernel))


def test_missing_and_broken_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(LensvitError, match="no such file"):
        read_image(tmp_path / "none.fits")
    with pytest.raises(LensvitError, match="--psf"):
        read_image(simulated.write(tmp_path / "lens.fits", FLAT, None))
    (tmp_path / "text.fits").write_text("no image")
    with pytest.raises(LensvitError, match="cannot be read as FITS or HDF5"):
        read_image(tmp_path / "text.fits")
    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "empty.fits")
    with pytest.raises(LensvitError, match="no extension holds an image"):
        read_image(tmp_path / "empty.fits")
    sigma = np.zeros_like(FLAT)
    fits.PrimaryHDU(sigma).writeto(tmp_path / "sigma.fits")
    with pytest.raises(LensvitError, match="noise of 0"):
        read_image(simulated.write(tmp_path / "lens.fits", FLAT), Given(noise=tmp_path / "sigma.fits"))
    fits.PrimaryHDU(sigma[:10]).writeto(tmp_path / "short.fits")
    with pytest.raises(LensvitError, match="must agree"):
        read_image(simulated.write(tmp_path / "lens.fits", FLAT), Given(noise=tmp_path / "short.fits"))
    psf = simulated.write(tmp_path / "psf.fits", KERNEL, None, PIXSCALE=SCALE / 4)
    with pytest.raises(LensvitError, match="--psf-oversampling 4"):
        read_image(simulated.write(tmp_path / "lens.fits", FLAT), Given(psf=psf))
