"""Whether predicted distributions are honest: statistics of draws against the truth, on arrays.

A distribution is calibrated if the truth is to it as one more of its draws. All tests here
rank the truth among the draws, which is exact for any number of draws and any shape of the
distribution. Arrays are (P, n, K): draws, systems, targets.
"""

from __future__ import annotations

import numpy as np
import scoringrules
from scipy.special import digamma, eval_sh_legendre
from scipy.stats import binom, chi2, norm

SIGNIFICANCE = 0.01  # the share of calibrated models that a test fails
DISTANCE = float(norm.isf(SIGNIFICANCE / 2))  # standard errors that a Gaussian quantity exceeds as often
BAND = 0.95  # the share of calibrated models inside a band of the figure, at each level
FEW_SYSTEMS = 100  # fewer do not tell a sigma that is off by 20% from a right one (2.8 standard errors)
FEW_DRAWS = 20  # fewer leave the mean and sigma of a prediction itself uncertain
FEWEST_DRAWS = 4  # fewer have no variance of z-scores
LEVELS = np.arange(1, 20) / 20  # of the central intervals: 5% to 95%
BINS = 10  # of the histograms of PIT values
COMPONENTS = 4  # of the test of uniformity: bias, spread, skewness, tails
SCATTER = 0.5  # of TARP's points around the prediction, in sigma: from afar a ball is a plane and sees less


# ---------------------------------------------------------------- ranks


def pit(draws: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Probability integral transform: where the truth lies in the predicted distribution, in [0, 1].

    The rank of the truth among P draws, made continuous by a random number inside its step: exactly
    uniform under calibration, however few draws there are.

    Parameters
    ----------
    draws : (P, ...)
    truth : (...)

    Returns
    -------
    (...)
    """
    below = np.count_nonzero(draws < truth, axis=0)
    ties = np.count_nonzero(draws == truth, axis=0)
    return (below + rng.uniform(size=truth.shape) * (ties + 1)) / (len(draws) + 1)


def tarp(draws: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tests of accuracy with random points (TARP): one value in [0, 1] a system, for all targets jointly.

    The share of draws that lie nearer to a random reference point than the truth does (Lemos et al.
    2023, arXiv:2302.03026): uniform for any choice of points if the joint distribution is right. The
    points scatter around the prediction half as widely as its draws do, and distances are in units of
    the draws' scatter, so that all targets and their correlations count, however sharply each is predicted. Half of
    the draws place the points and the other half are ranked: else the draws would lie nearer to their own
    mean than an equally honest truth.

    Parameters
    ----------
    draws : (P, n, K), with P >= 4.
    truth : (n, K)

    Returns
    -------
    (n,)
    """
    placing, ranked = np.split(draws, [len(draws) // 2])
    centre, width = placing.mean(0), placing.std(0, ddof=1)
    reference = SCATTER * rng.standard_normal(truth.shape)
    distances = np.square((ranked - centre) / width - reference).sum(-1)  # (P / 2, n)
    return pit(distances, np.square((truth - centre) / width - reference).sum(-1), rng)


def central(values: np.ndarray, levels: np.ndarray = LEVELS) -> np.ndarray:
    """Coverage of central intervals: the share of systems whose PIT value lies within each.

    Parameters
    ----------
    values : (n, ...) PIT values.
    levels : (L,) probability in the interval.

    Returns
    -------
    (L, ...)
    """
    return np.mean(np.abs(2 * values - 1) <= _column(levels, values), axis=1)


def nearer(values: np.ndarray, levels: np.ndarray = LEVELS) -> np.ndarray:
    """Expected coverage of TARP: the share of systems whose value lies below each level, (n,) to (L,)."""
    return np.mean(values <= _column(levels, values), axis=1)


def _column(levels: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.reshape(levels, (-1, *(1 for _ in values.shape)))


def band(share: np.ndarray, systems: float) -> tuple[np.ndarray, np.ndarray]:
    """Limits between which a share found among ``systems`` lies with probability ``BAND`` where it is right."""
    count = max(int(systems), 1)
    outside = (1 - BAND) / 2
    return binom.ppf(outside, count, share) / count, binom.ppf(1 - outside, count, share) / count


def uniformity(values: np.ndarray, systems: float | None = None) -> np.ndarray:
    """p-values that PIT values are uniform: Neyman's (1937) smooth test with four components.

    The components are the means of the orthonormal shifted Legendre polynomials, which measure
    bias, spread, skewness and weight of the tails; n times the sum of their squares is chi-squared
    with four degrees of freedom. For a sigma off by 20% it needs far fewer systems than the test of
    Kolmogorov and Smirnov: 300 suffice.

    Parameters
    ----------
    values : (n, ...)
    systems : the number of systems that the means are worth; n if None. See :func:`effective`.

    Returns
    -------
    (...)
    """
    systems = len(values) if systems is None else systems
    means = [
        np.mean(np.sqrt(2 * order + 1) * eval_sh_legendre(order, values), axis=0) for order in range(1, COMPONENTS + 1)
    ]
    return chi2.sf(systems * np.sum(np.square(means), axis=0), COMPONENTS)


# ---------------------------------------------------------------- Gaussian summaries


def z_scores(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(truth - mean) / sigma of the draws: (n, K), of unit variance for calibrated Gaussians.

    The mean and sigma of P draws are noisy themselves, which makes the variance (P + 1) / (P - 3)
    for Gaussian draws; this factor is taken out.
    """
    count = len(draws)
    return (truth - draws.mean(0)) / draws.std(0) * np.sqrt((count - 3) / (count + 1))


def spread(z: np.ndarray) -> tuple[float, float]:
    """Standard deviation of z-scores with its standard error, for any shape of their distribution.

    Of several targets: the root of their mean variance; the error allows for correlations between them.

    Parameters
    ----------
    z : (n,) or (n, K)
    """
    square = np.square(z - z.mean(0)).reshape(len(z), -1).mean(1)
    deviation = np.sqrt(square.mean())
    return float(deviation), float(square.std() / np.sqrt(len(z)) / (2 * deviation))


# ---------------------------------------------------------------- scores


def crps(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score, in the unit of the target: (n, K); small is good.

    By probability-weighted moments, which is unbiased for any number of draws (Zamo & Naveau 2018).
    """
    return scoringrules.crps_ensemble(truth, draws, m_axis=0, estimator="pwm", backend="numpy")


def negative_log_likelihood(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """-ln of the density of a Gaussian with the draws' mean and sigma at the truth: (n, K) [nat]."""
    return scoringrules.logs_normal(truth, draws.mean(0), draws.std(0), backend="numpy")


def joint_negative_log_likelihood(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """-ln of the density of a Gaussian with the draws' mean and covariance at the truth, all targets jointly.

    What a finite number of draws adds on average is taken out: for Gaussian draws the score is in the mean
    that of infinitely many (Siegert et al. 2019, in one dimension; here by the means of the Wishart distribution).

    Parameters
    ----------
    draws : (P, n, K), of which P > K + 2.
    truth : (n, K)

    Returns
    -------
    (n,) [nat]; NaN with fewer draws than ``FEW_DRAWS``, whose covariance would say little.
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
    """How far TARP's coverage is from its level, in the mean over ``LEVELS``; small is good.

    Parameters
    ----------
    values : (n,) TARP values.
    weights : (..., n) of the systems, summing to 1; equal ones if None.

    Returns
    -------
    (...)
    """
    inside = values[:, None] <= LEVELS  # (n, L)
    shares = inside.mean(0) if weights is None else weights @ inside
    return np.abs(shares - LEVELS).mean(-1)


def expected_miscoverage(systems: int) -> float:
    """The mean of :func:`miscoverage` for a calibrated model, whose shares are nearly Gaussian."""
    return float(np.mean(np.sqrt(2 / np.pi * LEVELS * (1 - LEVELS) / systems)))


# ---------------------------------------------------------------- recalibration


def fit_scale(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The factor on each target's sigma that makes Gaussian z-scores likeliest, with its standard error.

    It is the root of the mean squared z-score (Laves et al. 2020, there for a network's variance).

    Parameters
    ----------
    z : (n, K), of other systems than those that the factor is for.

    Returns
    -------
    (K,), (K,)
    """
    square = np.square(z)
    scale = np.sqrt(square.mean(0))
    return scale, square.std(0) / np.sqrt(len(z)) / (2 * scale)


def rescaled(draws: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Draws (P, n, K) moved away from their mean by a factor for each target, (K,)."""
    mean = draws.mean(0)
    return mean + scale * (draws - mean)


def effective(systems: int, fitted: int) -> float:
    """The number of systems that a test is worth after a recalibration.

    The scale has an error of its own, from the ``fitted`` systems of the validation split, that
    moves all test systems together: 1 / (1 / systems + 1 / fitted).
    """
    return 1 / (1 / systems + 1 / fitted)


def verdict(p_value: float, tests: int, systems: float, draws: int) -> str:
    """What a test says: "passes", "fails", or "too few" where it could not tell.

    Parameters
    ----------
    p_value : of one test.
    tests : how many are made at once; the significance is shared among them (Bonferroni).
    systems : what the test set is worth, see :func:`effective`.
    draws : the fewest passes that the test builds on.
    """
    if systems < FEW_SYSTEMS or draws < FEW_DRAWS:
        return "too few"
    return "fails" if p_value < SIGNIFICANCE / tests else "passes"
