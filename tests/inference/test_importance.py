"""Samples of analytic posteriors have their means, widths and evidence, and no certificate is wrong."""

import numpy as np
import pytest
from scipy.stats import norm

from lensvit.inference.chart import Chart
from lensvit.inference.importance import _Sampler, sample
from lensvit.inference.settings import FIRST_CALLS, ImportanceSettings
from lensvit.io.tables import CURVED, REASONS
from tests.inference.analytic import curved, double, gauss, heavy, some_curved, some_double

SETTINGS = ImportanceSettings(effective=200, draws=200, max_calls=6000)
SEEDS = range(6)
KINDS = {
    "gauss": gauss,
    "curved": lambda size, random: curved(size, random, 0.2),
    "both": lambda size, random: double(size, random, 5.0, 0.3, 1.3),
    "near": lambda size, random: double(size, random, 2.0, 0.7, 1.1, given=1),
    "heavy": lambda size, random: heavy(size, random, 5.0),
    "bent": lambda size, random: curved(size, random, 0.5),
}
# how many of the seeds have a certificate, at least and at most; the others, too far from normal, are said to be curved
CERTIFIED = {("heavy", 4): (2, 5), ("heavy", 14): (0, 1), ("bent", 4): (3, 6), ("bent", 14): (0, 3)}


def sampled(target, seed=0, **changes):
    return sample(target, target.charts, SETTINGS.model_copy(update=changes), seed)


def made(kind, size, seed):
    return KINDS[kind](size, np.random.default_rng([seed, size]))


@pytest.mark.parametrize("size", [4, 14])
@pytest.mark.parametrize("kind", KINDS)
def test_means_widths_and_evidence_are_right(kind, size):
    evidence = []
    for seed in SEEDS:
        target = made(kind, size, seed)
        found = sampled(target, seed)
        assert found.calls == target.calls
        if found.reason:
            assert found.reason == CURVED
            continue
        assert found.effective >= SETTINGS.effective
        mean, width, log_evidence = target.errors(found)
        assert mean < 0.4 and width < np.log(1.5), (seed, mean, width)
        assert abs(log_evidence) < 4.5 * found.error
        evidence.append(log_evidence)
    least, most = CERTIFIED.get((kind, size), (len(SEEDS), len(SEEDS)))
    assert least <= len(evidence) <= most
    assert not evidence or abs(np.mean(evidence)) < 0.05


@pytest.mark.parametrize("size", [4, 14])
def test_a_normal_distribution_takes_two_rounds(size):
    for seed in SEEDS:
        found = sampled(made("gauss", size, seed), seed)
        assert found.rounds == 2 and found.calls < 700


@pytest.mark.parametrize("size", [4, 14])
def test_the_settings_allow_for_what_comes_before_the_first_round(size):
    target = gauss(size, np.random.default_rng(3))
    sampler = _Sampler(target, target.charts, SETTINGS, 0)
    assert 0 < FIRST_CALLS - sampler.calls < 50 and not target.asked  # one chart is tried; no search starts
    least = FIRST_CALLS + 2 * SETTINGS.draws
    assert sampled(target, max_calls=least).rounds == 2


@pytest.mark.parametrize("apart", [5.0, 6.0, 7.0])
def test_a_second_maximum_that_no_chart_knows_is_found(apart):
    for size in (4, 14):
        for seed in SEEDS:
            target = double(size, np.random.default_rng(seed), apart, 0.4, 1.2, given=1)
            found = sampled(target, seed)
            mean, width, evidence = target.errors(found)
            assert target.asked and not found.reason
            assert mean < 0.4 and width < np.log(1.5) and abs(evidence) < 0.3


def test_one_maximum_given_twice_is_no_second_one():
    target = gauss(4, np.random.default_rng(1))
    target.charts *= 2
    found = sampled(target)
    assert not found.reason and max(target.errors(found)[:2]) < 0.4


def test_the_evidence_of_a_curved_target_is_not_that_of_draws_to_which_a_proposal_was_fitted():
    evidence, rounds = [], []
    for seed in range(16):
        found = sampled(curved(14, np.random.default_rng(seed), 0.7), seed)
        evidence.append(found.log_evidence)
        rounds.append(found.calls > 2 * len(found.places))
    assert abs(np.mean(evidence)) < 0.06
    assert any(rounds)  # the proposals of some were refitted


def test_where_the_budget_ends_there_are_too_few_draws():
    found = sampled(made("gauss", 14, 0), max_calls=750, effective=2000)
    assert found.reason == "few" and found.calls <= 750 and np.isclose(found.weights.sum(), 1)
    assert {sampled(made("heavy", 14, seed), seed, max_calls=850).reason for seed in SEEDS} <= {*REASONS}


def test_a_patient_sample_that_the_budget_ends_is_the_best_of_all_proposals(monkeypatch):
    seen, result = [], _Sampler._result

    def spied(self):
        seen.append(result(self))
        return seen[-1]

    monkeypatch.setattr(_Sampler, "_result", spied)
    target = curved(14, np.random.default_rng(1), 1.2)
    found = sample(target, target.charts, SETTINGS.model_copy(update={"max_calls": 2500, "effective": 2000}), 0, True)
    best = max(one.effective for one in seen)
    assert found.reason and found.effective == best and len(seen) > 2
    assert found.calls == seen[-1].calls and found.rounds == len(seen)


def test_where_there_is_no_density_there_is_no_sample():
    target = gauss(4, np.random.default_rng(0))
    target.density = lambda y: np.full(len(y), -np.inf)
    assert sampled(target, max_calls=1000) is None
    target.log_density = lambda places: np.full(len(places), -np.inf)  # where a prior ends, nothing is called
    assert sampled(target, max_calls=1000) is None


@pytest.mark.parametrize("wall", [-0.5, 0.1])
@pytest.mark.parametrize("constant", [-5000.0, 0.0, 5000.0])
def test_a_density_that_ends_is_sampled_within(wall, constant):
    """A normal distribution that a wall cuts off, on either side of its maximum; a constant changes nothing."""
    target = gauss(4, np.random.default_rng(2))
    whole, end = target.density, target.mean[0] + wall * target.sigma[0]
    target.density = lambda y: np.where(y[:, 0] > end, whole(y) + constant, -np.inf)
    found = sampled(target)
    assert not found.reason and not target.asked and found.calls < 1500
    assert found.log_evidence - constant == pytest.approx(norm.logsf(wall), abs=5 * found.error)


def test_a_place_has_the_largest_density():
    target = made("both", 4, 1)
    found = sampled(target)
    density = target.log_density(found.places)
    assert density[found.most_probable] == density.max()


def test_samples_of_equal_weight_have_the_moments():
    target = made("curved", 14, 2)
    found = sampled(target)
    some = found.resampled(4000, np.random.default_rng(1))
    mean = found.weights @ found.places
    width = np.sqrt(found.weights @ np.square(found.places - mean))
    np.testing.assert_allclose((some.mean(0) - mean) / width, 0, atol=0.02)
    np.testing.assert_allclose(some.std(0), width, rtol=0.03)
    assert np.abs(np.corrcoef(np.arange(4000), some.T)[0, 1:]).max() < 0.08  # in no order


def test_the_same_seed_gives_the_same_digits():
    one, two, other = (sampled(made("curved", 14, 3), seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.places, two.places)
    np.testing.assert_array_equal(one.weights, two.weights)
    assert one[2:] == two[2:] and one.log_evidence != other.log_evidence


def test_no_certificate_is_wrong():
    """Of curved and double-peaked targets in 14 dimensions whose maxima are known."""
    targets = [some_curved(14, seed) for seed in range(40)] + [some_double(14, seed, 2) for seed in range(20)]
    found = [sampled(target, seed) for seed, target in enumerate(targets)]
    certified = [not one.reason for one in found]
    wrong = [row for row, one in enumerate(found) if certified[row] and targets[row].is_wrong(one)]
    assert sum(certified) > 25 and not wrong, [targets[row].errors(found[row]) for row in wrong]


def test_no_certificate_is_wrong_in_more_dimensions():
    """With a limit of the curvature that grows with the dimension, and not with its root, that of seed 48 is."""
    targets = [some_curved(24, seed) for seed in (*range(42, 54),)]
    settings = ImportanceSettings(effective=400, draws=500, max_calls=6000)
    found = [sample(target, target.charts, settings, 42 + row, True) for row, target in enumerate(targets)]
    certified = [not one.reason for one in found]
    assert sum(certified) >= 3 and not any(
        ok and target.is_wrong(one) for ok, target, one in zip(certified, targets, found, strict=True)
    )


def test_few_certificates_are_wrong_where_a_second_maximum_is_not_known():
    """Two of 44 here; of 300 with other seeds 5 of 224: one that is narrower is not always found."""
    targets = [some_double(14, seed, 1) for seed in range(60)]
    found = [sampled(target, seed) for seed, target in enumerate(targets)]
    certified = [not one.reason for one in found]
    wrong = sum(certified[row] and target.is_wrong(found[row]) for row, target in enumerate(targets))
    assert sum(certified) >= 40 and wrong <= 2


def test_charts_of_searches_that_end_at_a_known_maximum_are_left_out():
    target = double(4, np.random.default_rng(3), 6.0, 0.5, given=1)
    known = target.charts[0]
    target.climbed = lambda places: (
        target.asked.append(places) or [Chart.straight(known.mean, known.root @ known.root.T) for _ in places]
    )
    assert _Sampler(target, target.charts, SETTINGS, 0).proposal.maxima == 1 and target.asked
