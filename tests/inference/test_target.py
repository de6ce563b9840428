"""The posterior of a lens as importance sampling takes it, against the one that chains walk in."""

import copy

import numpy as np
import pytest
import torch

from lensvit.inference.chart import Chart
from lensvit.inference.coordinates import COORDINATES, start_from
from lensvit.inference.importance import sample
from lensvit.inference.likelihood import covariance
from lensvit.inference.posterior import Posterior
from lensvit.inference.prior import LogPrior
from lensvit.inference.search import climb
from lensvit.inference.settings import ImportanceSettings
from lensvit.inference.target import LensTarget, SampledLens
from lensvit.lensing.lens_equation import solve
from lensvit.lensing.system import System
from lensvit.parameters import priors, uniform
from tests.builders import noisy_posterior, parameter_tensor

pytestmark = pytest.mark.usefixtures("one_thread")

QUAD, DOUBLE = 1, 5  # systems of four images and of two
NOISY = 30.0  # so that the posterior of the double is curved


def fitted(space_camera, system, sigma):
    """A system's posterior, and the maximum and Laplace's covariance there."""
    known, renderer, systems, images = space_camera
    one = slice(system, system + 1)
    posterior = noisy_posterior((known, renderer, systems[one], images[one]), sigma)
    fit = climb(posterior, start_from(parameter_tensor(systems[one])), torch.zeros(1, dtype=torch.long), 60)
    assert fit.at_maximum().all()
    return posterior, fit.coordinates, covariance(fit.information)[0].numpy()[0]


@pytest.fixture(scope="module")
def lens(space_camera):
    return fitted(space_camera, QUAD, 1.0)


@pytest.fixture
def target(lens):
    return SampledLens(*lens[:2])


@pytest.fixture
def chart(lens, target):
    return target.chart(target.values(lens[1])[0], lens[2])


def test_densities_are_those_in_which_chains_walk(lens, target, chart):
    """The derivatives are of one image each, and a wrong place costs nothing."""
    random = np.random.default_rng(3)
    places = chart.places(1.5 * random.standard_normal((40, 14)))
    expected = np.add(*LensTarget(lens[0])(places))
    np.testing.assert_allclose(target.log_density(places), expected, rtol=0, atol=5e-3)  # of single precision
    assert np.isfinite(expected).all() and np.ptp(expected) > 5 and target.calls == 40


def test_densities_near_a_maximum_are_those_elsewhere_where_pixels_have_no_data(lens):
    posterior, best, spread = lens
    renderer = copy.copy(posterior.renderer)
    renderer.exposure_map = np.ones((renderer.pixels, renderer.pixels))
    renderer.exposure_map[:, ::3], renderer.exposure_map[:, 1::3] = 0, 0.5
    mapped = Posterior(renderer, posterior.data, posterior.sigma_bkg, posterior.exposure, posterior.prior, 4)
    target = SampledLens(mapped, best)
    places = target.chart(target.values(best)[0], spread).places(np.random.default_rng(3).standard_normal((5, 14)))
    expected = np.add(*LensTarget(mapped)(places))
    np.testing.assert_allclose(target.log_density(places), expected, rtol=0, atol=5e-3)
    spoiled = posterior.data.clone()
    spoiled[..., ::3] = 1e4
    other = Posterior(renderer, spoiled, posterior.sigma_bkg, posterior.exposure, posterior.prior, 4)
    np.testing.assert_allclose(np.add(*LensTarget(other)(places)), expected, rtol=0, atol=1e-6)


def test_what_has_no_density_is_minus_infinity_and_costs_nothing_outside_of_the_priors(lens):
    posterior, best, _ = lens
    gamma = COORDINATES.index("gamma")
    prior = LogPrior(priors({}) | {"gamma": uniform(1.0, float(best[0, gamma]) + 0.1)})
    bounded = Posterior(posterior.renderer, posterior.data, posterior.sigma_bkg, posterior.exposure, prior, 4)
    target = SampledLens(bounded, best)
    places = np.repeat(target.values(best), 4, 0)
    places[1, gamma] += 0.2  # outside
    places[2, COORDINATES.index("R_sersic")] = -1.0  # of which there is no image
    found = target.log_density(places)
    assert np.isneginf(found).tolist() == [False, True, True, False] and target.calls == 3
    assert np.isneginf(target.log_density(places[1:2])).all() and target.calls == 3


def test_in_a_chart_a_curved_posterior_is_nearer_to_a_normal_one(space_camera):
    """By Laplace's approximation alone quasar images move along curves."""
    posterior, best, spread = fitted(space_camera, DOUBLE, NOISY)
    target = SampledLens(posterior, best)
    chart = target.chart(target.values(best)[0], spread)
    standard = np.random.default_rng(5).standard_normal((200, 14))
    bent, straight = (
        np.std(target.log_density(one.places(standard)) + np.square(standard).sum(1) / 2)
        for one in (chart, chart.straight(chart.mean, spread))
    )
    assert chart.bends.any() and bent < 3 and bent < 0.6 * straight


def test_features_follow_the_images_of_the_maximum(lens, target, chart):
    features = target.features(chart.mean)
    here, known = features(chart.mean[None])
    images = here.shape[1] // 3
    assert known.all() and images in (2, 4)
    places = chart.places(0.3 * np.random.default_rng(1).standard_normal((20, 14)))
    found, known = features(places)
    assert known.all() and np.isfinite(found).all() and np.ptp(found, 0).min() > 0
    elsewhere = chart.mean.copy()
    elsewhere[COORDINATES.index("source_x")] += 3 * elsewhere[COORDINATES.index("theta_E")]
    assert not features(elsewhere[None])[1].any()


def test_slopes_of_features_are_their_differences(lens, target, chart):
    features, step = target.features(chart.mean), 1e-3
    places = chart.places(0.3 * np.random.default_rng(1).standard_normal((3, 14)))
    slopes, known = features.slopes(places)
    assert known.all()
    for column in range(14):
        by = step * chart.root[:, column]
        differences = (features(places + by)[0] - features(places - by)[0]) / (2 * step)
        np.testing.assert_allclose(slopes @ chart.root[:, column], differences, atol=1e-6 * np.abs(slopes).max())
    impossible = places.copy()
    impossible[0, COORDINATES.index("e1")] = 1.5
    assert features.slopes(impossible)[1].tolist() == [False, True, True]


def test_a_search_from_afar_returns_to_the_maximum(target, chart):
    away = np.random.default_rng(2).standard_normal((2, 14))
    away *= 3 / np.linalg.norm(away, axis=1, keepdims=True)
    found = target.climbed(chart.places(away))
    assert len(found) == 2 and target.calls > 2 * 15 and target.calls % 15 == 0
    for one in found:
        assert np.linalg.norm(chart.standard(one.mean[None])) < 0.1
        np.testing.assert_allclose(np.diag(one.root @ one.root.T), np.diag(chart.root @ chart.root.T), rtol=0.05)


def test_charts_are_as_wide_as_the_curvature_where_they_stand(target, chart):
    places = np.concatenate([chart.mean[None], chart.places(np.full((1, 14), 0.3))])
    found = target.local(places)
    assert len(found) == 2 and target.calls == 2 * 15
    np.testing.assert_allclose(found[0].root @ found[0].root.T, chart.root @ chart.root.T, rtol=0.1, atol=1e-7)
    np.testing.assert_array_equal(found[1].mean, places[1])
    wrong = places.copy()
    wrong[0, COORDINATES.index("gamma")] = 5.0
    assert [list(one.mean) for one in target.local(wrong)] == [list(places[1])]
    assert len(target.local(wrong[:1])) == 0


@pytest.mark.parametrize("angle", [{}, {"psi_ext": uniform(0.0, 2.0)}])
def test_a_lens_that_is_known_to_have_no_shear_is_fitted_and_sampled(space_camera, angle):
    psf, renderer, systems, _ = space_camera
    parameters = systems[QUAD].parameters | {"gamma_ext": 0.0}
    alone = [System(parameters, solve(parameters).brightest(4))]
    posterior = noisy_posterior((psf, renderer, alone, renderer.render(alone)))
    posterior.prior = LogPrior(priors({}) | angle, external_shear=False)
    fit = climb(posterior, start_from(parameter_tensor(alone)), torch.zeros(1, dtype=torch.long), 60)
    assert fit.at_maximum().all() and fit.iterations.item() < 30
    target = SampledLens(posterior, fit.coordinates)
    free = target.free
    spread = covariance(fit.information[:, free][:, :, free])[0].numpy()[0]
    assert len(free) == 12
    assert target.log_density(target.values(fit.coordinates)) == pytest.approx(fit.density.numpy(), abs=5e-3)
    chart = target.chart(target.values(fit.coordinates)[0], spread)
    found = sample(target, [chart], ImportanceSettings(effective=100, draws=100, max_calls=2000), 1)
    assert not found.reason and found.places.shape[1] == 12


def test_a_place_at_which_a_direction_is_left_open_has_no_chart(target, chart):
    information = torch.eye(14, dtype=torch.float64).repeat(3, 1, 1)
    information[1, 0, 0], information[2, 3, 3] = 0.0, -1.0
    charts = target._charts(np.stack([chart.mean] * 3), information)
    assert len(charts) == 1 and isinstance(charts[0], Chart)
