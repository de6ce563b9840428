"""The test of an image notices a single quasar image that is wrong."""

import torch

from lensvit.inference.goodness import chi_square


def test_chi_square_sees_one_quasar_image():
    generator = torch.Generator().manual_seed(3)
    residuals = torch.randn(200, 60, 60, generator=generator)
    mean, worst = chi_square(residuals)
    assert (worst < 5).all() and abs(float(mean.mean()) - 1) < 0.01
    residuals[:, 33:36, 21:24] += 5.0
    assert (chi_square(residuals)[1] > 5).all()
    assert (chi_square(residuals)[0] < 1.2).all()
