"""A search leaves what cannot be imaged where it is."""

import numpy as np
import pytest
import torch
from scipy import optimize

from lensvit.inference.coordinates import COORDINATES, start_from
from lensvit.inference.goodness import explained
from lensvit.inference.prior import Bounds
from lensvit.inference.search import best_steps, climb
from tests.builders import noisy_posterior, parameter_tensor

pytestmark = pytest.mark.usefixtures("one_thread")


def test_what_cannot_be_imaged_has_no_density(space_camera):
    density = noisy_posterior(space_camera)
    wrong = start_from(parameter_tensor(space_camera[2]))[:3]
    wrong[0, COORDINATES.index("R_sersic")] = -1.0
    wrong[1, COORDINATES.index("gamma")] = 5.0
    found = density.log_density(wrong, torch.arange(3))
    assert found.isinf().tolist() == [True, True, False]
    fit = climb(density, wrong[:2], torch.arange(2), 5)
    assert not fit.at_maximum().any() and torch.equal(fit.coordinates, wrong[:2])
    assert not explained(density, wrong[:2], torch.arange(2))[1].any()


def test_steps_within_bounds_lead_to_the_maximum_of_the_parabola():
    rng = np.random.default_rng(1)
    count, size = 60, 6
    root = rng.normal(size=(count, size, size)) * 10 ** rng.uniform(-2, 2, (count, 1, size))
    information, gradient = root.transpose(0, 2, 1) @ root, rng.normal(size=(count, size))
    gradient *= np.sqrt(np.diagonal(information, axis1=1, axis2=2))
    low = np.where(rng.random((count, size)) < 0.5, -rng.exponential(size=(count, size)), -np.inf)
    high = np.where(rng.random((count, size)) < 0.5, rng.exponential(size=(count, size)), np.inf)
    low[:, 0] = 0.0  # on a limit from the beginning
    axes = np.eye(size)[None].repeat(count, 0)
    bounds = Bounds(*map(torch.tensor, (axes, low, high)))
    steps, distance = best_steps(torch.tensor(gradient), torch.tensor(information), bounds)
    for row in range(count):
        factor = np.linalg.cholesky(information[row]).T  # |factor d - f|^2 is least where the parabola is largest
        expected = optimize.lsq_linear(
            factor, np.linalg.solve(factor.T, gradient[row]), (low[row], high[row]), method="bvls", tol=1e-14
        ).x
        np.testing.assert_allclose(steps[row].numpy(), expected, atol=1e-6 * np.abs(expected).max())
        gain = 2 * gradient[row] @ expected - expected @ information[row] @ expected
        np.testing.assert_allclose(distance[row].item(), gain, rtol=1e-6)
