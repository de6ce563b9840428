"""Blocks that grow outwards."""

import numpy as np
import pytest
import torch

from lensvit.chapters.data.attention import on_sky
from lensvit.learning import graded_resize
from lensvit.learning.settings import graded_fits

CAMERAS = [(120, 60), (300, 60), (120, 24), (60, 30)]


@pytest.mark.parametrize(("pixels", "size"), CAMERAS)
def test_blocks_are_whole_pixels_symmetric_and_grow_outwards(pixels, size):
    edges = graded_resize.edges(pixels, size)
    widths = np.diff(edges)
    assert edges[0] == 0 and edges[-1] == pixels and len(widths) == size
    assert (widths >= 1).all() and (widths == widths[::-1]).all()
    mean = pixels / size
    assert abs(widths[size // 2 : size // 2 + 4].mean() - mean / 2) < 0.35 * mean
    assert abs(widths[:4].mean() - 1.5 * mean) < 0.35 * mean


@pytest.mark.parametrize(("pixels", "size"), CAMERAS)
def test_the_mean_over_each_block_and_its_variance(pixels, size):
    image = torch.randn(2, pixels, pixels, dtype=torch.float64)
    edges = graded_resize.edges(pixels, size)
    means, variances = graded_resize.resize(image, size), graded_resize.mean_variance(image**2, size)
    for row, column in ((0, 0), (3, size // 2), (size // 2, size - 1)):
        block = image[:, edges[row] : edges[row + 1], edges[column] : edges[column + 1]].flatten(1)
        assert means[:, row, column].numpy() == pytest.approx(block.mean(1).numpy())
        assert variances[:, row, column].numpy() == pytest.approx((block**2).sum(1).numpy() / block.shape[1] ** 2)


@pytest.mark.parametrize("turn", [lambda x: x.transpose(-1, -2), lambda x: x.flip(-1, -2)])
def test_a_turned_image_gives_the_turned_input(turn):
    image = torch.randn(1, 300, 300)
    assert torch.allclose(graded_resize.resize(turn(image), 60), turn(graded_resize.resize(image, 60)), atol=1e-6)


@pytest.mark.parametrize(
    ("pixels", "size", "possible"), [(120, 60, True), (120, 62, False), (120, 59, False), (121, 20, False)]
)
def test_what_fits(pixels, size, possible):
    assert graded_fits(pixels, size) == possible


def test_a_map_over_patches_lies_where_its_patches_are():
    edges = (graded_resize.graded(np.linspace(-1, 1, 7)) + 1) / 2
    assert edges[2] == pytest.approx(0.5 - (1 / 3 + 1 / 9) / 4)
    shown = on_sky(np.arange(36.0).reshape(6, 6))
    middles = ((edges[:-1] + edges[1:]) / 2 * len(shown)).astype(int)
    assert (shown[np.ix_(middles, middles)] == np.arange(36).reshape(6, 6)).all()
    assert np.sum(shown[0] == 0) > 1.7 * np.sum(shown[0] == 2)
