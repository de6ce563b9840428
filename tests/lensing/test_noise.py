"""Noise has the variance it claims, and one realisation a seed."""

import numpy as np
import pytest
import torch
from lenstronomy.Util import image_util

from lensvit.lensing.noise import noise, variance


@pytest.mark.parametrize("level, sigma, exposure", [(0.0, 2.0, 1000.0), (5000.0, 0.04, 1000.0), (300.0, 1.0, 100.0)])
def test_mean_and_variance(level, sigma, exposure):
    image = np.full((400, 400), level, np.float32)
    draw = noise(image, sigma, exposure, seed=7) - image
    expected = sigma**2 + level / exposure
    assert abs(draw.mean()) < 4 * np.sqrt(expected / draw.size)
    assert draw.var() == pytest.approx(expected, rel=4 * np.sqrt(2 / draw.size))


def test_photon_noise_is_lenstronomys():
    image = np.linspace(-50, 5000, 160_000).reshape(400, 400)
    np.random.seed(3)
    theirs = image_util.add_poisson(image, 1000.0)
    ours = noise(image, 0.0, 1000.0, seed=3) - image
    for half in (slice(0, 200), slice(200, 400)):
        assert ours[half].var() == pytest.approx(theirs[half].var(), rel=0.03)


def test_pixels_are_independent():
    draw = noise(np.zeros((300, 300)), 1.0, 1000.0, seed=1)
    assert abs((draw[:, 1:] * draw[:, :-1]).mean()) < 4 / np.sqrt(draw.size)


def test_a_seed_is_one_realisation():
    image = np.ones((6, 5), np.float32)
    first = noise(image, 1.0, 1000.0, seed=2**63 - 1)
    assert first.dtype == np.float32 and first.shape == (6, 5)
    np.testing.assert_array_equal(first, noise(image, 1.0, 1000.0, seed=2**63 - 1))
    assert (first != noise(image, 1.0, 1000.0, seed=8)).all()


def test_variance_of_tensors_and_arrays_agree():
    image = np.array([[-4.0, 0.0], [9.0, 1e4]])
    tensor = variance(torch.as_tensor(image), torch.tensor([[0.5]]), 1000.0)
    np.testing.assert_allclose(tensor.numpy(), variance(image, 0.5, 1000.0), rtol=1e-6)
    np.testing.assert_allclose(variance(image, 0.5, 1000.0), [[0.254, 0.25], [0.259, 10.25]])


def test_less_exposure_is_more_noise_and_none_is_no_data():
    image, exposure_map = np.full((300, 300), 40.0, np.float32), np.ones((300, 300), np.float32)
    exposure_map[:100], exposure_map[200:] = 0.25, 0.0
    draw = noise(image, 2.0, 10.0, 5, exposure_map)
    whole = noise(image, 2.0, 10.0, 5)
    assert (draw[200:] == 0).all() and (draw[100:200] == whole[100:200]).all()
    np.testing.assert_allclose(draw[:100] - 40, 2 * (whole[:100] - 40), rtol=1e-4, atol=1e-4)
    # as an image of a quarter of the time: background and photons both count
    assert (draw[:100] - 40).var() == pytest.approx(4 * 2.0**2 + 40 / 2.5, rel=0.05)
