"""The population behind posteriors, whatever prior they were drawn with."""

import numpy as np
import pytest

from lensvit.statistics.population import population

PRIOR_MEAN, PRIOR_SD = 2.0, 0.15


def posterior(truth, error, rng, draws=1000):
    """Draws of a Gaussian measurement under the prior, and the log density of the prior at each."""
    measured = truth + error * rng.standard_normal()
    precision = error**-2 + PRIOR_SD**-2
    mean = (measured * error**-2 + PRIOR_MEAN * PRIOR_SD**-2) / precision
    samples = mean + rng.standard_normal(draws) / np.sqrt(precision)
    return samples, -0.5 * ((samples - PRIOR_MEAN) / PRIOR_SD) ** 2 - np.log(PRIOR_SD * np.sqrt(2 * np.pi))


def simulated(mean, scatter, errors, seed):
    rng = np.random.default_rng(seed)
    return zip(*(posterior(mean + scatter * rng.standard_normal(), error, rng) for error in errors), strict=True)


@pytest.mark.parametrize(("mean", "scatter"), [(2.0, 0.15), (1.85, 0.08), (2.15, 0.2)])
def test_the_prior_of_the_posteriors_is_divided_out(mean, scatter):
    errors = np.random.default_rng(5).uniform(0.03, 0.12, 25)
    found = [population(*simulated(mean, scatter, errors, seed)) for seed in range(6)]
    z = np.array([(one.mean - mean) / one.mean_error for one in found])
    assert abs(z.mean()) < 3 / np.sqrt(6) and 0.4 < np.sqrt((z**2).mean()) < 1.7
    inside = [one.scatter_low < scatter < one.scatter_high for one in found]
    assert sum(inside) >= 2
    assert np.median([one.scatter for one in found]) == pytest.approx(scatter, rel=0.35)
    assert all(one.is_resolved for one in found)


def test_the_same_measurements_under_two_priors_give_one_population():
    rng = np.random.default_rng(3)
    truths, errors = 1.9 + 0.1 * rng.standard_normal(30), np.full(30, 0.08)
    measured = truths + errors * rng.standard_normal(30)
    results = []
    for mean, sd in ((2.0, 0.15), (1.8, 0.3)):
        precision = errors**-2 + sd**-2
        middle = (measured * errors**-2 + mean * sd**-2) / precision
        samples = [one + rng.standard_normal(2000) / np.sqrt(p) for one, p in zip(middle, precision, strict=True)]
        results.append(population(samples, [-0.5 * ((one - mean) / sd) ** 2 for one in samples]))
    assert results[0].mean == pytest.approx(results[1].mean, abs=0.5 * results[0].mean_error)
    assert results[0].scatter == pytest.approx(results[1].scatter, rel=0.15)


def test_draws_that_do_not_reach_the_population_are_told():
    """Where the prior says nearly all, a few draws at its far end carry all of the weight."""
    rng = np.random.default_rng(0)
    narrow = [1.5 + 0.05 * rng.standard_normal(400) for _ in range(4)]
    assert population(narrow, [np.zeros(400)] * 4).is_resolved
    steep = [150 * one for one in narrow]  # log density of a prior that falls to the left
    assert not population(narrow, steep).is_resolved


def test_two_are_no_population():
    with pytest.raises(ValueError, match="three are the least"):
        population([np.zeros(5)] * 2, [np.zeros(5)] * 2)
