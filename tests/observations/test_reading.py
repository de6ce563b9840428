"""Reading of users' images: what is found, and one line for each thing that is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.wcs import WCS

from lensvit.errors import LensvitError
from lensvit.observations.reading import Given, edge_noise, image_of_arrays, prepared_psf, read_image
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
    with fits.open(path, mode="append") as parts:
        parts.append(fits.ImageHDU(sigma, name="SIGMA"))
        parts.append(fits.ImageHDU(mask, name="MASK"))
        parts.append(fits.ImageHDU(KERNEL**2 * 0.01, name="PSFVAR"))
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


def test_a_lens_beside_something_brighter_is_cut_out_where_it_is_said_to_be(tmp_path: Path) -> None:
    header = _wcs()
    wide = np.concatenate([FLAT, FLAT, FLAT], 1)
    wide[30:34, 30:34] += 9  # a star
    wide[20:24, 130:134] += 1  # the lens
    path = simulated.write(tmp_path / "field.fits", wide, PIXSCALE=None, **dict(header))
    assert read_image(path, Given(size=40))[0].corner[0] < 30
    place = WCS(header).pixel_to_world(131.5, 21.5).icrs
    for said in ({"center": (131.5, 21.5)}, {"sky": [place.ra.deg, place.dec.deg]}):
        image, notes = read_image(path, Given(size=40, **said))
        assert image.corner == (112, 2) and image.data[18:22, 18:22].min() > 0.9
        assert any("from column 112 and row 2" in note for note in notes)
    edge, _ = read_image(path, Given(size=40, center=(190, 3)))  # a square that stays within the image
    assert edge.corner == (152, 0)
    array, _ = image_of_arrays(
        wide, KERNEL, pixel_scale=SCALE, exposure_time=500.0, size=40, center=np.array([131.5, 21.5])
    )
    assert array.corner == (112, 2)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"center": (5.0, 5.0)}, "--center needs --size"),
        ({"sky": (5.0, 5.0)}, "--sky needs --size"),
        ({"center": (5.0,), "size": 40}, "give two numbers, column and row"),
        ({"center": "5 5", "size": 40}, "give two numbers, column and row"),
        ({"sky": (5.0, np.nan), "size": 40}, "give two numbers, right ascension"),
        ({"center": (5.0, 5.0), "sky": (5.0, 5.0), "size": 40}, "give one of them"),
        ({"center": (5.0, 64.0), "size": 40}, "outside of the image of 64 x 64"),
        ({"sky": (150.0, 20.0), "size": 40}, "outside of the image"),
        ({"sky": (150.0, 120.0), "size": 40}, "--sky 150 120: Latitude"),
    ],
)
def test_a_place_of_the_lens_that_cannot_be_is_one_line(tmp_path: Path, said: dict[str, Any], expected: str) -> None:
    path = simulated.write(tmp_path / "lens.fits", FLAT, PIXSCALE=None, **dict(_wcs()))
    with pytest.raises(LensvitError, match=re.escape(expected)) as caught:
        read_image(path, Given(**said))
    assert "\n" not in str(caught.value)


def test_a_place_on_the_sky_needs_a_wcs(tmp_path: Path) -> None:
    with pytest.raises(LensvitError, match="needs an image with a WCS: give --center"):
        read_image(simulated.write(tmp_path / "lens.fits", FLAT), Given(size=40, sky=(10.0, 10.0)))


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


def _bright() -> np.ndarray:
    """A galaxy on the sky."""
    axis = np.arange(PIXELS) - PIXELS / 2
    return FLAT + 2 * np.exp(-np.hypot(axis, axis[:, None]) / 8)


BAD = {
    "no pixel scale": (FLAT, {"PIXSCALE": None}, {}, "--pixel-scale"),
    "scales that differ": (FLAT, {}, {"pixel_scale": 0.05}, "correct one of them"),
    "scale in mas": (FLAT, {"PIXSCALE": 60.0}, {}, "is it in arcsec"),
    "scale in degrees": (FLAT, {"PIXSCALE": SCALE / 3600}, {}, "is it in arcsec"),
    "counts without a word": (FLAT * EXPOSURE, {"BUNIT": None}, {}, "give --unit"),
    "whole numbers per second": (np.round(FLAT * EXPOSURE), {}, {}, "give --unit counts"),
    "background in counts": (FLAT, {"BKGRMS": BACKGROUND * EXPOSURE}, {}, "--background-rms"),
    "endless background": (FLAT, {}, {"background_rms": np.inf}, "not possible"),
    "negative": (-_bright(), {}, {}, "is it a negative"),
    "padded with 0": (np.pad(FLAT, 20), {}, {}, "without data"),
    "no scatter": (np.where(FLAT > 0.03, 1.5, 0.5), {"BKGRMS": None}, {}, "--background-rms"),
    "oversampling between": (FLAT, {}, {"psf_oversampling": 2.5}, "no whole number"),
    "scale that is text": (FLAT, {}, {"pixel_scale": "0.06"}, "is no number"),
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
    "on a sky": (KERNEL + 0.001, "subtract the sky"),
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


def _with(path: Path, data: np.ndarray, arrays: dict[str, tuple[np.ndarray, dict]], **header: object) -> Path:
    """Write an image with further extensions and their keywords."""
    with fits.open(simulated.write(path, data, **header), mode="append") as parts:
        for name, (array, keys) in arrays.items():
            parts.append(fits.ImageHDU(array, fits.Header(keys), name=name))
    return path


@pytest.mark.parametrize("own", [{}, {"BUNIT": "ELECTRONS"}])
def test_the_noise_of_counts_is_in_counts(tmp_path: Path, own: dict) -> None:
    sigma = np.full_like(FLAT, BACKGROUND) * EXPOSURE
    path = _with(tmp_path / "lens.fits", FLAT * EXPOSURE, {"ERR": (sigma, own)}, BUNIT="ELECTRONS")
    np.testing.assert_allclose(read_image(path)[0].variance, BACKGROUND**2)
    fits.PrimaryHDU(sigma, fits.Header(own)).writeto(tmp_path / "sigma.fits")
    path = simulated.write(tmp_path / "lens.fits", FLAT * EXPOSURE, BUNIT="ELECTRONS")
    np.testing.assert_allclose(read_image(path, Given(noise=tmp_path / "sigma.fits"))[0].variance, BACKGROUND**2)


def test_noise_with_a_unit_of_its_own_is_read_in_it(tmp_path: Path) -> None:
    sigma = np.full_like(FLAT, BACKGROUND)
    counts = _with(tmp_path / "a.fits", FLAT * EXPOSURE, {"ERR": (sigma, {"BUNIT": "e-/s"})}, BUNIT="ELECTRONS")
    rates = _with(tmp_path / "b.fits", FLAT, {"ERR": (sigma * EXPOSURE, {"BUNIT": "ELECTRONS"})})
    for path in (counts, rates):
        np.testing.assert_allclose(read_image(path)[0].variance, BACKGROUND**2)


@pytest.mark.parametrize("what", [lambda sigma: sigma**2, lambda sigma: sigma**-2, lambda sigma: 200 * sigma])
def test_what_is_no_noise_is_one_line(tmp_path: Path, what) -> None:
    path = _with(tmp_path / "lens.fits", FLAT, {"SIGMA": (what(np.full_like(FLAT, BACKGROUND)), {})})
    with pytest.raises(LensvitError, match="is it a variance, a weight or in another unit"):
        read_image(path)


def test_a_noise_that_is_somewhat_too_large_is_said(tmp_path: Path) -> None:
    _, notes = read_image(simulated.write(tmp_path / "lens.fits", FLAT, BKGRMS=6 * BACKGROUND))
    assert any("the noise is too large" in note for note in notes)


def test_an_extension_that_is_no_image_is_not_taken_for_one(tmp_path: Path) -> None:
    parts = [fits.PrimaryHDU(), fits.ImageHDU(KERNEL, name="PSF"), fits.ImageHDU(FLAT + 9, name="WHT")]
    parts += [fits.ImageHDU(FLAT, name="DRIZZLED"), fits.ImageHDU(np.ones_like(FLAT), name="CTX")]
    parts[0].header.update({"PIXSCALE": SCALE, "EXPTIME": EXPOSURE, "BUNIT": "electrons/s"})
    fits.HDUList(parts).writeto(tmp_path / "lens.fits")
    image, notes = read_image(tmp_path / "lens.fits")
    np.testing.assert_array_equal(image.data, FLAT)
    assert any("Not used of the file: CTX" in note for note in notes)
    parts += [fits.ImageHDU(FLAT, name="SCI"), fits.ImageHDU(FLAT, name="SCI")]
    fits.HDUList(parts).writeto(tmp_path / "two.fits")
    with pytest.raises(LensvitError, match="2 extensions SCI"):
        read_image(tmp_path / "two.fits")


def test_pixels_without_weight_do_not_count(tmp_path: Path) -> None:
    weight = np.ones_like(FLAT)
    weight[:, :5] = 0
    image, _ = read_image(_with(tmp_path / "lens.fits", FLAT, {"WHT": (weight, {})}))
    assert np.isinf(image.variance[:, :5]).all() and np.isfinite(image.variance[:, 5:]).all()


def test_saturated_cores_and_cores_that_do_not_count_are_said(tmp_path: Path) -> None:
    _, notes = read_image(simulated.write(tmp_path / "lens.fits", np.minimum(_bright(), 1.5)))
    assert any("saturated" in note for note in notes)
    _, notes = read_image(simulated.write(tmp_path / "lens.fits", np.where(_bright() > 1.5, np.nan, _bright())))
    assert any("by its wings alone" in note for note in notes)
    _, notes = read_image(simulated.write(tmp_path / "lens.fits", _bright()))
    assert not any("saturated" in note or "by its wings alone" in note for note in notes)


def test_a_mask_of_the_opposite_sense_is_said(tmp_path: Path) -> None:
    mask = np.zeros_like(FLAT)
    mask[:5] = 1
    with pytest.raises(LensvitError, match="is the mask 0 where a pixel counts"):
        read_image(_with(tmp_path / "lens.fits", FLAT, {"MASK": (mask, {})}))


def test_a_psf_in_the_file_has_a_pixel_scale_of_its_own(tmp_path: Path) -> None:
    path = simulated.write(tmp_path / "lens.fits", FLAT, None)
    with fits.open(path, mode="append") as parts:
        parts.append(fits.ImageHDU(KERNEL, fits.Header({"PIXSCALE": SCALE / 3}), name="PSF"))
    with pytest.raises(LensvitError, match="--psf-oversampling 3"):
        read_image(path)
    assert read_image(path, Given(psf_oversampling=3))[0].oversampling == 3


def test_numbers_in_a_header_may_be_text(tmp_path: Path) -> None:
    image, _ = read_image(simulated.write(tmp_path / "lens.fits", FLAT, EXPTIME=str(EXPOSURE), PIXSCALE=str(SCALE)))
    assert image.exposure_time == EXPOSURE and image.pixel_scale == SCALE


def test_detectors_units_are_said_to_need_a_gain(tmp_path: Path) -> None:
    assert any("gain" in note for note in read_image(simulated.write(tmp_path / "lens.fits", FLAT, BUNIT="DN/s"))[1])


def test_arrays_keep_their_masks_and_lose_no_unit() -> None:
    said = {"pixel_scale": SCALE, "exposure_time": np.array(EXPOSURE)}
    masked = np.ma.array(FLAT, mask=np.zeros_like(FLAT, dtype=bool))
    masked[3, 4] = np.ma.masked
    image, _ = image_of_arrays(masked, KERNEL, **said)
    assert np.isinf(image.variance[3, 4]) and np.isinf(image.variance).sum() == 1
    with pytest.raises(LensvitError, match="has the unit 'nJy'"):
        image_of_arrays(units.Quantity(FLAT, "nJy"), KERNEL, **said)
    with pytest.raises(LensvitError, match="give real numbers"):
        image_of_arrays(FLAT.astype(complex), KERNEL, **said)


def test_without_a_unit_the_background_tells_it(tmp_path: Path) -> None:
    _, notes = read_image(simulated.write(tmp_path / "lens.fits", FLAT, BUNIT=None))
    assert any("taken to be in counts per second" in note for note in notes)
    with pytest.raises(LensvitError, match=r"no BUNIT.*give --unit counts or counts/s, or --noise"):
        read_image(simulated.write(tmp_path / "lens.fits", FLAT, BUNIT=None, BKGRMS=None))
