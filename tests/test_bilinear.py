"""The bilinear resize against scipy's zoom, on the CPU and by the way that GPUs take."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from lensvit import bilinear


@pytest.mark.parametrize(("pixels", "size"), [(120, 224), (300, 224), (300, 60), (100, 40), (60, 60)])
@pytest.mark.parametrize("threads", [1, 2])
def test_both_ways_are_scipys_zoom(pixels, size, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    images = torch.as_tensor(np.random.default_rng(pixels).gamma(0.5, 100.0, (3, pixels, pixels)).astype(np.float32))
    expected = np.stack([ndimage.zoom(image, size / pixels, order=1) for image in images.numpy()])
    tolerance = 3e-7 * images.max().item()
    assert np.abs(bilinear.resize(images, size).numpy() - expected).max() < tolerance
    places = bilinear.positions(pixels, size)
    assert np.abs(bilinear._gathered(images, places, places).numpy() - expected).max() < tolerance


def test_the_corners_stay_in_place():
    image = torch.arange(12.0).reshape(1, 3, 4)
    resized = bilinear.resize(image, 7)[0]
    assert resized[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [0.0, 3.0, 8.0, 11.0]
