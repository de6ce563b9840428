"""Point sources by splines: lenstronomy's images at degree 1, pixel integrals at degree 3, and their derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import erf

from lensvit.lensing.shifted_kernel import ShiftedKernel
from lensvit.lensing.spline_points import SplinePoints
from tests.lensing.scenes import gaussian

PLACE = torch.tensor([[17.37, 22.81], [3.2, 38.9]], dtype=torch.float64)  # the second one is cut by the border


@pytest.mark.parametrize(("side", "supersampling"), [(21, 1), (105, 5), (45, 3)])
def test_degree_1_is_the_bilinear_shift_of_the_kernel(side: int, supersampling: int) -> None:
    kernel = gaussian(side, 1.3 * supersampling)
    kernel *= 1 + 0.2 * np.arange(side) / side  # not symmetric
    found = SplinePoints(kernel, supersampling, 40, 1).images(PLACE, slopes=False)[:, 0].sum(0)
    expected = np.zeros((40, 40))
    ShiftedKernel(kernel, supersampling).add(expected, PLACE[:, 1].numpy(), PLACE[:, 0].numpy(), np.ones(2))
    np.testing.assert_allclose(found, expected, atol=1e-14)


def _integral(sigma: float, at: np.ndarray, width: float) -> np.ndarray:
    """Light of a normal profile in pixels of a width around places."""
    return (erf((at + width / 2) / sigma / np.sqrt(2)) - erf((at - width / 2) / sigma / np.sqrt(2))) / 2


@pytest.mark.parametrize(("supersampling", "error"), [(1, 0.01), (2, 4e-4), (4, 2e-5), (5, 5e-6)])
def test_degree_3_integrates_the_psf_over_pixels(supersampling: int, error: float) -> None:
    sigma, side = 1.1, 41 * supersampling + (supersampling % 2 == 0)
    along = _integral(sigma, (np.arange(side) - side // 2) / supersampling, 1 / supersampling)
    points = SplinePoints(np.outer(along, along), supersampling, 40, 3)
    found = points.images(PLACE[:1], slopes=False)[0, 0].numpy()
    x, y = (_integral(sigma, np.arange(40) - float(place), 1.0) for place in PLACE[0])
    assert np.abs(found - np.outer(y, x)).max() < error * found.max()


@pytest.mark.parametrize("supersampling", [1, 4])
def test_derivatives_are_those_of_the_images(supersampling: int) -> None:
    points = SplinePoints(gaussian(20 * supersampling + 1, 1.2 * supersampling), supersampling, 30, 3)
    step, place = 1e-4, PLACE[:1] / 2
    value = points.images(place)[0]
    (right, left), (up, down) = (
        [points.images(place + sign * step * torch.eye(2, dtype=torch.float64)[axis])[0] for sign in (1, -1)]
        for axis in (0, 1)
    )
    by_x, by_y = (right - left) / (2 * step), (up - down) / (2 * step)
    for found, expected in zip(value[1:], (by_x[0], by_y[0], by_x[1], by_x[2], by_y[2]), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-8, rtol=0)
