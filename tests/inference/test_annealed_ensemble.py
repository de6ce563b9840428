"""Chains have the posterior's mean and covariance wherever they start, and say when they are too short."""

import emcee
import numpy as np
import pytest

from lensvit.inference.annealed_ensemble import LENGTH, Chain, Ensemble, learnt
from lensvit.inference.settings import EnsembleSettings

SIZE = 6
SETTINGS = EnsembleSettings.model_construct(  # fewer walkers than a config may ask for
    walkers=16, particles=48, annealing_steps=5, tuning_steps=50, max_steps=4000
)
RNG = np.random.default_rng(8)
ROOT = RNG.normal(size=(SIZE, SIZE)) * np.geomspace(1e-3, 1e-2, SIZE)[:, None]
COVARIANCE, CENTRE = ROOT @ ROOT.T, np.linspace(-0.5, 0.5, SIZE)
PRECISION = np.linalg.inv(COVARIANCE)
POSTERIOR = np.linalg.inv(PRECISION + np.eye(SIZE))


def target(values):
    """A Gaussian likelihood, a hundred times narrower than its standard normal prior."""
    offset = values - CENTRE
    return -np.square(values).sum(1) / 2, -np.einsum("ni,ij,nj->n", offset, PRECISION, offset) / 2


def sampled(settings=SETTINGS, seed=1):
    ensemble = Ensemble(target, settings, seed)
    walkers, moves = ensemble.tuned(ensemble.annealed(np.random.default_rng(seed).normal(size=(400, SIZE))))
    return ensemble, ensemble.chain(walkers, moves)


@pytest.fixture(scope="module")
def chains():
    return [sampled(seed=seed) for seed in (1, 2)]


def test_a_gaussian_posterior_is_recovered(chains):
    expected, scale = POSTERIOR @ PRECISION @ CENTRE, np.sqrt(np.diag(POSTERIOR))
    for _, chain in chains:
        assert chain.long_enough and len(chain.values) >= LENGTH * chain.tau > LENGTH
        values = chain.values.reshape(-1, SIZE)
        error = scale * np.sqrt(chain.tau / len(values))  # of a mean
        assert (np.abs(values.mean(0) - expected) < 5 * error).all()
        ratio = np.cov(values, rowvar=False) / np.outer(scale, scale)
        np.testing.assert_allclose(ratio, POSTERIOR / np.outer(scale, scale), atol=0.12)


def test_the_same_seed_gives_the_same_chain(chains):
    ensemble, chain = sampled(seed=1)
    np.testing.assert_array_equal(chain.values, chains[0][1].values)
    assert ensemble.calls == chains[0][0].calls > chain.values[..., 0].size
    assert not np.array_equal(chains[0][1].values[0], chains[1][1].values[0])


def test_a_chain_that_is_cut_off_is_not_long_enough():
    _, chain = sampled(SETTINGS.model_copy(update={"max_steps": 100}))
    assert len(chain.values) == 100 and not chain.long_enough


def test_two_modes_share_the_walkers_as_they_share_the_probability():
    def modes(values):
        near = np.stack([-np.square((values - centre) / 0.02).sum(1) / 2 for centre in (-0.5, 0.5)])
        return -np.square(values).sum(1) / 2, np.logaddexp(near[0] + np.log(3), near[1])

    settings = SETTINGS.model_copy(update={"particles": 400, "walkers": 400})
    walkers = Ensemble(modes, settings, 4).annealed(np.random.default_rng(4).normal(size=(1600, 2)))
    assert 0.6 < (walkers.values[:, 0] < 0).mean() < 0.9


def test_what_has_no_likelihood_anywhere_leads_nowhere():
    ensemble = Ensemble(lambda values: (np.zeros(len(values)), np.full(len(values), np.nan)), SETTINGS, 1)
    assert ensemble.annealed(np.ones((50, 3))) is None and ensemble.calls == 50


def test_learnt_proposals_leave_their_own_gaussian_as_it_is():
    passed = np.random.default_rng(5).multivariate_normal(np.arange(3), np.diag([1, 4, 9]), 5000)
    mean, covariance = passed.mean(0), np.cov(passed, rowvar=False)

    def density(values):
        return -np.einsum("ni,ij,nj->n", values - mean, np.linalg.inv(covariance), values - mean) / 2

    sampler = emcee.EnsembleSampler(8, 3, density, moves=learnt(passed, 0.5), vectorize=True)
    sampler.run_mcmc(passed[:8], 400)
    assert (sampler.acceptance_fraction > 0.99).all()
    np.testing.assert_allclose(sampler.get_chain(flat=True).std(0), [1, 2, 3], rtol=0.12)


def test_learnt_proposals_are_right_where_they_are_wider_than_the_target():
    passed = np.random.default_rng(5).multivariate_normal(np.arange(3), np.diag([1, 4, 9]), 5000)

    def density(values):
        return -(np.square(values - np.arange(3)) / [1, 4, 9]).sum(1) / 2

    sampler = emcee.EnsembleSampler(16, 3, density, moves=learnt(passed, 0.0, 1.5), vectorize=True)
    sampler.run_mcmc(passed[:16], 1500)
    assert 0.4 < sampler.acceptance_fraction.mean() < 0.8
    np.testing.assert_allclose(sampler.get_chain(flat=True, discard=100).std(0), [1, 2, 3], rtol=0.05)


def test_particles_get_fewer_as_the_annealing_goes_on():
    counts = []

    def counting(values):
        counts.append(len(values))
        return target(values)

    settings = SETTINGS.model_copy(update={"particles": 256, "annealing_steps": 1})
    ensemble = Ensemble(counting, settings, 2)
    assert [ensemble._count(inverse) for inverse in (0.0, 1e-6, 1e-3, 1.0)] == [256, 256, 256, 85]
    assert 85 < ensemble._count(0.1) < 130 < ensemble._count(0.01) < 256
    walkers = ensemble.annealed(np.random.default_rng(2).normal(size=(2560, SIZE)))
    assert len(walkers.values) == SETTINGS.walkers and counts[0] == 2560 and sum(counts[-2:]) == 85  # two halves
    for particles, least in ((20, 20), (48, 32)):
        ensemble = Ensemble(target, SETTINGS.model_copy(update={"particles": particles}), 2)
        assert ensemble._count(1.0) == least


def test_walkers_start_from_samples_without_an_annealing(chains):
    samples = chains[0][1].thinned(400)
    ensemble = Ensemble(target, SETTINGS, 7)
    walkers = ensemble.sampled(samples)
    assert ensemble.calls == SETTINGS.walkers and len(np.unique(walkers.values, axis=0)) == SETTINGS.walkers
    assert all(place in samples for place in walkers.values)
    walkers, moves = ensemble.tuned(walkers, samples)
    assert ensemble.calls == SETTINGS.walkers * (1 + SETTINGS.tuning_steps) and ensemble.temperatures == 0
    chain = ensemble.chain(walkers, moves)
    assert chain.long_enough and chain.tau < 1.5 * chains[0][1].tau
    ratio = chain.values.reshape(-1, SIZE).std(0) / np.sqrt(np.diag(POSTERIOR))
    np.testing.assert_allclose(ratio, 1, atol=0.1)


def test_wrong_samples_cost_time_and_nothing_else(chains):
    samples = chains[0][1].thinned(400)
    off = samples.mean(0) + 0.5 * (samples - samples.mean(0)) + np.sqrt(np.diag(POSTERIOR))  # narrow, and beside
    ensemble = Ensemble(target, SETTINGS, 8)
    chain = ensemble.chain(*ensemble.tuned(ensemble.sampled(off), off))
    assert chain.long_enough
    values, scale = chain.values.reshape(-1, SIZE), np.sqrt(np.diag(POSTERIOR))
    np.testing.assert_allclose((values.mean(0) - POSTERIOR @ PRECISION @ CENTRE) / scale, 0, atol=0.15)
    np.testing.assert_allclose(values.std(0) / scale, 1, atol=0.15)


def test_too_few_samples_are_no_start():
    ensemble = Ensemble(target, SETTINGS, 7)
    assert ensemble.sampled(np.repeat(np.eye(SIZE), 9, axis=0)) is None and ensemble.calls == 0
    nowhere = Ensemble(lambda values: (np.zeros(len(values)), np.full(len(values), np.nan)), SETTINGS, 1)
    assert nowhere.sampled(np.random.default_rng(1).normal(size=(50, 3))) is None


def test_thinned_samples_are_of_the_whole_chain():
    chain = Chain(np.arange(40.0).reshape(10, 4, 1), np.arange(40.0).reshape(10, 4), 1.0, True)
    assert chain.thinned(5)[:, 0].tolist() == [0, 10, 20, 29, 39] and chain.most_likely().tolist() == [39]


def test_weights_choose_half_of_the_particles():
    ensemble = Ensemble(target, SETTINGS, 3)
    likelihood = np.random.default_rng(1).normal(scale=1e4, size=SETTINGS.particles)
    weights, inverse = ensemble._next(likelihood, 0.0)
    assert 0 < inverse < 1e-3 and 1 / np.square(weights).sum() == pytest.approx(SETTINGS.particles / 2, rel=1e-3)
    assert ensemble._next(1e-9 * likelihood, 0.5)[1] == 1
    assert set(ensemble._drawn_again(np.array([0.0, 1.0, 0.0]), 7)) == {1}
