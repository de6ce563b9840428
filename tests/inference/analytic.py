"""Posteriors whose means, widths and evidence (1, its logarithm 0) are known, as importance sampling takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from lensvit.inference.chart import Chart
from lensvit.inference.importance import ImportanceSample

STEP = 1e-3  # of differences
FLATTEST = 0.05  # least curvature that counts
CLIMB = 5  # steps that a search is counted as

MEAN_OFF, WIDTH_OFF, EVIDENCE_OFF = 0.5, np.log(1.5), 0.3  # from which on a certificate is wrong


class Analytic:
    """A density of coordinates y along rotated axes, whose integral is 1.

    Parameters
    ----------
    density
        Function of y (n, d) that gives log densities (n,).
    maxima
        y (m, d) of the maxima that are given.
    spreads
        Covariances (m, d, d) of Laplace's approximation in y there.
    mean, sigma
        (d,) of y.
    random
        Generator of the axes.
    """

    def __init__(
        self,
        density: Callable[[np.ndarray], np.ndarray],
        maxima: np.ndarray,
        spreads: np.ndarray,
        mean: np.ndarray,
        sigma: np.ndarray,
        random: np.random.Generator,
    ) -> None:
        size = len(mean)
        self.axes, _ = np.linalg.qr(random.standard_normal((size, size)))
        self.density, self.mean, self.sigma, self.calls = density, mean, sigma, 0
        self.charts = [
            Chart.straight(self.axes @ place, self.axes @ spread @ self.axes.T)
            for place, spread in zip(maxima, spreads, strict=True)
        ]
        self.asked: list[np.ndarray] = []  # places from which searches began

    def _log_density(self, places: np.ndarray) -> np.ndarray:
        return self.density(places @ self.axes)

    def log_density(self, places: np.ndarray) -> np.ndarray:
        self.calls += len(places)
        return self._log_density(places)

    def local(self, places: np.ndarray) -> Sequence[Chart]:
        self.calls += len(places) * (1 + len(self.mean))
        return [Chart.straight(place, self._spread(place)) for place in places]

    def climbed(self, places: np.ndarray) -> Sequence[Chart]:
        self.calls += CLIMB * places.size
        self.asked += list(places)
        ends = [minimize(lambda at: -self._log_density(at[None])[0], place, jac=self._fall).x for place in places]
        return [Chart.straight(end, self._spread(end)) for end in ends]

    def _fall(self, place: np.ndarray) -> np.ndarray:
        """The gradient of minus the log density."""
        steps = STEP * np.eye(len(place))
        return (self._log_density(place - steps) - self._log_density(place + steps)) / (2 * STEP)

    def _spread(self, place: np.ndarray) -> np.ndarray:
        """The inverse of the curvature, taken as positive."""
        steps = STEP * np.eye(len(place))
        rows = [
            [place + one * left + other * right for left in steps for right in steps]
            for one, other in ((1, 1), (-1, -1), (1, -1), (-1, 1))
        ]
        signs = np.array([1, 1, -1, -1])[:, None]
        values = (signs * np.stack([self._log_density(np.array(part)) for part in rows])).sum(0)
        curvature, vectors = np.linalg.eigh(-values.reshape(len(place), -1) / (4 * STEP**2))
        return vectors / np.maximum(np.abs(curvature), FLATTEST) @ vectors.T

    def errors(self, found: ImportanceSample) -> tuple[float, float, float]:
        """What is off along the axes: the largest error of a mean, in sigmas, and of a log width; the log evidence."""
        places = found.places @ self.axes
        mean = found.weights @ places
        width = np.sqrt(found.weights @ np.square(places - mean))
        means = np.abs((mean - self.mean) / self.sigma).max()
        return float(means), float(np.abs(np.log(width / self.sigma)).max()), found.log_evidence

    def is_wrong(self, found: ImportanceSample) -> bool:
        """Whether a certificate of this sample would be wrong."""
        mean, width, evidence = self.errors(found)
        return mean > MEAN_OFF or width > WIDTH_OFF or abs(evidence) > EVIDENCE_OFF


def _normal(squares: np.ndarray, size: int) -> np.ndarray:
    """Log density of a standard normal in so many dimensions, at squared distances (n,)."""
    return -squares / 2 - size / 2 * np.log(2 * np.pi)


def gauss(size: int, random: np.random.Generator) -> Analytic:
    """A normal distribution whose widths differ by a factor of a hundred."""
    width, center = 10 ** random.uniform(-1, 1, size), random.standard_normal(size)

    def density(y: np.ndarray) -> np.ndarray:
        return _normal(np.square((y - center) / width).sum(1), size) - np.log(width).sum()

    return Analytic(density, center[None], np.diag(width**2)[None], center, width, random)


def curved(size: int, random: np.random.Generator, bend: float) -> Analytic:
    """A banana: the first coordinate follows the square of the second."""

    def density(y: np.ndarray) -> np.ndarray:
        straight = y.copy()
        straight[:, 0] -= bend * (np.square(y[:, 1]) - 1)
        return _normal(np.square(straight).sum(1), size)

    top, sigma = np.zeros((1, size)), np.ones(size)
    top[0, 0], sigma[0] = -bend, np.sqrt(1 + 2 * bend**2)
    return Analytic(density, top, np.eye(size)[None], np.zeros(size), sigma, random)


def double(
    size: int, random: np.random.Generator, apart: float, share: float = 0.5, width: float = 1.0, given: int = 2
) -> Analytic:
    """Two normal distributions, the second of another width, of which one or both maxima are given."""
    second = np.zeros(size)
    second[0] = apart

    def density(y: np.ndarray) -> np.ndarray:
        one = np.log(share) + _normal(np.square(y).sum(1), size)
        other = np.log(1 - share) + _normal(np.square((y - second) / width).sum(1), size) - size * np.log(width)
        return np.logaddexp(one, other)

    mean = (1 - share) * second
    variance = share * (1 + mean**2) + (1 - share) * (width**2 + np.square(second - mean))
    spreads = np.stack([np.eye(size), width**2 * np.eye(size)])
    maxima = np.stack([np.zeros(size), second])
    return Analytic(density, maxima[:given], spreads[:given], mean, np.sqrt(variance), random)


def heavy(size: int, random: np.random.Generator, freedom: float) -> Analytic:
    """A t distribution, of heavier tails than the proposals' where it has less than 8 degrees of freedom."""

    def density(y: np.ndarray) -> np.ndarray:
        constant = gammaln((freedom + size) / 2) - gammaln(freedom / 2) - size / 2 * np.log(freedom * np.pi)
        return constant - (freedom + size) / 2 * np.log1p(np.square(y).sum(1) / freedom)

    spread = np.eye(size) * freedom / (freedom + size)
    sigma = np.full(size, np.sqrt(freedom / (freedom - 2)))
    return Analytic(density, np.zeros((1, size)), spread[None], np.zeros(size), sigma, random)


def some_curved(size: int, seed: int) -> Analytic:
    """A curved density, from nearly straight to strongly bent."""
    random = np.random.default_rng([seed, 1])
    return curved(size, random, random.uniform(0, 1.5))


def some_double(size: int, seed: int, given: int) -> Analytic:
    """A double-peaked density, from one broad peak to two far apart."""
    random = np.random.default_rng([seed, 2])
    values = random.uniform(1.5, 7), random.uniform(0.1, 0.9), random.uniform(0.8, 1.6)
    return double(size, random, *values, given)
