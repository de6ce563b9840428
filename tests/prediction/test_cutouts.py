"""Cutouts keep light, places and noise, whatever the pixels."""

import numpy as np
import pytest

from lensvit.observations.reading import Plain
from lensvit.prediction.cutouts import Cutout, filled


def star(pixels, scale, place=(0.0, 0.0), width=0.12, flux=100.0):
    """A Gaussian star at ``place`` [arcsec], in pixels that sum the light in them."""
    fine = 9
    axis = (np.arange(pixels * fine) - (pixels * fine - 1) / 2) * scale / fine
    x, y = axis - place[0], (axis - place[1])[:, None]
    light = flux / (2 * np.pi * width**2) * np.exp(-(x**2 + y**2) / (2 * width**2)) * (scale / fine) ** 2
    return light.reshape(pixels, fine, pixels, fine).sum((1, 3))


def plain(data, scale, bad=None):
    return Plain(np.asarray(data, dtype=float), np.zeros(data.shape, bool) if bad is None else bad, scale, (0, 0), None)


def centroid(image, scale):
    axis = (np.arange(len(image)) - (len(image) - 1) / 2) * scale
    return np.array([(image * axis).sum(), (image * axis[:, None]).sum()]) / image.sum()


def test_the_same_pixels_are_the_same_image():
    data = np.random.default_rng(0).normal(size=(60, 60))
    assert np.allclose(Cutout(plain(data, 0.05), 60, 0.05).at(np.zeros(2)), data, atol=1e-6)
    assert np.allclose(Cutout(plain(data, 0.05), 40, 0.05).at(np.array([0.05, -0.1])), data[8:48, 11:51], atol=1e-6)


@pytest.mark.parametrize(("scale", "tolerance"), [(0.04, 2e-2), (0.05, 2e-2), (0.02, 1e-2), (0.025, 1e-3)])
def test_any_pixels_show_the_same_star(scale, tolerance):
    pixels, place = round(4 / scale), (0.32, -0.17)
    found = Cutout(plain(star(pixels, scale, place), scale), 60, 0.05).at(np.zeros(2))
    right = star(60, 0.05, place)
    assert found.sum() == pytest.approx(100, rel=2e-3)
    assert centroid(found, 0.05) == pytest.approx(place, abs=1e-3)
    assert np.abs(found - right).max() < tolerance * right.max()


def test_a_place_comes_to_the_middle():
    place = np.array([0.35, 0.2])
    found = Cutout(plain(star(100, 0.04, place), 0.04), 60, 0.05).at(place)
    assert centroid(found, 0.05) == pytest.approx((0, 0), abs=1e-3)


@pytest.mark.parametrize("scale", [0.02, 0.04, 0.05])
def test_the_noise_is_told(scale):
    rng, pixels = np.random.default_rng(1), round(6 / scale)
    cut = Cutout(plain(rng.normal(0, 0.01, (pixels, pixels)), scale), 100, 0.05)
    assert cut.noise == pytest.approx(0.01 * 0.05 / scale, rel=0.1)
    # interpolation between pixels averages noise by a quarter at most
    assert 0.7 * cut.noise < cut.at(np.array([0.013, 0.021])).std() < 1.1 * cut.noise


def test_light_and_noise_go_on_outside():
    axis = np.arange(40) - 19.5
    galaxy = (1 + np.hypot(axis, axis[:, None])) ** -2.5
    data = galaxy + np.random.default_rng(2).normal(0, 1e-6, galaxy.shape)
    found = Cutout(plain(data, 0.05), 80, 0.05).at(np.zeros(2))
    far = np.arange(80) - 39.5
    right = (1 + np.hypot(far, far[:, None])) ** -2.5
    outside = np.maximum(np.abs(far), np.abs(far)[:, None]) > 20
    assert np.abs(found[outside] - right[outside]).max() < 0.5 * galaxy[0, 20]
    assert found[outside].std() > 0 and np.allclose(found[20:60, 20:60], data, atol=1e-6)


def test_pixels_that_do_not_count_are_filled_from_their_neighbours():
    x = np.arange(30.0)
    data, bad = 3 + 0.1 * x + 0.05 * x[:, None], np.zeros((30, 30), bool)
    bad[10:13, 5:8] = bad[0, :] = True
    broken = np.where(bad, 1e6, data)
    assert np.abs(filled(broken, bad) - data)[bad].max() < 0.2
    assert np.array_equal(filled(broken, bad)[~bad], data[~bad])
    assert filled(data, np.zeros_like(bad)) is data
