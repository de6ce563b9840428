"""Calibration of predicted distributions: statistics of draws against the truth, on arrays.

A predicted distribution is calibrated if the truth is distributed like one more of its draws. All tests here rank
the truth among the draws, which is exact for any number of draws and any shape of the distribution. Arrays are
(P, n, K): draws, systems, targets.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import digamma, eval_sh_legendre
from scipy.stats import binom, chi2, kstest, norm

SIGNIFICANCE = 0.01  # share of calibrated models that fail a test
DISTANCE = float(norm.isf(SIGNIFICANCE / 2))  # a Gaussian quantity is off by more standard errors as often
BAND = 0.95  # share of calibrated models that lie inside the figure's band, at each level
FEW_SYSTEMS = 100  # fewer systems do not tell a sigma that is off by 20% from a right one (2.8 standard errors)
FEW_DRAWS = 20  # with fewer draws the mean and sigma of a prediction are uncertain themselves
FEWEST_DRAWS = 4  # with fewer draws z-scores have no variance
LEVELS = np.arange(1, 20) / 20  # probabilities of the central intervals, 5% to 95%
BINS = 10  # bins of the histograms of PIT values
COMPONENTS = 4  # components of the test of uniformity: bias, spread, skewness, tails
SCATTER = 0.5  # of TARP's points around the prediction, in sigma; distances from far points show less of the draws


# ---------------------------------------------------------------- ranks


def pit(draws: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Probability integral transform (PIT): where the truth lies in the predicted distribution, between 0 and 1.

    The rank of the truth among P draws is made continuous by a random number inside its step. It is exactly uniform
    if the prediction is calibrated, however few draws there are.

    Parameters
    ----------
    draws
        (P, ...) draws of the predicted distributions.
    truth
        (...) true values.
    rng
        Source of the random numbers.

    Returns
    -------
    np.ndarray
        (...) PIT values.
    """
    below = np.count_nonzero(draws < truth, axis=0)
    ties = np.count_nonzero(draws == truth, axis=0)
    return (below + rng.uniform(size=truth.shape) * (ties + 1)) / (len(draws) + 1)


def tarp(draws: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tests of accuracy with random points (TARP): one value between 0 and 1 a system, for all targets jointly.

    The value is the share of draws that lie nearer to a random reference point than the truth does (Lemos et al.
    2023, arXiv:2302.03026). It is uniform for any choice of points if the joint distribution is right. The points
    scatter around the prediction half as widely as its draws do, and distances are in units of the draws' scatter, so
    that all targets and their correlations count, however sharply each is predicted. Half of the draws place the
    points and the other half are ranked; otherwise the draws would lie nearer to their own mean than a truth that is
    distributed like them.

    Parameters
    ----------
    draws
        (P, n, K) draws of the predicted distributions, P being 4 or more.
    truth
        (n, K) true values.
    rng
        Source of the random numbers.

    Returns
    -------
    np.ndarray
        (n,) TARP values.
    """
    placing, ranked = np.split(draws, [len(draws) // 2])
    centre, width = placing.mean(0), placing.std(0, ddof=1)
    reference = SCATTER * rng.standard_normal(truth.shape)
    distances = np.square((ranked - centre) / width - reference).sum(-1)  # (P / 2, n)
    return pit(distances, np.square((truth - centre) / width - reference).sum(-1), rng)


def inside(values: np.ndarray, level: float) -> np.ndarray:
    """Whether each truth (n, ...) lies in the central interval of a level, by its PIT value."""
    return np.abs(2 * values - 1) <= level


def central(values: np.ndarray, levels: np.ndarray = LEVELS) -> np.ndarray:
    """Coverage of central intervals: the share of systems whose PIT value lies within each.

    Parameters
    ----------
    values
        (n, ...) PIT values.
    levels
        (L,) probabilities of the intervals.

    Returns
    -------
    np.ndarray
        (L, ...) shares.
    """
    return np.stack([inside(values, level).mean(0) for level in levels])


def nearer(values: np.ndarray, levels: np.ndarray = LEVELS) -> np.ndarray:
    """Expected coverage of TARP: the share of systems whose value lies below each level.

    Parameters
    ----------
    values
        (n,) TARP values.
    levels
        (L,) levels.

    Returns
    -------
    np.ndarray
        (L,) shares.
    """
    return np.mean(values <= _column(levels, values), axis=1)


def _column(levels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Levels (L, 1, ...) with as many further axes as ``values`` have."""
    return np.reshape(levels, (-1, *(1 for _ in values.shape)))


def band(share: np.ndarray, systems: float) -> tuple[np.ndarray, np.ndarray]:
    """Limits between which a share that is found among some systems lies with probability :data:`BAND`.

    Parameters
    ----------
    share
        Expected shares, of any shape.
    systems
        The number of systems; see :func:`effective`.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        Lower and upper limits, of the shape of ``share``.
    """
    count = max(int(systems), 1)
    outside = (1 - BAND) / 2
    low, high = (np.asarray(binom.ppf(level, count, share)) / count for level in (outside, 1 - outside))
    return low, high


def uniformity(values: np.ndarray, systems: float | None = None) -> np.ndarray:
    """p-values of Neyman's (1937) smooth test, with four components, of whether PIT values are uniform.

    The components are the means of the orthonormal shifted Legendre polynomials, which measure bias, spread, skewness
    and the weight of the tails. The sum of their squares times n is chi-squared with four degrees of freedom. To find
    a sigma that is off by 20%, the test needs far fewer systems (300) than the test of Kolmogorov and Smirnov.

    Parameters
    ----------
    values
        (n, ...) PIT values.
    systems
        The number of systems that the means are worth, see :func:`effective`; n if None.

    Returns
    -------
    np.ndarray
        (...) p-values.
    """
    systems = len(values) if systems is None else systems
    means = [
        np.mean(np.sqrt(2 * order + 1) * eval_sh_legendre(order, values), axis=0) for order in range(1, COMPONENTS + 1)
    ]
    return chi2.sf(systems * np.sum(np.square(means), axis=0), COMPONENTS)


def chi_square(values: np.ndarray) -> np.ndarray:
    """p-values (...) of Pearson's test of whether PIT values (n, ...) fill :data:`BINS` equal bins evenly."""
    expected = len(values) / BINS
    places = np.minimum((values * BINS).astype(int), BINS - 1)
    counts = np.stack([np.count_nonzero(places == number, axis=0) for number in range(BINS)])
    return chi2.sf(np.square(counts - expected).sum(0) / expected, BINS - 1)


def kolmogorov(values: np.ndarray) -> np.ndarray:
    """p-values (K,) of the test of Kolmogorov and Smirnov of whether PIT values (n, K) are uniform."""
    return np.array([kstest(column, "uniform").pvalue for column in values.T])


class SelfConsistency(NamedTuple):
    """Simulation-based calibration of n systems and K targets.

    Parameters
    ----------
    ranks
        PIT values (n, K): the ranks of the truths among the samples, between 0 and 1.
    tarp
        Values of TARP (n,).
    smooth
        p-values (K,) of :func:`uniformity`, the most powerful of the three against what goes wrong in practice.
    chi_square
        p-values (K,) of :func:`chi_square`.
    kolmogorov
        p-values (K,) of :func:`kolmogorov`.
    joint
        The p-value of :func:`uniformity` for TARP.
    """

    ranks: np.ndarray
    tarp: np.ndarray
    smooth: np.ndarray
    chi_square: np.ndarray
    kolmogorov: np.ndarray
    joint: float


def self_consistency(samples: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> SelfConsistency:
    """Simulation-based calibration (Talts et al. 2018, arXiv:1804.06788): truths should be like one more sample.

    Posteriors under the right model and prior pass, whatever their shapes, if the systems are drawn from the prior and
    chosen, if at all, by their images and never by their truths. Samples that were drawn again by weights count as all
    different; the fewer they are worth, the more truths seem to lie beyond the outermost one, up to one in that number.

    Parameters
    ----------
    samples
        (S, n, K) samples of the posteriors, S being 4 or more, in an order without meaning.
    truth
        (n, K) true values.
    rng
        Source of the random numbers.
    """
    ranks, joint = pit(samples, truth, rng), tarp(samples, truth, rng)
    return SelfConsistency(
        ranks=ranks,
        tarp=joint,
        smooth=uniformity(ranks),
        chi_square=chi_square(ranks),
        kolmogorov=kolmogorov(ranks),
        joint=float(uniformity(joint)),
    )


# ---------------------------------------------------------------- Gaussian summaries


def z_scores(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """z-scores (n, K) of the truth by the mean and sigma of draws, of unit variance for calibrated Gaussians.

    The mean and sigma of P draws are noisy themselves, so that the variance of (truth - mean) / sigma is
    (P + 1) / (P - 3) for Gaussian draws; this factor is taken out.

    Parameters
    ----------
    draws
        (P, n, K) draws of the predicted distributions, P being 4 or more.
    truth
        (n, K) true values.
    """
    count = len(draws)
    return (truth - draws.mean(0)) / draws.std(0) * np.sqrt((count - 3) / (count + 1))


def spread(z: np.ndarray) -> tuple[float, float]:
    """Standard deviation of z-scores and its standard error, for any shape of their distribution.

    For several targets it is the root of their mean variance, and the error allows for correlations between them.

    Parameters
    ----------
    z
        (n,) or (n, K) z-scores.
    """
    square = np.square(z - z.mean(0)).reshape(len(z), -1).mean(1)
    deviation = np.sqrt(square.mean())
    return float(deviation), float(square.std() / np.sqrt(len(z)) / (2 * deviation))


# ---------------------------------------------------------------- scores


def crps(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score (n, K), in the unit of the target; small is good.

    It is computed by probability-weighted moments, without bias for any number of draws (Zamo & Naveau 2018).

    Parameters
    ----------
    draws
        (P, n, K) draws of the predicted distributions.
    truth
        (n, K) true values.
    """
    count = len(draws)
    ranks = _column(np.arange(count), truth)
    moment = (ranks * np.sort(draws, axis=0)).sum(0) / (count * (count - 1))
    return np.abs(draws - truth).mean(0) + draws.mean(0) - 2 * moment


def negative_log_likelihood(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Negative log-density (n, K) [nat] at the truth of a Gaussian with the draws' mean and sigma.

    Parameters
    ----------
    draws
        (P, n, K) draws of the predicted distributions.
    truth
        (n, K) true values.
    """
    return -norm.logpdf(truth, draws.mean(0), draws.std(0))


def joint_negative_log_likelihood(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Negative log-density at the truth of a Gaussian with the draws' mean and covariance, for all targets jointly.

    What a finite number of draws adds on average is taken out: the mean score of Gaussian draws is that of infinitely
    many (Siegert et al. 2019 in one dimension; here by the means of the Wishart distribution).

    Parameters
    ----------
    draws
        (P, n, K) draws of the predicted distributions, P being larger than K + 2.
    truth
        (n, K) true values.

    Returns
    -------
    np.ndarray
        (n,) scores [nat]; NaN with fewer draws than :data:`FEW_DRAWS`, whose covariance would say little.
    """
    count, systems, targets = draws.shape
    if count < FEW_DRAWS:
        return np.full(systems, np.nan)
    mean, sigma = draws.mean(0), draws.std(0, ddof=1)
    units = np.moveaxis((draws - mean) / sigma, 0, -1)  # (n, K, P)
    factor = np.linalg.cholesky(units @ units.swapaxes(1, 2) / (count - 1))  # of the correlations, (n, K, K)
    whitened = np.linalg.solve(factor, ((truth - mean) / sigma)[..., None])[..., 0]
    determinant = 2 * np.log(sigma * factor.diagonal(0, 1, 2)).sum(-1)
    determinant -= digamma((count - np.arange(1, targets + 1)) / 2).sum() - targets * np.log((count - 1) / 2)
    distance = (count - targets - 2) / (count - 1) * np.square(whitened).sum(-1) - targets / count
    return (distance + determinant + targets * np.log(2 * np.pi)) / 2


def miscoverage(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Difference between TARP's coverage and its level, in the mean over :data:`LEVELS`; small is good.

    Parameters
    ----------
    values
        (n,) TARP values.
    weights
        (..., n) weights of the systems, summing to 1; equal ones if None.

    Returns
    -------
    np.ndarray
        (...) mean absolute differences.
    """
    inside = values[:, None] <= LEVELS  # (n, L)
    shares = inside.mean(0) if weights is None else weights @ inside
    return np.abs(shares - LEVELS).mean(-1)


def expected_miscoverage(systems: int) -> float:
    """The mean of :func:`miscoverage` for a calibrated model and a number of systems, shares being nearly Gaussian."""
    return float(np.mean(np.sqrt(2 / np.pi * LEVELS * (1 - LEVELS) / systems)))


# ---------------------------------------------------------------- recalibration


def fit_scale(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The factor on each target's sigma that makes Gaussian z-scores likeliest, with its standard error.

    It is the root of the mean squared z-score (Laves et al. 2020, there for a network's variance).

    Parameters
    ----------
    z
        (n, K) z-scores of other systems than those that the factor is for.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        (K,) factors and (K,) standard errors.
    """
    square = np.square(z)
    scale = np.sqrt(square.mean(0))
    return scale, square.std(0) / np.sqrt(len(z)) / (2 * scale)


def rescaled(draws: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Draws (P, n, K) whose distances from their mean are multiplied by a factor for each target, ``scale`` (K,)."""
    mean = draws.mean(0)
    return mean + scale * (draws - mean)


def effective(systems: int, fitted: int) -> float:
    """The number of systems that a test set is worth after a recalibration: 1 / (1 / systems + 1 / fitted).

    The scale has an error of its own that moves all test systems together.

    Parameters
    ----------
    systems
        The number of test systems.
    fitted
        The number of systems of the validation split that the scale was fitted to.
    """
    return 1 / (1 / systems + 1 / fitted)


def verdict(p_value: float, tests: int, systems: float, draws: int) -> str:
    """What a test says: ``passes``, ``fails``, or ``too few`` where it could not tell.

    Parameters
    ----------
    p_value
        The p-value of the test.
    tests
        The number of tests that are made at once, among which the significance is shared (Bonferroni).
    systems
        The number of systems that the test set is worth, see :func:`effective`.
    draws
        The least number of passes that the test builds on.
    """
    if systems < FEW_SYSTEMS or draws < FEW_DRAWS:
        return "too few"
    return "fails" if p_value < SIGNIFICANCE / tests else "passes"
