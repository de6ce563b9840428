"""A search leaves what cannot be imaged where it is."""

import numpy as np
import pytest
import torch
from scipy import optimize

from lensvit.inference.coordinates import COORDINATES, start_from
from lensvit.inference.posterior import possible
from lensvit.inference.prior import Bounds, LogPrior
from lensvit.inference.search import best_steps, climb
from lensvit.parameters import NAMES, PARAMETERS, TABLE, priors, uniform
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
    assert not density.explained(wrong[:2], torch.arange(2))[1].any()


BOUNDED = [name for name in NAMES if name not in ("e1", "e2", "gamma_ext", "psi_ext")]  # each by itself


def _means(count):
    """Coordinates (count, 14) of the means of the priors."""
    return start_from(torch.tensor([[row.prior.mean or 0.0 for row in PARAMETERS]] * count))


@pytest.mark.parametrize("name", BOUNDED)
def test_what_is_possible_are_the_bounds_of_the_parameters(name):
    row, places = TABLE[name], _means(4)
    around = [row.low - 1e-6, row.low, row.high, row.high + 1e-6]
    places[:, NAMES.index(name)] = torch.tensor(around, dtype=torch.float64)
    assert possible(places).tolist() == [False, True, True, False]


def test_a_search_may_end_on_a_bound_which_it_meets_within_rounding():
    row, place, index = TABLE["R_sersic"], _means(1), NAMES.index("R_sersic")
    place[:, index] = 0.0
    for high in np.random.default_rng(0).uniform(0.5, 3.0, 40):
        prior = LogPrior(priors({}) | {"R_sersic": uniform(row.low, high)})
        assert possible(prior.clamped(place)).all(), high


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
