"""Calibration on cases whose answer is known: what is right passes, what is wrong fails its own test."""

import numpy as np
import pytest
from scipy import stats

from lensvit.statistics import calibration

SYSTEMS, DRAWS, TARGETS = 600, 100, 8


def gaussian(seed=0, systems=SYSTEMS, draws=DRAWS, width=1.0, bias=0.0, error=0.0, drawn=0.0):
    """Draws (P, n, K) and truths (n, K); Gaussian, of many sizes.

    width : of the errors, in units of the predicted sigma.
    bias : of the mean, likewise.
    error, drawn : correlation between any two targets of the errors, and of the draws.
    """
    rng = np.random.default_rng(seed)

    def noise(correlation, *shape):
        own, common = rng.standard_normal(shape), rng.standard_normal((*shape[:-1], 1))
        return np.sqrt(1 - correlation) * own + np.sqrt(correlation) * common

    sigma = np.geomspace(0.01, 10, TARGETS) * rng.uniform(0.5, 2, (systems, TARGETS))
    mean = 100 * rng.standard_normal((systems, TARGETS))
    values = mean + sigma * noise(drawn, draws, systems, TARGETS)
    return values, mean + sigma * (bias + width * noise(error, systems, TARGETS))


def verdicts(draws, truth, **worth):
    """(whether all targets pass, whether TARP does)."""
    rng = np.random.default_rng(1)
    single = calibration.uniformity(calibration.pit(draws, truth, rng), **worth)
    joint = calibration.uniformity(calibration.tarp(draws, truth, rng), **worth)
    words = [calibration.verdict(p, TARGETS, len(truth), len(draws)) for p in single]
    return set(words), calibration.verdict(joint, 1, len(truth), len(draws))


# ---------------------------------------------------------------- verdicts


@pytest.mark.parametrize("seed", range(4))
def test_a_right_gaussian_passes(seed):
    assert verdicts(*gaussian(seed)) == ({"passes"}, "passes")


@pytest.mark.parametrize("width", [1.2, 1 / 1.2])
def test_a_sigma_off_by_a_fifth_fails_every_test(width):
    assert verdicts(*gaussian(systems=1200, width=width)) == ({"fails"}, "fails")


def test_correlated_errors_pass_one_by_one_and_fail_together():
    assert verdicts(*gaussian(error=0.5)) == ({"passes"}, "fails")


def test_draws_that_know_of_the_correlation_pass():
    assert verdicts(*gaussian(error=0.5, drawn=0.5)) == ({"passes"}, "passes")


def test_draws_correlated_without_reason_fail_together():
    assert verdicts(*gaussian(drawn=0.5)) == ({"passes"}, "fails")


def test_a_bias_fails():
    single, _ = verdicts(*gaussian(systems=1200, bias=0.25))
    assert single == {"fails"}


def test_a_distribution_of_another_shape_passes_if_it_is_right_and_fails_as_a_gaussian():
    rng = np.random.default_rng(3)
    shape = (SYSTEMS, TARGETS)
    truth, right = rng.exponential(size=shape), rng.exponential(size=(DRAWS, *shape))
    assert verdicts(right, truth) == ({"passes"}, "passes")
    assert verdicts(rng.normal(1, 1, size=(DRAWS, *shape)), truth)[0] == {"fails"}


def test_too_few_systems_or_passes_have_no_verdict():
    assert calibration.verdict(0.5, 1, 99, 100) == calibration.verdict(1e-9, 1, 200, 19) == "too few"
    assert calibration.verdict(0.009, 1, 200, 100) == "fails"
    assert calibration.verdict(0.009, 8, 200, 100) == "passes"


# ---------------------------------------------------------------- ranks


@pytest.mark.parametrize("draws", [1, 5, 200])
def test_pit_values_are_uniform_for_any_number_of_draws(draws):
    rng = np.random.default_rng(4)
    values = calibration.pit(rng.gamma(2, size=(draws, 4000)), rng.gamma(2, size=4000), rng)
    assert stats.kstest(values, "uniform").pvalue > 0.01
    assert values.min() >= 0 and values.max() <= 1


def test_ties_share_their_ranks():
    rng = np.random.default_rng(5)
    values = calibration.pit(np.zeros((3, 4000)), np.zeros(4000), rng)
    assert stats.kstest(values, "uniform").pvalue > 0.01


@pytest.mark.parametrize("draws", [4, 9, 100])
def test_tarp_is_uniform_for_any_number_of_draws(draws):
    """Half of the draws place the points: with all of them, four draws would fail at once."""
    values = calibration.tarp(*gaussian(6, systems=3000, draws=draws), np.random.default_rng(7))
    assert values.shape == (3000,) and stats.kstest(values, "uniform").pvalue > 0.01


def test_tarp_does_not_depend_on_the_units():
    draws, truth = gaussian(8, systems=50)
    unit = np.geomspace(1e-3, 1e3, TARGETS)
    scaled = calibration.tarp(draws * unit, truth * unit, np.random.default_rng(9))
    assert scaled == pytest.approx(calibration.tarp(draws, truth, np.random.default_rng(9)), abs=1e-9)


def test_p_values_of_uniform_numbers_are_uniform():
    found = calibration.uniformity(np.random.default_rng(10).uniform(size=(200, 3000)))
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert np.mean(found < calibration.SIGNIFICANCE) == pytest.approx(calibration.SIGNIFICANCE, abs=0.006)


def test_fewer_systems_are_worth_less():
    values = np.random.default_rng(11).uniform(size=100) ** 1.2
    assert calibration.uniformity(values, 50) > calibration.uniformity(values)
    assert calibration.effective(1200, 3000) == pytest.approx(857.14, abs=0.01)


def test_coverage_of_a_known_sample():
    values = (np.arange(1000) + 0.5) / 1000
    assert calibration.central(values) == pytest.approx(calibration.LEVELS, abs=1e-3)
    assert calibration.nearer(values) == pytest.approx(calibration.LEVELS, abs=1e-3)
    middle = np.full((10, 2), 0.5)
    assert calibration.central(middle).shape == (19, 2) and (calibration.central(middle) == 1).all()
    assert calibration.LEVELS[[0, -1]] == pytest.approx([0.05, 0.95])


def test_the_coverage_of_gaussians_with_a_wrong_sigma():
    draws, truth = gaussian(12, systems=4000, width=1.2)
    values = calibration.pit(draws, truth, np.random.default_rng(0))
    expected = 2 * stats.norm.cdf(stats.norm.isf((1 - calibration.LEVELS) / 2) / 1.2) - 1
    assert calibration.central(values).mean(1) == pytest.approx(expected, abs=0.01)


def test_the_band_is_the_binomials():
    low, high = calibration.band(np.array([0.5, 0.95]), 400)
    assert low == pytest.approx([0.5 - 1.96 * 0.025, 0.95 - 1.96 * 0.0109], abs=0.004)
    assert high == pytest.approx([0.5 + 1.96 * 0.025, 0.95 + 1.96 * 0.0109], abs=0.004)
    shares = np.random.default_rng(13).binomial(400, 0.5, 20000) / 400
    assert np.mean((shares >= low[0]) & (shares <= high[0])) == pytest.approx(calibration.BAND, abs=0.015)


# ---------------------------------------------------------------- summaries and scores


@pytest.mark.parametrize("draws", [10, 100])
def test_z_scores_have_unit_variance_however_few_the_draws(draws):
    z = calibration.z_scores(*gaussian(14, systems=6000, draws=draws))
    deviation, error = calibration.spread(z)
    assert abs(deviation - 1) < 4 * error < 0.05


def test_the_error_of_the_spread():
    """1 / sqrt(2 n) for Gaussians; a copy of a target adds nothing."""
    z = np.random.default_rng(15).standard_normal((2000, 1))
    _, one = calibration.spread(z[:, 0])
    _, copies = calibration.spread(np.tile(z, 8))
    _, eight = calibration.spread(np.random.default_rng(16).standard_normal((2000, 8)))
    assert one == pytest.approx(1 / np.sqrt(4000), rel=0.1) and copies == pytest.approx(one)
    assert eight == pytest.approx(1 / np.sqrt(8 * 4000), rel=0.1)


@pytest.mark.parametrize("draws", [5, 400])
def test_the_crps_of_a_gaussian(draws):
    """sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), Gneiting & Raftery 2007; unbiased for few draws."""
    rng = np.random.default_rng(17)
    z = np.array([-1.5, 0.0, 0.7])
    found = calibration.crps(3 * rng.standard_normal((draws, 4000, 3)), np.tile(3 * z, (4000, 1)))
    expected = 3 * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert found.shape == (4000, 3) and found.mean(0) == pytest.approx(expected, abs=0.06 if draws == 5 else 0.01)


def test_the_negative_log_likelihood_is_scipys():
    draws, truth = gaussian(18, systems=20)
    expected = -stats.norm.logpdf(truth, draws.mean(0), draws.std(0))
    assert calibration.negative_log_likelihood(draws, truth) == pytest.approx(expected)


def correlated(seed, draws, systems=2000, targets=5):
    """Draws and truths of one Gaussian of many sizes with strong correlations, and -ln of its density at the truths."""
    rng = np.random.default_rng(seed)
    factor = np.tril(rng.standard_normal((targets, targets))) * np.geomspace(0.3, 30, targets)[:, None]
    mean = 100 * rng.standard_normal((systems, targets))
    values = mean + rng.standard_normal((draws, systems, targets)) @ factor.T
    truth = mean + rng.standard_normal((systems, targets)) @ factor.T
    exact = -stats.multivariate_normal(np.zeros(targets), factor @ factor.T).logpdf(truth - mean)
    return values, truth, exact


def test_the_joint_negative_log_likelihood_is_scipys():
    draws, truth, exact = correlated(30, draws=20_000, systems=20)
    assert calibration.joint_negative_log_likelihood(draws, truth) == pytest.approx(exact, abs=0.15)


@pytest.mark.parametrize("draws", [20, 40])
def test_the_joint_negative_log_likelihood_of_few_draws_is_unbiased(draws):
    values, truth, exact = correlated(31, draws=draws)
    excess = calibration.joint_negative_log_likelihood(values, truth) - exact
    error = excess.std() / np.sqrt(len(excess))
    assert abs(excess.mean()) < 4 * error < 0.4


def test_the_joint_likelihood_knows_of_correlations_and_units():
    draws, truth, _ = correlated(32, draws=100)
    apart = np.stack([np.roll(draws[..., target], 7 * target, axis=0) for target in range(5)], -1)
    together = calibration.joint_negative_log_likelihood(draws, truth)
    assert (together - calibration.joint_negative_log_likelihood(apart, truth)).mean() < -0.5
    unit = np.geomspace(1e-3, 1e3, 5) * 7
    scaled = calibration.joint_negative_log_likelihood(draws * unit, truth * unit)
    assert scaled == pytest.approx(together + np.log(unit).sum(), abs=1e-6)


def test_too_few_draws_have_no_joint_likelihood():
    assert np.isnan(calibration.joint_negative_log_likelihood(*gaussian(33, systems=3, draws=19))).all()
    assert np.isfinite(calibration.joint_negative_log_likelihood(*gaussian(33, systems=3, draws=20))).all()


def test_miscoverage_of_known_samples():
    uniform = (np.arange(1000) + 0.5) / 1000
    assert calibration.miscoverage(uniform) == pytest.approx(0, abs=1e-3)
    assert calibration.miscoverage(np.zeros(10)) == pytest.approx(0.5)
    weights = np.stack([np.full(1000, 1e-3), np.r_[np.ones(1), np.zeros(999)]])
    assert calibration.miscoverage(uniform, weights) == pytest.approx([0, 0.5], abs=1e-3)
    found = [calibration.miscoverage(np.random.default_rng(seed).uniform(size=300)) for seed in range(2000)]
    assert np.mean(found) == pytest.approx(calibration.expected_miscoverage(300), rel=0.03)


# ---------------------------------------------------------------- recalibration


@pytest.mark.parametrize("draws", [20, 100])
def test_the_scale_is_found_however_few_the_draws(draws):
    scale, error = calibration.fit_scale(calibration.z_scores(*gaussian(19, systems=3000, draws=draws, width=1.3)))
    assert (np.abs(scale - 1.3) < 4 * error).all() and (error < 0.03).all()


def test_rescaled_draws_keep_their_mean_and_correlations():
    draws, _ = gaussian(20, systems=5, drawn=0.5)
    scale = np.linspace(0.5, 2, TARGETS)
    scaled = calibration.rescaled(draws, scale)
    assert scaled.mean(0) == pytest.approx(draws.mean(0)) and scaled.std(0) == pytest.approx(scale * draws.std(0))
    before, after = (np.corrcoef(values[:, 0].T) for values in (draws, scaled))
    assert after == pytest.approx(before)


def test_recalibration_mends_a_wrong_sigma_but_no_correlation():
    for error, joint in ((0.0, "passes"), (0.5, "fails")):
        scale, _ = calibration.fit_scale(calibration.z_scores(*gaussian(21, width=1.3, error=error)))
        draws, truth = gaussian(22, width=1.3, error=error)
        systems = calibration.effective(SYSTEMS, SYSTEMS)
        assert verdicts(calibration.rescaled(draws, scale), truth, systems=systems) == ({"passes"}, joint)


def test_an_uncertain_scale_does_not_fail_what_is_right():
    """A scale from as few systems as the test has: with the plain count every tenth target would fail at 5%."""
    found, plain = [], []
    for seed in range(40):
        scale, _ = calibration.fit_scale(calibration.z_scores(*gaussian(seed, systems=150, draws=50)))
        draws, truth = gaussian(1000 + seed, systems=150, draws=50)
        values = calibration.pit(calibration.rescaled(draws, scale), truth, np.random.default_rng(seed))
        plain.append(calibration.uniformity(values))
        found.append(calibration.uniformity(values, calibration.effective(150, 150)))
    assert np.mean(np.array(found) < 0.05) <= 0.05 < np.mean(np.array(plain) < 0.05)


# ---------------------------------------------------------------- simulation-based calibration


def found_rates(width, repeats=120, systems=150):
    """The share of targets below p = 0.05 by each test, and that of TARP, with errors of this width in sigmas."""
    found = [
        calibration.self_consistency(*gaussian(seed, systems, 40, width), np.random.default_rng(seed))
        for seed in range(repeats)
    ]
    names = ("smooth", "chi_square", "kolmogorov")
    rates = {name: np.mean([getattr(one, name) < 0.05 for one in found]) for name in names}
    return rates | {"joint": np.mean([one.joint < 0.05 for one in found])}


def test_right_posteriors_fail_as_often_as_the_level_says():
    for name, rate in found_rates(1.0).items():
        assert abs(rate - 0.05) < (0.06 if name == "joint" else 0.025), name  # three standard errors


def test_posteriors_that_are_too_narrow_fail_as_often_as_theory_says():
    """Pearson's statistic is then non-central, by the probabilities of the bins."""
    width, systems = 1.3, 150
    inside = np.diff(stats.norm.cdf(stats.norm.ppf(np.linspace(0, 1, calibration.BINS + 1)) / width))
    shift = systems * np.square(inside * calibration.BINS - 1).mean()
    expected = stats.ncx2.sf(stats.chi2.isf(0.05, calibration.BINS - 1), calibration.BINS - 1, shift)
    rates = found_rates(width, systems=systems)
    assert 0.2 < expected < 0.95 and rates["chi_square"] == pytest.approx(expected, abs=0.08)
    assert rates["smooth"] > rates["chi_square"] > rates["kolmogorov"] > 0.05 and rates["joint"] > 0.8


def test_a_bias_and_wrong_correlations_show_each_in_its_own_test():
    rng = np.random.default_rng(1)
    biased = calibration.self_consistency(*gaussian(bias=0.3), rng)
    assert (biased.smooth < 1e-4).all() and (biased.kolmogorov < 1e-4).all()
    single = calibration.self_consistency(*gaussian(error=0.5), rng)
    assert single.smooth.min() > 0.01 / TARGETS and single.joint < 1e-4
    assert single.ranks.shape == (SYSTEMS, TARGETS) and single.tarp.shape == (SYSTEMS,)


def test_samples_drawn_again_by_weights_are_as_good():
    """Draws from a wider Gaussian, weighted and drawn again with replacement."""
    rng, wide = np.random.default_rng(2), 1.5
    systems, targets = 600, 2
    mean = rng.normal(size=(systems, targets))
    truth = mean + rng.normal(size=(systems, targets))
    drawn = wide * rng.normal(size=(400, systems, targets))
    weights = np.exp((-np.square(drawn) + np.square(drawn / wide)).sum(-1) / 2)
    rows = [rng.choice(400, 800, p=column / column.sum()) for column in weights.T]
    samples = mean + np.stack([drawn[row, number] for number, row in enumerate(rows)], axis=1)
    result = calibration.self_consistency(samples, truth, rng)
    assert min(*result.smooth, *result.chi_square, *result.kolmogorov, result.joint) > 0.005
