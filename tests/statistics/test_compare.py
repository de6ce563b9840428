"""When a difference is clear, and how sure it is."""

import numpy as np
import pytest

from lensvit.statistics.compare import CLEAR, compared, is_clear, of_rows, relative_scatter, scored
from lensvit.statistics.metrics import bootstrap_weights, roots, standardised


@pytest.mark.parametrize("sign", [1, -1])
def test_a_difference_is_clear_beyond_three_errors(sign):
    assert CLEAR == 3.0
    assert is_clear(sign * 0.31, 0.1) and not is_clear(sign * 0.29, 0.1)


def test_what_is_no_number_is_not_clear():
    assert is_clear(1e-9, 0.0) and not is_clear(0.0, 0.0) and not is_clear(np.nan, 0.1)
    assert is_clear(np.float64(1.0), np.float64(0.1)) is True


def correlated(rng, systems=400, share=0.99):
    """Squared errors (n, 2) of two methods that err on the same systems, the first of which is worse by 5%."""
    common, own = rng.normal(size=(systems, 2)), rng.normal(size=(2, systems, 2))
    both = np.sqrt(share) * common + np.sqrt(1 - share) * own
    return np.square(1.05 * both[0]), np.square(both[1])


def test_the_paired_error_is_the_scatter_of_the_difference_over_test_sets():
    rng = np.random.default_rng(0)
    differences, ratios = [], []
    for _ in range(600):
        first, second = (roots(square.mean(0)) for square in correlated(rng))
        differences.append(first - second)
        ratios.append(first / second)
    first, second = correlated(rng)
    weights = bootstrap_weights(len(first), 1)
    found = compared(scored(first, weights), scored(second, weights))
    assert found.error == pytest.approx(np.std(differences, axis=0), rel=0.2)
    assert found.ratio_error == pytest.approx(np.std(ratios, axis=0), rel=0.2)
    assert found.ratio == pytest.approx(1.05, abs=4 * found.ratio_error.max())
    unpaired = np.hypot(*(scored(square, weights).errors for square in (first, second)))
    assert (found.error < 0.3 * unpaired).all()
    assert is_clear(found.difference[0], found.error[0]) and not is_clear(found.difference[0], unpaired[0])


def test_methods_of_other_systems_are_paired_where_they_have_the_same():
    first, second = correlated(np.random.default_rng(1))
    weights = bootstrap_weights(len(first), 1)
    rows = np.arange(100)
    some = of_rows(weights, rows)
    assert some.sum(1) == pytest.approx(1) and some.shape == (len(weights), 100)
    alone = scored(second[rows], bootstrap_weights(100, 2)).errors
    assert scored(second[rows], some).errors == pytest.approx(alone, rel=0.15)
    paired = compared(scored(first[rows], some), scored(second[rows], some))
    assert (paired.error < 0.3 * alone).all()


def test_resampled_sets_without_a_system_do_not_count():
    weights = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.25, 0.75]])
    some = of_rows(weights, np.array([0]))
    assert np.isnan(some[2]).all() and (some[[0, 1, 3]] == 1).all()


def test_one_system_says_nothing_of_the_scatter_of_systems():
    one, more = np.array([[4.0, 9.0]]), np.array([[4.0, 9.0], [1.0, 4.0]])
    alone = scored(one, bootstrap_weights(1, 1))
    assert alone.values[1:] == pytest.approx([2, 3]) and np.isnan(alone.errors).all()
    found = compared(alone, alone)
    assert np.isnan(found.error).all() and np.isnan(found.ratio_error).all() and not is_clear(1.0, found.error[0])
    assert (scored(more, bootstrap_weights(2, 1)).errors > 0).all()


def test_trainings_that_scatter_count_in_quadrature():
    rng = np.random.default_rng(2)
    first, second = correlated(rng)
    weights, scatter = bootstrap_weights(len(first), 1), np.array([0.03, 0.1, 0.2])
    once = scored(first, weights), scored(second, weights)
    often = scored(first, weights, scatter=scatter), scored(second, weights, scatter=scatter)
    for one, more in zip(once, often, strict=True):
        assert more.errors == pytest.approx(np.hypot(one.errors, scatter * one.values))
    one, more = compared(*once), compared(*often)
    assert (one.difference == more.difference).all() and (one.ratio == more.ratio).all()
    both = scatter * np.hypot(once[0].values, once[1].values)
    assert more.error == pytest.approx(np.hypot(one.error, both))
    assert more.ratio_error == pytest.approx(np.hypot(one.ratio_error, np.sqrt(2) * scatter * one.ratio))


def test_the_scatter_is_that_between_trainings_and_not_between_methods():
    rng = np.random.default_rng(0)
    groups = [size * np.exp(0.03 * rng.normal(size=(count, 2))) for size in (0.1, 1, 5) for count in (400, 2, 1)]
    assert relative_scatter(groups) == pytest.approx([0.03, 0.03], rel=0.1)
    assert np.isnan(relative_scatter([np.array([0.1]), np.array([0.3])]))
    assert np.isnan(relative_scatter([np.ones((1, 3))])).tolist() == [True] * 3


def test_a_standardised_error_of_the_prior_is_one():
    scatter = np.array([0.1, 5.0])
    assert standardised(np.square(scatter), scatter) == pytest.approx(1)
    assert standardised(np.array([[0.0, 50.0]]), scatter) == pytest.approx([1.0])
