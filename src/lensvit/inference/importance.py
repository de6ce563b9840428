r"""Adaptive importance sampling of a posterior, with a certificate that says whether to believe it.

Places x are drawn from a proposal, in rounds, and weighted by the density of the posterior over that of the proposal,

.. math:: w(x) = p(x) / q(x),

whose mean is the evidence. A proposal q is a mixture of t distributions, each in the coordinates of a chart
(:mod:`lensvit.inference.chart`): one around each maximum that searches have found, and a wide part around these, which
is stretched along one direction after the other. Where the weights are uneven, new components are put at the largest
weights, as wide as the posterior's curvature there (incremental mixture importance sampling, Raftery & Bao 2010), and
all are refitted to the weighted draws by expectation maximisation (Cappé et al. 2008, arXiv:0710.4242). For this, draws
of all rounds count, each weighted by the mixture of all proposals (Cornuet et al. 2012, arXiv:0907.1254). Then rounds
begin anew: draws to which a proposal was fitted are no fair sample of it, and would make the evidence too small. The
largest weights are smoothed by a Pareto distribution, whose shape k says how far sums of weights can be trusted
(Vehtari et al. 2024, JMLR 25, 72), by arviz-stats.

Before that, places are drawn from normal distributions that are two and a half times as wide as the posterior at its
maxima. Where the density is far larger than the known maxima explain, there may be another one, and searches start.

A sample is certified if

- k is small enough, also for the last two rounds alone, and the more so the fewer draws there are,
- its effective size is reached,
- the last two rounds, which are independent, agree on evidence, means and widths within their errors,
- the wide part finds next to no mass where the others expect none,
- and log densities at places of a distribution twice as wide are those of a normal distribution in the charts, to 4
  in the mean, or more in more than 14 dimensions: where a posterior bends away from its charts, its ends may lie where
  no draw comes, and all else looks right.

A maximum that no search has found may stay unknown, the more so the farther it lies and the narrower it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from scipy.special import gammaln, logsumexp

from lensvit.inference.chart import Chart
from lensvit.inference.settings import LARGEST_K, ImportanceSettings
from lensvit.io.tables import CURVED, FEW, HEAVY, MORE, UNSTEADY

FREEDOM = 8.0  # degrees of freedom of the t distributions
CORE = 1.05  # width of a core at first, in Laplace's standard deviations
WIDE, STRETCH = 0.15, 4.0  # share of the wide part, and how far it is stretched
LEAST = 0.01  # smallest share of a component, before all are made to add up to 1
AGREE = 4.0  # largest difference of two rounds in units of its error
OUTSIDE = 0.03  # largest share of the mass where the wide part is denser than the others
POOR = 0.1  # effective over all draws below which the proposal is refitted
NEW, APART = 4, 1.5  # new components at once, and their least distance from others [standard deviations]
AHEAD = 2.0  # width of a new component along a ridge, in units of the posterior's there
MOST = 40  # components
PRIOR_DRAWS = 3.0  # weight of a component's shape in a refit, in draws for each dimension
GROWTH = 1.5  # of a round after a refit
ENOUGH = 1.1  # further draws over those that seem to be missing
SMALLEST, LONGEST = 0.5, 3.0  # further draws, in units of those that there are
PASSES = 3  # steps of the expectation maximisation
HEIGHT_LOOKS, HEIGHT_REACH = 5, 0.5  # places near a maximum, that say how high the posterior is there
NEAR_LOOKS, NEAR_REACH = 32, 2.0  # places that say how normal it is, and the width of their distribution, in its own
CURVED_FROM = 4.0  # mean difference of log densities there to those of a normal distribution that is too much,
CURVED_SIZE = 14  # in so many dimensions or fewer; in more it grows with the root of their number
MOST_OFF = 20.0  # what one place counts for at most in this mean
LOOKS, REACH = 200, 2.5  # places where other maxima are sought, and the width of their distribution
EXCESS = 6.0  # log density above what the maxima explain, from which on a search starts
SEARCHES = 3  # most searches
LOWEST_HEIGHT = -1e300  # log density at a maximum without any
LOWEST = 15.0  # log mass below that of the best maximum from which on a maximum does not matter


class Target(Protocol):
    """A posterior of d parameters."""

    @property
    def calls(self) -> int:
        """Number of places at which the density was asked for, a gradient counting as d of them."""

    def log_density(self, places: np.ndarray) -> np.ndarray:
        """Log densities (n,) at places (n, d), minus infinity where there is none."""

    def local(self, places: np.ndarray) -> Sequence[Chart]:
        """Charts at places (n, d), as wide as the curvature of the log density there."""

    def climbed(self, places: np.ndarray) -> Sequence[Chart]:
        """Charts around the maxima to which searches from places (n, d) have led."""


class Component(NamedTuple):
    """A t distribution in the coordinates u of a chart.

    Parameters
    ----------
    chart
        The chart.
    share
        Its share of the draws.
    mean
        (d,) in u.
    root
        Lower Cholesky factor (d, d) of the scale matrix in u.
    """

    chart: Chart
    share: float
    mean: np.ndarray
    root: np.ndarray

    @classmethod
    def of(cls, chart: Chart, share: float, width: float = 1.0) -> Component:
        """The component that a chart makes by itself, of some width in u."""
        size = len(chart.mean)
        return cls(chart, share, np.zeros(size), width * np.eye(size))

    def squares(self, standard: np.ndarray) -> np.ndarray:
        """Squared distances (n,) of u (n, d) from the mean, in units of the scale matrix."""
        return np.square(np.linalg.solve(self.root, (standard - self.mean).T)).sum(0)

    def log_density(self, standard: np.ndarray) -> np.ndarray:
        """Log density (n,) in places, with the component's share, at u (n, d)."""
        volume = self.chart.log_volume() + np.log(np.diag(self.root)).sum()
        return np.log(self.share) - volume + _log_t(self.squares(standard), len(self.mean))

    def maximised(self, share: float, standard: np.ndarray, owned: np.ndarray, draws: float) -> Component:
        """The component after a step of expectation maximisation.

        Parameters
        ----------
        share
            Its share from now on.
        standard
            u (n, d) of all draws.
        owned
            Weights (n,) of the draws that are its own.
        draws
            What these are worth.
        """
        size, total = standard.shape[1], owned.sum()
        before = PRIOR_DRAWS * size
        pulled = owned * (FREEDOM + size) / (FREEDOM + self.squares(standard))
        if not total > 0:
            return self._replace(share=share)
        mean = (draws * (pulled @ standard) / pulled.sum() + before * self.mean) / (draws + before)
        offset = standard - mean
        spread = (offset * pulled[:, None]).T @ offset / total
        matrix = (draws * spread + before * self.root @ self.root.T) / (draws + before)
        return Component(self.chart, share, mean, np.linalg.cholesky(matrix))


def _square(root: np.ndarray) -> np.ndarray:
    """The matrix with a root (d, d)."""
    return root @ root.T


def _log_t(squares: np.ndarray, size: int) -> np.ndarray:
    """Log density of a t distribution of unit scale in so many dimensions, at squared distances of any shape."""
    constant = gammaln((FREEDOM + size) / 2) - gammaln(FREEDOM / 2) - size / 2 * np.log(FREEDOM * np.pi)
    return constant - (FREEDOM + size) / 2 * np.log1p(squares / FREEDOM)


class Proposal(NamedTuple):
    """A distribution to draw places from.

    Parameters
    ----------
    components
        Its components, of which the first are those around maxima.
    maxima
        The number of these.
    """

    components: Sequence[Component]
    maxima: int

    @classmethod
    def around(cls, charts: Sequence[Chart], heights: np.ndarray) -> Proposal:
        """The proposal that Laplace's approximations make, at maxima with log densities (C,)."""
        masses = heights + [chart.log_volume() for chart in charts]
        shares = np.exp(masses - logsumexp(masses)) + LEAST
        shares = shares / shares.sum()
        return cls([Component.of(chart, share, CORE) for chart, share in zip(charts, shares, strict=True)], len(charts))

    def draw(self, count: int, random: np.random.Generator) -> np.ndarray:
        """Places (count, d), stratified over the components."""
        size, wide = len(self.components[0].mean), self._wide_shares()
        shares = [(1 - WIDE) * part.share for part in self.components]
        shares += [share / size for share in wide for _ in range(size)]
        ends = np.cumsum(shares)
        levels = (random.random() + np.arange(count)) / count * ends[-1]
        chosen = np.searchsorted(ends, levels, side="right").clip(max=len(ends) - 1)
        scale = np.sqrt(random.chisquare(FREEDOM, (count, 1)) / FREEDOM)
        normal, result = random.standard_normal((count, size)) / scale, np.empty((count, size))
        for place, part in enumerate(self.components):
            rows = chosen == place
            result[rows] = part.chart.places(part.mean + normal[rows] @ part.root.T)
        first = len(self.components)
        for place in range(first, len(ends)):
            maximum, direction = divmod(place - first, size)
            rows = chosen == place
            stretch = np.where(np.arange(size) == direction, STRETCH, 1.0)
            result[rows] = self.components[maximum].chart.places(normal[rows] * stretch)
        return result

    def _wide_shares(self) -> np.ndarray:
        """The shares of the wide parts around the maxima."""
        shares = np.array([part.share for part in self.components[: self.maxima]])
        return WIDE * shares / shares.sum()

    def log_densities(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log densities (n,) of the components and of the wide parts at places (n, d), each with its share."""
        size = places.shape[1]
        standard = [part.chart.standard(places) for part in self.components]
        core = [part.log_density(where) for part, where in zip(self.components, standard, strict=True)]
        wide = []
        for part, share, where in zip(self.components, self._wide_shares(), standard, strict=False):
            squares = np.square(where)
            stretched = squares.sum(1, keepdims=True) - (1 - STRETCH**-2) * squares  # (n, d), one for each direction
            volume = part.chart.log_volume() + np.log(STRETCH * size)
            wide.append(np.log(share) - volume + logsumexp(_log_t(stretched, size), axis=1))
        return np.log(1 - WIDE) + logsumexp(core, axis=0), logsumexp(wide, axis=0)

    def log_density(self, places: np.ndarray) -> np.ndarray:
        """Log density (n,) at places (n, d)."""
        return np.logaddexp(*self.log_densities(places))

    def uncovered(self, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The places (m, d) of the largest weights, far from each other and from components that were put before."""
        order = np.argsort(-weights)[: 10 * NEW]
        order = order[weights[order] > 1 / len(weights)]
        chart = self.components[0].chart
        known = [chart.standard(part.chart.mean[None])[0] for part in self.components[self.maxima :]]
        found: list[int] = []
        for row, where in zip(order, chart.standard(places[order]), strict=True):
            if len(found) == min(NEW, MOST - len(self.components)):
                break
            if all(np.abs(where - other).max() > APART for other in known):
                known.append(where)
                found.append(row)
        return places[found]

    def looking_ahead(self, chart: Chart) -> Chart:
        """A chart that is wider along the direction in which it exceeds the first one most: along a ridge."""
        first = self.components[0].chart.root
        _, vectors = np.linalg.eigh(_square(np.linalg.solve(first, chart.root)))
        along = first @ vectors[:, -1]
        length = np.linalg.norm(np.linalg.solve(chart.root, along))  # of a step along it, in its standard deviations
        covariance = _square(chart.root) + (AHEAD**2 - 1) / length**2 * np.outer(along, along)
        return Chart.straight(chart.mean, covariance)

    def refitted(self, places: np.ndarray, weights: np.ndarray, more: Sequence[Chart]) -> Proposal:
        """The proposal that fits weighted draws better.

        Parameters
        ----------
        places
            All draws (n, d).
        weights
            Their weights (n,), of sum 1.
        more
            Charts of new components.
        """
        parts = [*self.components, *(Component.of(chart, LEAST) for chart in more)]
        standard = [part.chart.standard(places) for part in parts]
        worth = 1 / np.square(weights).sum()
        for _ in range(PASSES):
            logs = np.stack([part.log_density(where) for part, where in zip(parts, standard, strict=True)])
            owned = np.exp(logs - logsumexp(logs, axis=0)) * weights  # (K, n)
            totals = owned.sum(1)
            shares = np.maximum(totals, LEAST) / np.maximum(totals, LEAST).sum()
            parts = [
                part.maximised(share, where, own, worth * total)
                for part, share, where, own, total in zip(parts, shares, standard, owned, totals, strict=True)
            ]
        return Proposal(parts, self.maxima)


class Round(NamedTuple):
    """Draws of one proposal.

    Parameters
    ----------
    proposal
        Where they come from.
    places
        (n, d).
    density
        Log posterior density there, (n,); minus infinity where there is none.
    """

    proposal: Proposal
    places: np.ndarray
    density: np.ndarray


class Weighted(NamedTuple):
    """Draws with weights.

    Parameters
    ----------
    weights
        (n,) of sum 1, their largest smoothed.
    k
        Shape of the Pareto distribution of the largest.
    effective
        Effective size.
    log_evidence
        Logarithm of the mean weight.
    error
        Its standard error.
    """

    weights: np.ndarray
    k: float
    effective: float
    log_evidence: float
    error: float

    @property
    def trusted(self) -> bool:
        """Whether k is small enough for a sample of this size."""
        return self.k <= min(LARGEST_K, 1 - 1 / np.log10(len(self.weights)))


def weighted(log_weights: np.ndarray) -> Weighted | None:
    """Smoothed weights of draws with log weights (n,); None if none of these is finite."""
    from arviz_stats.base import array_stats  # takes a second or two to import

    top = log_weights.max()
    if not np.isfinite(top):
        return None
    finite = np.where(np.isfinite(log_weights), log_weights, top - 700)
    with np.errstate(divide="ignore", invalid="ignore"):
        smoothed, k = array_stats.psislw(-finite)
    if not np.isfinite(smoothed).all():  # so few draws count that there is no tail to smooth
        smoothed, k = finite, np.inf
    weights = np.exp(smoothed - logsumexp(smoothed))
    raw = np.exp(log_weights - top)
    count = len(raw)
    effective = 1 / np.square(weights).sum()
    # a sample whose largest weights are all the same has no tail
    k = float(k) if np.isfinite(k) else (-np.inf if effective > count / 2 else np.inf)
    return Weighted(
        weights, k, float(effective), float(np.log(raw.mean()) + top), float(raw.std() / raw.mean() / np.sqrt(count))
    )


class ImportanceSample(NamedTuple):
    """What the sampling of one posterior ended with.

    Parameters
    ----------
    places
        All draws (n, d).
    weights
        Their weights (n,), of sum 1.
    most_probable
        Row of the draw of the largest density.
    k
        Pareto's k.
    effective
        Effective size.
    log_evidence
        Log evidence.
    error
        Its standard error.
    calls
        Number of places at which the density was asked for.
    rounds
        Number of rounds.
    reason
        Why there is no certificate, one of :data:`lensvit.io.tables.REASONS`; empty if there is one.
    """

    places: np.ndarray
    weights: np.ndarray
    most_probable: int
    k: float
    effective: float
    log_evidence: float
    error: float
    calls: int
    rounds: int
    reason: str

    def resampled(self, count: int, random: np.random.Generator) -> np.ndarray:
        """Places (count, d) of equal weight, in random order, by systematic resampling."""
        levels = (random.random() + np.arange(count)) / count
        rows = np.searchsorted(np.cumsum(self.weights), levels).clip(max=len(self.weights) - 1)
        return self.places[random.permutation(rows)]


def sample(
    target: Target, charts: Sequence[Chart], settings: ImportanceSettings, seed: int, patient: bool = False
) -> ImportanceSample | None:
    """Sample a posterior.

    Parameters
    ----------
    target
        The posterior.
    charts
        A chart around each maximum that searches have found.
    settings
        Sizes and budget.
    seed
        Seed of the draws.
    patient
        Whether rounds go on where a posterior is too curved for a certificate, to fit the proposal better. Where none
        is reached, the sample is that of the proposal with the largest effective size.

    Returns
    -------
    ImportanceSample or None
        The sample; None if no draw has a density.
    """
    return _Sampler(target, charts, settings, seed, patient).run()


class _Sampler:
    """The state of the sampling of one posterior."""

    def __init__(
        self, target: Target, charts: Sequence[Chart], settings: ImportanceSettings, seed: int, patient: bool = False
    ) -> None:
        self.target, self.settings, self.patient = target, settings, patient
        self.random, self.first_calls = np.random.default_rng(seed), target.calls
        self.rounds: list[Round] = []
        self.proposal = self._around(charts)

    @property
    def calls(self) -> int:
        """Calls of the target so far."""
        return self.target.calls - self.first_calls

    def _around(self, charts: Sequence[Chart]) -> Proposal:
        """The first proposal, with the maxima that are found from far out."""
        charts, heights = list(charts), [self._height(chart) for chart in charts]
        places, density = self._looks(charts, LOOKS, REACH)
        excess = density - _expected(charts, heights, places)
        order = np.argsort(-excess)[:SEARCHES]
        start = places[order[excess[order] > EXCESS]]
        for chart in self.target.climbed(start) if len(start) else ():
            if all(np.abs(known.standard(chart.mean[None])).max() > APART for known in charts):
                charts.append(chart)
                heights.append(self._height(chart))
        masses = np.array([height + chart.log_volume() for height, chart in zip(heights, charts, strict=True)])
        kept = np.flatnonzero(masses >= masses.max() - LOWEST)
        charts, heights = [charts[row] for row in kept], [heights[row] for row in kept]
        places, density = self._looks(charts, NEAR_LOOKS, NEAR_REACH)
        off = np.abs(density - _expected(charts, heights, places))
        limit = CURVED_FROM * max(1.0, places.shape[1] / CURVED_SIZE) ** 0.5
        self.curved = len(off) > 0 and bool(np.minimum(off, MOST_OFF).mean() > limit)
        return Proposal.around(charts, np.array(heights))

    def _looks(self, charts: Sequence[Chart], count: int, reach: float) -> tuple[np.ndarray, np.ndarray]:
        """Places from distributions ``reach`` times as wide as the charts' that have a density, and its logarithm."""
        standard = reach * self.random.standard_normal((count, len(charts[0].mean)))
        parts = zip(charts, np.array_split(standard, len(charts)), strict=True)
        places = np.concatenate([chart.places(part) for chart, part in parts])
        density = self.target.log_density(places)
        known = np.isfinite(density)  # a prior may end before
        return places[known], density[known]

    def _height(self, chart: Chart) -> float:
        """Log density at a maximum, as places near it have it: a prior may end there, or have a pole."""
        places, density = self._looks([chart], HEIGHT_LOOKS, HEIGHT_REACH)
        squares = np.square(chart.standard(places)).sum(1)
        return float(np.median(density + squares / 2)) if len(density) else LOWEST_HEIGHT

    def run(self) -> ImportanceSample | None:
        """Draw rounds until the sample is certified or the budget is spent."""
        count = first = self.settings.draws
        best: ImportanceSample | None = None
        while True:
            self._round(min(count, max(self._left(), self.settings.draws // 2)))  # searches may have cost much
            result = self._result()
            if result is not None and (best is None or result.effective > best.effective):
                best = result
            hopeless = self.curved and not self.patient and len(self.rounds) > 1
            done = result is not None and (result.reason in ("", CURVED if self.patient else "") or hopeless)
            if done or self._left() < self.settings.draws // 2:
                if self.patient and result is not None and best is not None and not done:
                    result = best._replace(calls=self.calls, rounds=len(self.rounds))
                return result
            worth_it = not self.patient or self._left() > 2 * int(first * GROWTH)  # two rounds of the new proposal
            if result is None or (worth_it and self._is_poor(result)):
                self._refit()
                count = first = int(first * GROWTH)
            else:
                missing = self.settings.effective / result.effective - 1
                count = int(len(result.weights) * min(max(ENOUGH * missing, SMALLEST), LONGEST))

    def _left(self) -> int:
        """Calls that are left; a draw counts as one, also where the density ends before it is asked for."""
        return self.settings.max_calls - max(self.calls, sum(len(part.places) for part in self.rounds))

    def _round(self, count: int) -> None:
        places = self.proposal.draw(count, self.random)
        self.rounds.append(Round(self.proposal, places, self.target.log_density(places)))

    def _now(self) -> list[Round]:
        """The rounds of the proposal as it is: draws to which a proposal was fitted are no fair sample of it."""
        return [part for part in self.rounds if part.proposal is self.proposal]

    def _result(self) -> ImportanceSample | None:
        """The sample so far; None if it has no draw with a density."""
        rounds = self._now()
        every = self._together(rounds)
        if every is None:
            return None
        return ImportanceSample(
            np.concatenate([part.places for part in rounds]), every.weights,
            int(np.concatenate([part.density for part in rounds]).argmax()), every.k, every.effective,
            every.log_evidence, every.error, self.calls, len(self.rounds), self._reason(rounds, every),
        )  # fmt: skip

    def _is_poor(self, result: ImportanceSample) -> bool:
        """Whether a better proposal promises more than further draws of this one."""
        if self.curved and not self.patient:
            return False
        if result.effective < POOR * len(result.weights):
            return True
        return result.k > LARGEST_K if len(self._now()) < 2 else result.reason != FEW

    def _refit(self) -> None:
        """Fit the proposal to all draws so far."""
        every, places = self._together(self.rounds), np.concatenate([part.places for part in self.rounds])
        if every is None:
            return
        new = self.proposal.uncovered(places, every.weights)
        charts = [self.proposal.looking_ahead(chart) for chart in self.target.local(new)] if len(new) else []
        self.proposal = self.proposal.refitted(places, every.weights, charts)

    def _together(self, rounds: list[Round]) -> Weighted | None:
        """The weights of the draws of several rounds."""
        places = np.concatenate([part.places for part in rounds])
        kinds = {id(part.proposal): part.proposal for part in rounds}
        counts = {key: sum(len(part.places) for part in rounds if id(part.proposal) == key) for key in kinds}
        logs = [proposal.log_density(places) + np.log(counts[key] / len(places)) for key, proposal in kinds.items()]
        return weighted(np.concatenate([part.density for part in rounds]) - logsumexp(logs, axis=0))

    def _reason(self, rounds: list[Round], every: Weighted) -> str:
        """Why there is no certificate for some rounds of one proposal with these weights."""
        if self.curved and not self.patient:
            return CURVED
        if len(rounds) < 2:
            return FEW
        both = self._together(rounds[-2:])
        if both is None or not (every.trusted and both.trusted):
            return HEAVY
        if every.effective < self.settings.effective:
            return FEW
        if not _agree(rounds[-2:], [self._together([part]) for part in rounds[-2:]]):
            return UNSTEADY
        core, wide = self.proposal.log_densities(np.concatenate([part.places for part in rounds]))
        if every.weights[wide > core].sum() > OUTSIDE:
            return MORE
        return CURVED if self.curved else ""


def _expected(charts: Sequence[Chart], heights: Sequence[float], places: np.ndarray) -> np.ndarray:
    """Log densities (n,) at places (n, d) of posteriors that are normal in their charts, with heights (C,)."""
    logs = [
        height - np.square(chart.standard(places)).sum(1) / 2 for chart, height in zip(charts, heights, strict=True)
    ]
    return logsumexp(logs, axis=0)


def _agree(rounds: list[Round], weights: Sequence[Weighted | None]) -> bool:
    """Whether two rounds agree on evidence, means and widths within their errors."""
    first, second = weights
    if first is None or second is None:
        return False
    if abs(first.log_evidence - second.log_evidence) > AGREE * np.hypot(first.error, second.error):
        return False
    (mean, mean_error, spread, spread_error), other = (
        _moments(part.places, some.weights) for part, some in zip(rounds, (first, second), strict=True)
    )
    means = np.abs(mean - other[0]) <= AGREE * np.hypot(mean_error, other[1])
    spreads = np.abs(spread - other[2]) <= AGREE * np.hypot(spread_error, other[3])
    return bool(means.all() and spreads.all())


def _moments(places: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Means and variances (d,) of weighted places (n, d), each with its standard error."""
    mean = weights @ places
    squares = np.square(places - mean)
    spread = weights @ squares
    return (
        mean,
        np.sqrt(np.square(weights) @ squares),
        spread,
        np.sqrt(np.square(weights) @ np.square(squares - spread)),
    )
