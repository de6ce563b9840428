"""ROC curves against what is known of them analytically."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from lensvit.statistics import roc


def weights(rng, count, size=400):
    return rng.multinomial(count, np.full(count, 1 / count), size=size) / count


@pytest.mark.parametrize("distance", [-0.7, 0.0, 0.8, 2.0])
def test_two_gaussians_have_the_area_of_their_distance(distance):
    rng = np.random.default_rng(int(10 * distance) + 20)
    ordinary, shifted = rng.normal(size=1200), distance + rng.normal(size=900)
    expected = norm.cdf(distance / np.sqrt(2))
    error = roc.area_error(ordinary, shifted, (weights(rng, 1200), weights(rng, 900)))
    assert abs(roc.area(ordinary, shifted) - expected) < 3.5 * error
    # Hanley & McNeil (1982), eq. 2, whose two terms hold for exponential scores, near enough here
    first, second = expected / (2 - expected), 2 * expected**2 / (1 + expected)
    variance = expected * (1 - expected) + 899 * (first - expected**2) + 1199 * (second - expected**2)
    assert error == pytest.approx(np.sqrt(variance / (900 * 1200)), rel=0.2)


def test_the_curve_of_two_gaussians():
    rng = np.random.default_rng(3)
    first, second = roc.curve(rng.normal(size=4000), 1.5 + rng.normal(size=4000))
    expected = norm.cdf(norm.ppf(first[1:-1]) + 1.5)
    assert np.abs(second[1:-1] - expected).max() < 0.03  # Kolmogorov: 1.6 / sqrt(4000)
    assert (np.diff(first) >= 0).all() and (np.diff(second) >= 0).all()
    assert (first[0], second[0], first[-1], second[-1]) == (0, 0, 1, 1)


def test_the_area_is_that_under_the_curve_and_mann_whitneys_statistic_with_ties_and_infinities():
    rng = np.random.default_rng(4)
    ordinary, shifted = rng.integers(0, 8, 50).astype(float), rng.integers(2, 9, 30).astype(float)
    ordinary[:2], shifted[:3] = np.inf, np.inf
    area = roc.area(ordinary, shifted)
    first, second = roc.curve(ordinary, shifted)
    assert area == pytest.approx(np.trapezoid(second, first))
    assert area == pytest.approx(mannwhitneyu(shifted, ordinary).statistic / (50 * 30))
    assert roc.area(shifted, ordinary) == pytest.approx(1 - area)


def test_scores_that_do_not_overlap_have_no_error_and_equal_ones_are_chance():
    rng = np.random.default_rng(5)
    low, high = rng.uniform(size=20), 2 + rng.uniform(size=20)
    both = weights(rng, 20), weights(rng, 20)
    assert roc.area(low, high) == 1 and roc.area_error(low, high, both) == pytest.approx(0)
    assert roc.area(np.ones(5), np.ones(7)) == 0.5


def test_counterparts_that_are_drawn_together_are_compared_more_exactly():
    rng = np.random.default_rng(6)
    ordinary = rng.normal(size=200)
    shifted = ordinary + 0.1
    same, other = weights(rng, 200), weights(rng, 200)
    assert roc.area_error(ordinary, shifted, (same, same)) < 0.3 * roc.area_error(ordinary, shifted, (same, other))
