"""Maps of chi^2, and its means in parts of an image."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from lensvit.observations.chi_square import ChiSquare, chi_square, chi_square_maps
from lensvit.observations.observation import Observation, ObservedImage
from lensvit.observations.result import LensResult
from tests.observations.simulated import KERNEL, PIXELS, SCALE, settled


@pytest.fixture(scope="module")
def result() -> LensResult:
    return settled()


def changed(result: LensResult, data: np.ndarray, variance: np.ndarray | None = None) -> ChiSquare:
    """The means for other data that are held against the same model."""
    image = result.fit.observation.images[0]
    image = dataclasses.replace(image, data=data, variance=image.variance if variance is None else variance)
    return chi_square(dataclasses.replace(result.fit, observation=Observation("changed", (image,))))


def test_maps_of_noise_are_about_one_and_of_a_blob_are_not() -> None:
    random, sigma = np.random.default_rng(1), np.linspace(0.5, 2, 80)[:, None] * np.ones(80)
    model = np.full((80, 80), 3.0)
    data = model + sigma * random.standard_normal((80, 80))
    variance = sigma**2
    variance[10:14, 60:64], data[10:14, 60:64] = np.inf, 1e9  # a cosmic ray that does not count
    data[40, 20] += 10 * sigma[40, 20]
    maps = chi_square_maps(ObservedImage(data, variance, SCALE, KERNEL), model)
    assert np.isnan(maps.pixels[10:14, 60:64]).all() and np.isnan(maps.pixels).sum() == 16
    assert (np.isnan(maps.smoothed) == np.isnan(maps.pixels)).all()
    np.testing.assert_allclose(maps.pixels[5, 5], (data[5, 5] - 3) ** 2 / variance[5, 5])
    far = np.hypot(*(np.indices((80, 80)) - np.array([40, 20])[:, None, None])) > 12
    assert np.nanmean(maps.smoothed[far]) == pytest.approx(1, abs=0.05)
    assert np.nanstd(maps.smoothed[far]) == pytest.approx(0.2, abs=0.05)
    assert maps.smoothed[40, 20] > 3 and maps.smoothed[9, 59] < 2


def test_an_image_that_is_explained_has_one_everywhere(result: LensResult) -> None:
    found = result.chi_square
    for name, value in found._asdict().items():
        assert value == pytest.approx(1, abs=0.25), name
    assert found.whole == pytest.approx(1, abs=0.06)


def test_what_is_not_explained_shows_where_it_is(result: LensResult) -> None:
    image, images = result.fit.observation.images[0], result.images
    before, sigma = result.chi_square, np.sqrt(image.variance)

    def spoiled(x: float, y: float) -> ChiSquare:
        data = image.data.copy()
        row, column = (round(at / SCALE + (PIXELS - 1) / 2) for at in (y, x))
        data[row, column] += 50 * sigma[row, column] * np.sign(data[row, column] + 1e-9)
        return changed(result, data)

    at = {"quasar": images.loc[0, ["x", "y"]], "galaxies": (0.03, -0.02), "rest": (-1.8, -1.8)}
    for name, place in at.items():
        after = spoiled(*place)
        worse = {key for key, value in after._asdict().items() if value > getattr(before, key) + 0.1}
        assert worse == {name, "whole"}, name


def test_pixels_that_do_not_count_do_not(result: LensResult) -> None:
    image = result.fit.observation.images[0]
    data, variance = image.data.copy(), image.variance.copy()
    data[:8], variance[:8] = 1e6, np.inf
    found = changed(result, data, variance)
    assert found.whole == pytest.approx(1, abs=0.06) and found.rest == pytest.approx(1, abs=0.1)
    assert np.isnan(changed(result, data, np.full_like(variance, np.inf)).quasar)


def test_both_are_written(result: LensResult, tmp_path: Path) -> None:
    result.write(tmp_path)
    summary = json.loads((tmp_path / "quad.json").read_text())
    assert summary["chi_square"] == pytest.approx(result.chi_square._asdict())
    with fits.open(tmp_path / "quad_model.fits") as units:
        assert [unit.name for unit in units[1:6]] == ["MODEL", "RESIDUAL", "CHI2", "CHI2_SMOOTHED", "LENS"]
        np.testing.assert_allclose(units["CHI2"].data, units["RESIDUAL"].data ** 2, rtol=1e-10)
        assert units["CHI2"].data.mean() == pytest.approx(result.chi_square.whole)
        assert units["CHI2_SMOOTHED"].data.shape == (PIXELS, PIXELS)
