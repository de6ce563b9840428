"""The test of an image notices a single quasar image that is wrong."""

import numpy as np
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


def test_pixels_without_data_do_not_count():
    residuals, exposure_map = torch.randn(50, 60, 60, generator=torch.Generator().manual_seed(3)), np.ones((60, 60))
    exposure_map[:, 25:], exposure_map[5:9, 5:9] = 0, 0.3
    mean, worst = chi_square(residuals, exposure_map)
    torch.testing.assert_close(mean, (residuals[..., :25] ** 2).mean((1, 2)).double())
    assert (worst < 5).all() and (chi_square(residuals * (torch.as_tensor(exposure_map) > 0))[1] > 5).all()
    residuals[:, 40, 40] = 1e6
    assert torch.equal(chi_square(residuals, exposure_map)[1], worst)
