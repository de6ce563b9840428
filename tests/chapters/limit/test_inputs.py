"""What is left of the information after a resize."""

import numpy as np
import pytest
import torch

from lensvit.chapters.limit import inputs
from lensvit.chapters.limit.inputs import along_axis, input_information
from lensvit.errors import LensvitError
from lensvit.learning.preprocessing import resize

SIDE = 24


def images(seed=0, side=SIDE):
    random = torch.Generator().manual_seed(seed)
    jacobian = torch.randn(2, 5, side, side, generator=random)
    return jacobian, torch.rand(2, side, side, generator=random) * 10 + 0.1


def native(jacobian, variance):
    flat = jacobian.double().flatten(2)
    return flat @ (flat / variance.double().flatten(1)[:, None]).mT


@pytest.mark.parametrize(
    ("size", "how"), [(12, "graded"), (8, "area"), (10, "area"), (7, "bilinear"), (19, "bilinear")]
)
def test_it_is_that_of_the_whole_covariance(size, how):
    jacobian, variance = images()
    unit = torch.eye(SIDE**2, dtype=torch.float64).reshape(-1, SIDE, SIDE)
    matrix = resize(unit, size, how).flatten(1).T  # by the code that makes the inputs, pixel by pixel
    found = input_information(jacobian, variance, size, how)
    for row in range(2):
        derivatives = matrix @ jacobian[row].double().flatten(1).T
        covariance = matrix @ torch.diag(variance[row].double().flatten()) @ matrix.T
        expected = derivatives.T @ torch.linalg.solve(covariance, derivatives)
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("size", "how"), [(12, "graded"), (10, "area"), (19, "bilinear")])
def test_it_is_never_more_than_that_of_the_image(size, how):
    jacobian, variance = images(1)
    lost = native(jacobian, variance) - input_information(jacobian, variance, size, how)
    assert (torch.linalg.eigvalsh(lost) > 0).all()


@pytest.mark.parametrize(("size", "how"), [(SIDE, "area"), (SIDE, "bilinear"), (30, "bilinear")])
def test_an_input_that_has_all_pixels_loses_nothing(size, how):
    assert input_information(*images(), size, how) is None


@pytest.mark.parametrize("how", ["bilinear", "area", "graded"])
@pytest.mark.parametrize("size", [6, 12, 18])
def test_a_resize_is_the_same_along_both_axes(size, how):
    image = torch.as_tensor(np.random.default_rng(2).random((3, SIDE, SIDE)))
    matrix = along_axis(SIDE, size, how)
    torch.testing.assert_close(matrix @ image @ matrix.T, resize(image, size, how))


def test_equations_that_do_not_end_are_said(monkeypatch):
    monkeypatch.setattr(inputs, "MOST_STEPS", 2)
    with pytest.raises(LensvitError, match="its pixels share too much of the image: choose another image_size"):
        input_information(*images(), 19, "bilinear")


@pytest.mark.parametrize(("size", "how"), [(12, "graded"), (8, "area"), (19, "bilinear")])
def test_pixels_without_data_tell_nothing_and_add_no_noise(size, how):
    """They are 0 in the image: its input knows that they are no light of the lens."""
    jacobian, variance = images(3)
    exposure_map = np.ones((SIDE, SIDE))
    exposure_map[:, :9] = 0
    found = input_information(*inputs.counted(jacobian, variance, exposure_map), size, how)
    unit = torch.eye(SIDE**2, dtype=torch.float64).reshape(-1, SIDE, SIDE)
    seen = torch.as_tensor(exposure_map).flatten() > 0
    matrix = resize(unit, size, how).flatten(1).T[:, seen]
    kept = matrix.abs().sum(1) > 0
    for row in range(2):
        derivatives = matrix[kept] @ jacobian[row].double().flatten(1).T[seen]
        covariance = matrix[kept] @ torch.diag(variance[row].double().flatten()[seen]) @ matrix[kept].T
        expected = derivatives.T @ torch.linalg.pinv(covariance, hermitian=True, rtol=1e-10) @ derivatives
        torch.testing.assert_close(found[row], expected, rtol=0.02, atol=1e-3)
    assert inputs.counted(jacobian, variance, None) == (jacobian, variance)
