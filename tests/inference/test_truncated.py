"""Posteriors that end at a limit of a uniform prior, against integrals that are done by brute force."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from lensvit.inference.coordinates import COORDINATES, start_from
from lensvit.inference.likelihood import Equations, covariance
from lensvit.inference.posterior import Posterior
from lensvit.inference.prior import LogPrior
from lensvit.inference.search import STILL, climb
from lensvit.inference.truncated import interval_moments, posterior_moments, truncated
from lensvit.lensing.lens_equation import solve
from lensvit.lensing.noise import noise
from lensvit.lensing.renderer import BatchedRenderer, system_tensors
from lensvit.lensing.system import System
from lensvit.parameters import NAMES, PARAMETERS, normal, priors, uniform
from tests.builders import SCENE, SPACE, parameter_tensor

pytestmark = pytest.mark.usefixtures("one_thread")

GAMMA, SHEAR = COORDINATES.index("gamma"), [COORDINATES.index(name) for name in ("gamma1", "gamma2")]
NOWHERE = np.inf


@pytest.mark.parametrize("mean", [0.3, 1.0, 2.5, 7.0])
@pytest.mark.parametrize("limits", [(-1.0, 1.0), (-NOWHERE, 1.0), (0.9, NOWHERE), (-0.5, -0.4)])
def test_moments_of_an_interval_are_those_of_a_truncated_normal(mean, limits):
    sd = 0.7
    known = stats.truncnorm(*(np.subtract(limits, mean) / sd), loc=mean, scale=sd)
    place, variance = interval_moments(mean, sd**2, *limits)
    np.testing.assert_allclose([place, variance], [known.mean(), known.var()], rtol=1e-5)


def test_a_steep_posterior_on_a_limit_is_an_exponential():
    place, variance = interval_moments(5e4, 1.0, -NOWHERE, 2.0)  # the gradient on the limit is 5e4 - 2
    rate = 5e4 - 2
    np.testing.assert_allclose([2 - place, np.sqrt(variance)], 1 / rate, rtol=1e-7)


def _by_sums(mean, spread, low, high):
    """Moments of a Gaussian of two parameters between limits, by a sum over a grid."""
    x, y = (np.linspace(a, b, 1500) for a, b in zip(low, high, strict=True))
    places = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
    weight = np.exp(-np.einsum("ni,ij,nj->n", places - mean, np.linalg.inv(spread), places - mean) / 2)
    center = np.average(places, axis=0, weights=weight)
    return center, np.cov(places.T, aweights=weight, ddof=0)


def test_one_limit_and_what_is_correlated_with_it():
    mean, spread = np.array([0.4, -0.2]), np.array([[1.0, 0.6], [0.6, 0.8]])
    low, high = np.array([-NOWHERE, -NOWHERE]), np.array([0.0, NOWHERE])
    found = truncated(mean, spread, low, high)
    expected = _by_sums(mean, spread, (-6, -6), (0, 6))
    for value, true in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, true, rtol=5e-3)


def test_limits_on_two_axes():
    mean, spread = np.array([0.4, -0.2]), np.array([[1.0, 0.6], [0.6, 0.8]])
    low, high = np.array([-NOWHERE, -0.5]), np.array([0.0, 0.7])
    center, cut = truncated(mean, spread, low, high)
    expected, width = _by_sums(mean, spread, (-6, -0.5), (0, 0.7))
    np.testing.assert_allclose(center, expected, atol=0.02 * np.sqrt(np.diag(width)).min())
    np.testing.assert_allclose(cut, width, atol=0.03 * width.diagonal().min())


def test_far_limits_change_nothing():
    assert truncated(np.zeros(2), np.eye(2), np.full(2, -20.0), np.full(2, 20.0)) is None


def test_errors_are_as_large_as_the_sigmas_of_one_sided_posteriors():
    """Three parameters, of which two have narrow priors, measured with correlated errors as wide as these."""
    rng, cases = np.random.default_rng(0), 1000
    spread = np.array([[1.0, 0.5, 0.3], [0.5, 1.0, -0.2], [0.3, -0.2, 1.0]])
    low, high = np.array([-1.0, -0.5, -NOWHERE]), np.array([1.0, 0.5, NOWHERE])
    truth = np.column_stack([rng.uniform(-1, 1, cases), rng.uniform(-0.5, 0.5, cases), np.zeros(cases)])
    data = truth + rng.multivariate_normal(np.zeros(3), spread, cases)
    moments = [truncated(mean, spread, low, high) for mean in data]
    z = np.array([(mean - true) / np.sqrt(np.diag(cut)) for (mean, cut), true in zip(moments, truth, strict=True)])
    np.testing.assert_allclose(z.mean(0), 0, atol=4 / np.sqrt(cases))
    np.testing.assert_allclose((z**2).mean(0), 1, atol=4 * np.sqrt(2 / cases))


# ---------------------------------------------------------------- limits, as a search meets them


def _held(prior, best, index, rate):
    """Moments of posteriors (B, 14) at coordinates, whose gradient along one parameter is ``rate`` and large."""
    axis = prior.bounds(best).axes[:, index]
    unit = torch.eye(14, dtype=torch.float64).expand(len(best), -1, -1)
    mean, spread, cut = posterior_moments(prior, best, Equations(rate * axis, unit))
    assert cut.all()
    return ((mean - best) * axis).sum(1), (axis[:, None] @ spread @ axis[..., None])[:, 0, 0].sqrt()


@pytest.mark.parametrize("limits", [(1.45, 2.84), (1.20, 2.26), (1.0, 2.0), (0.02, 0.3)])
@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("inside", [0.0, 1e-15, 5e-8])
def test_where_a_search_ends_on_a_limit_the_posterior_is_an_exponential(limits, side, inside):
    """The limit is met within rounding only, or the search has ended a little before it."""
    prior = LogPrior(priors({}) | {"theta_E": uniform(*limits)})
    best = torch.zeros(1, 14, dtype=torch.float64)
    best[:, NAMES.index("theta_E")] = 100.0 * side
    best = prior.clamped(best)
    best[:, NAMES.index("theta_E")] -= side * inside
    offset, sigma = _held(prior, best, NAMES.index("theta_E"), 5000.0 * side)
    assert offset.item() == pytest.approx(-side / 5000, abs=1e-7)
    assert sigma.item() == pytest.approx(1 / 5000, rel=1e-3)


@pytest.mark.parametrize("inside", [0.0, 0.03, 0.3])
@pytest.mark.parametrize("beyond", [0.5, 2.0])
def test_where_in_front_of_the_limit_a_search_has_ended_does_not_matter(inside, beyond):
    """The parabola has its maximum ``beyond`` the limit; the search is so many standard deviations from the limit."""
    prior, index, sd = LogPrior(priors({}) | {"theta_E": uniform(1.0, 2.0)}), NAMES.index("theta_E"), 0.01
    best = torch.zeros(1, 14, dtype=torch.float64)
    best[:, index] = 2 - inside * sd
    information = torch.diag(torch.ones(14, dtype=torch.float64))[None].clone()
    information[:, index, index] = sd**-2
    gradient = torch.zeros(1, 14, dtype=torch.float64)
    gradient[:, index] = (inside + beyond) / sd
    mean, spread, cut = posterior_moments(prior, best, Equations(gradient, information))
    known = stats.truncnorm(-np.inf, -beyond, loc=2 + beyond * sd, scale=sd)
    assert cut.all()
    assert mean[0, index].item() == pytest.approx(known.mean(), abs=1e-6 * sd)
    assert spread[0, index, index].sqrt().item() == pytest.approx(known.std(), rel=1e-5)


def test_where_a_search_ends_on_the_limit_of_a_shear_of_any_angle():
    prior = LogPrior(priors({}) | {"gamma_ext": uniform(0.0, 0.05)})
    angle = torch.as_tensor(np.random.default_rng(3).uniform(0, np.pi, 200))
    best = torch.zeros(len(angle), 14, dtype=torch.float64)
    best[:, SHEAR[0]], best[:, SHEAR[1]] = torch.cos(2 * angle), torch.sin(2 * angle)
    best = prior.clamped(best)
    assert 0 < (prior.bounds(best).high[:, SHEAR[0]] == 0).sum() < len(angle)  # rounding
    offset, sigma = _held(prior, best, SHEAR[0], 5000.0)
    np.testing.assert_allclose(offset, -1 / 5000, rtol=1e-3)
    np.testing.assert_allclose(sigma, 1 / 5000, rtol=1e-3)


def test_a_kink_in_what_is_free_moves_no_value():
    """The gradient does not vanish there, and says nothing of where the mean is."""
    prior = LogPrior(priors({}) | {"theta_E": uniform(1.0, 2.0)})
    best = prior.clamped(torch.full((1, 14), 3.0, dtype=torch.float64))
    gradient = torch.zeros(1, 14, dtype=torch.float64)
    gradient[0, 0], gradient[0, GAMMA] = 5000.0, 1.5
    mean = posterior_moments(prior, best, Equations(gradient, torch.eye(14, dtype=torch.float64)[None])).mean
    expected = best.clone()
    expected[0, 0] -= 1 / 5000
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-7)


# ---------------------------------------------------------------- lenses


def _posterior(space_camera, images, prior, sigma=1.0):
    """The posterior of systems of the camera in space, given images without noise."""
    renderer = space_camera[1]
    noisy = np.stack([noise(image, sigma, SCENE.exposure, seed) for seed, image in enumerate(images)])
    sigmas = torch.full((len(images),), sigma)
    return Posterior(renderer, torch.as_tensor(noisy), sigmas, SCENE.exposure, prior, 4)


def _moments(posterior, fit):
    return posterior_moments(posterior.prior, fit.coordinates, Equations(fit.gradient, fit.information))[:2]


def test_only_a_near_limit_cuts_a_posterior_off():
    prior = LogPrior(priors({}) | {"theta_E": uniform(1.0, 21.0)})
    best = start_from(torch.tensor([[row.prior.mean or 0.0 for row in PARAMETERS]] * 4))
    best[:, NAMES.index("theta_E")] = torch.tensor([11.0, 3.0, 20.5, torch.nan])
    flat = Equations(torch.zeros(4, 14, dtype=torch.float64), torch.eye(14, dtype=torch.float64).expand(4, -1, -1))
    mean, spread, cut = posterior_moments(prior, best, flat)
    assert cut.tolist() == [False, True, True, False]
    assert ((mean != best).any(1)[:3] == cut[:3]).all()
    torch.testing.assert_close(spread[0], torch.eye(14, dtype=torch.float64))
    assert spread[3].isnan().all()


@pytest.mark.parametrize("beyond", [-1.0, 0.0, 1.5, 5.0])
def test_a_slope_near_the_edge_of_its_prior(space_camera, beyond):
    """All but the slope is known; the prior ends ``beyond`` standard deviations below the largest likelihood."""
    _, _, systems, images = space_camera
    truth = parameter_tensor(systems[:1])
    known = {name: normal(value, 0.0) for name, value in zip(NAMES, truth[0].tolist(), strict=True)}
    row = torch.zeros(1, dtype=torch.long)
    start = start_from(truth)
    free = _posterior(space_camera, images[:1], LogPrior(known | {"gamma": uniform(1.2, 2.8)}))
    fit = climb(free, start, row, 60)
    best, sigma = float(fit.coordinates[0, GAMMA]), float(fit.information[0, GAMMA, GAMMA] ** -0.5)
    edge = best - beyond * sigma
    posterior = _posterior(space_camera, images[:1], LogPrior(known | {"gamma": uniform(1.2, edge)}))
    fit = climb(posterior, posterior.prior.clamped(start), row, 60)
    assert fit.at_maximum().all()
    assert (float(fit.coordinates[0, GAMMA]) == pytest.approx(edge, abs=1e-9)) == (beyond >= 0)
    mean, spread = _moments(posterior, fit)

    grid = torch.linspace(max(1.2, edge - 7 * sigma), edge, 141, dtype=torch.float64)
    places = fit.coordinates.repeat(len(grid), 1)
    places[:, GAMMA] = grid
    density = posterior.log_density(places, row.expand(len(grid)))
    weight, grid = torch.exp(density - density.max()).numpy(), grid.numpy()
    weight[[0, -1]] /= 2
    center = np.average(grid, weights=weight)
    width = np.sqrt(np.average((grid - center) ** 2, weights=weight))
    assert float(mean[0, GAMMA]) == pytest.approx(center, abs=0.05 * width)
    assert float(spread[0, GAMMA, GAMMA]) ** 0.5 == pytest.approx(width, rel=0.05)


def test_fits_of_all_parameters_where_a_prior_is_narrow(space_camera):
    """Errors are as large as the sigmas, and no fit fails, where the prior of the slope is as wide as its error."""
    _, renderer, systems, _ = space_camera
    middle, count = systems[0].parameters["gamma"], 24
    wide = _posterior(space_camera, renderer.render(systems[:1]), LogPrior(priors({})))
    at = wide.models(start_from(parameter_tensor(systems[:1])))
    half = float(
        covariance(wide.equations(at, torch.zeros(1, dtype=torch.long)).information)[0][0, GAMMA, GAMMA].sqrt()
    )
    rng = np.random.default_rng(5)
    drawn = [systems[0].parameters | {"gamma": middle + rng.uniform(-half, half)} for _ in range(count)]
    lenses = [System(parameters, solve(parameters).brightest(4)) for parameters in drawn]
    prior = LogPrior(priors({}) | {"gamma": uniform(middle - half, middle + half)})
    posterior = _posterior(space_camera, renderer.render(lenses), prior)
    truth = start_from(system_tensors(lenses)[0])
    fit = climb(posterior, truth, torch.arange(count), 60)
    assert fit.at_maximum().all()
    on_edge = (fit.coordinates[:, GAMMA] - middle).abs() > half * (1 - 1e-9)
    assert 3 < int(on_edge.sum()) < count
    mean, spread = _moments(posterior, fit)
    sigma = spread.diagonal(dim1=1, dim2=2).sqrt()
    assert (sigma[:, GAMMA] < half / np.sqrt(3) * 1.01).all()  # a uniform distribution is the widest
    z = ((mean - truth) / sigma)[:, :8]
    np.testing.assert_allclose((z**2).mean(), 1, atol=0.35)
    assert abs(float((z[:, GAMMA] ** 2).mean()) - 1) < 4 * np.sqrt(2 / count)


@pytest.mark.parametrize(
    "changes", [{"gamma_ext": uniform(0.0, 0.01)}, {"gamma_ext": uniform(0.02, 0.05), "psi_ext": uniform(0.2, 0.6)}]
)
def test_a_shear_on_the_edge_of_its_prior(space_camera, changes):
    """The gradient along what is free vanishes, and no place nearby is more probable."""
    psf, _, systems, images = space_camera
    rows = torch.arange(len(systems))
    posterior = _posterior(space_camera, images, LogPrior(priors({}) | changes))
    fit = climb(posterior, posterior.prior.clamped(start_from(parameter_tensor(systems))), rows, 60)
    assert fit.at_maximum().all() and fit.density.isfinite().all()
    size = fit.coordinates[:, SHEAR].norm(dim=1)
    assert ((size - changes["gamma_ext"].high).abs() < 1e-9).any() or ((size - 0.02).abs() < 1e-9).any()
    mean, spread = _moments(posterior, fit)
    sigma = spread.diagonal(dim1=1, dim2=2).sqrt()
    assert mean.isfinite().all() and (sigma > 0).all()
    # in float64, as rounding of a float32 density is as large as what a search leaves
    renderer = BatchedRenderer(SPACE.pixels, SPACE.pixel_scale, psf.native, SCENE, dtype=torch.float64)
    exact = Posterior(renderer, posterior.data, posterior.sigma_bkg, SCENE.exposure, posterior.prior, 4)
    reached = exact.log_density(fit.coordinates, rows)
    for index, share in itertools.product(SHEAR, (-0.3, -0.03, -0.003, 0.003, 0.03, 0.3)):
        step = share * sigma[:, index, None] * torch.eye(14, dtype=torch.float64)[index]
        there = exact.log_density(posterior.prior.clamped(fit.coordinates + step), rows)
        assert (there <= reached + STILL / 2).all()
