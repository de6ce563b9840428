"""Ensembles that agree are told from those that do not, and effective sizes say how far means scatter."""

import itertools

import numpy as np
import pytest

from lensvit.chapters.mcmc.thresholds import AGREE
from lensvit.inference.convergence import effective_sizes, rank_r_hat

STEPS, WALKERS, SIZE = 200, 28, 4
KEPT = 0.6  # correlation of a walker's step with the one before


def walks(seed, steps=STEPS):
    """Places (N, W, d) of independent walkers with unit normal stationary distribution, by autoregression."""
    rng = np.random.default_rng(seed)
    places = np.empty((steps, WALKERS, SIZE))
    places[0] = rng.normal(size=(WALKERS, SIZE))
    for step in range(1, steps):
        places[step] = KEPT * places[step - 1] + np.sqrt(1 - KEPT**2) * rng.normal(size=(WALKERS, SIZE))
    return places


@pytest.fixture(scope="module")
def ensembles():
    return [walks(seed) for seed in range(12)]


def test_ensembles_of_one_posterior_agree(ensembles):
    pairs = [rank_r_hat([first, second]) for first, second in itertools.pairwise(ensembles)]
    assert max(pairs) < AGREE and min(pairs) > 0.99


@pytest.mark.parametrize(
    "change",
    [
        lambda places: places + np.eye(SIZE)[2] * 0.4,  # another mean of one value
        lambda places: places * 1.4,  # another width
        lambda places: np.where(places[..., :1] > 1, places + 4, places),  # a mode that the other lacks
        lambda places: places + np.linspace(0, 1, STEPS)[:, None, None],  # a drift within one
    ],
)
def test_ensembles_of_different_posteriors_do_not(ensembles, change):
    for first, second in zip(ensembles[:4], ensembles[4:8], strict=True):
        assert rank_r_hat([first, change(second)]) > AGREE


def test_effective_sizes_say_how_far_means_scatter(ensembles):
    expected = STEPS * WALKERS * (1 - KEPT) / (1 + KEPT)  # for the mean of an autoregression
    sizes = [effective_sizes(places) for places in ensembles]
    assert np.mean([size.bulk for size in sizes]) == pytest.approx(expected, rel=0.15)  # the smallest of four values
    means = np.concatenate([places.mean((0, 1)) for places in ensembles])
    assert np.square(means).mean() * np.mean([size.bulk for size in sizes]) == pytest.approx(1, abs=0.5)
    assert all(0 < size.tail < STEPS * WALKERS for size in sizes)


def test_walkers_that_do_not_mix_are_worth_little(ensembles):
    stuck = ensembles[0] / 10 + np.arange(WALKERS)[:, None]
    assert effective_sizes(stuck).bulk < 3 * WALKERS
