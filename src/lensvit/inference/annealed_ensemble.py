r"""Ensemble sampling of a posterior that is far narrower than where its walkers start.

Walkers are emcee's (Foreman-Mackey et al. 2013, PASP 125, 306). What a careful user of it does by hand is done
here by rule, and never with a look at the truth:

1. Annealing. Many more particles than walkers are drawn where the chain starts. The likelihood enters as
   :math:`L^\beta` with a growing :math:`\beta`, each next one so much larger that half of the particles still
   count; they are drawn again by their weights, which takes those in poor modes to better ones, and moved by
   differential evolution (a sequential Monte Carlo sampler, Del Moral et al. 2006, JRSS B 68, 411). Modes are
   found early; as :math:`\beta` grows on, fewer particles are drawn.
2. Tuning. The walkers move on at :math:`\beta = 1`, and mean and covariance of what they passed in the last
   half of their steps are learnt for the proposals. All steps up to here are burn-in and thrown away.
3. Sampling with these fixed proposals and differential evolution (ter Braak 2006), whose steps do not rest on
   what was learnt, until the chain is fifty autocorrelation times long and the estimate of these is steady.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import emcee
import numpy as np

from lensvit.inference.settings import EnsembleSettings

Target = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

EFFECTIVE = 0.5  # share of the particles that count after a step of the annealing
MANY = 1e-3  # inverse temperature up to which there are all particles
FEWER = 3  # times fewer of them at the end
LEAST = 2  # particles for each walker: what is left of fewer by the drawing need not span all dimensions
TEMPERATURES = 200  # most steps of the annealing
BISECTIONS = 60
# shares of the steps, and what learnt proposals keep of a walker's distance from the mean: long steps are good
# where the posterior is a Gaussian, short ones take a walker out of a corner where it is not
LONG, SHORT, EVOLUTION = 0.75, 0.15, 0.1
KEPT_LONG, KEPT_SHORT = 0.4, 0.9
WIDER = 1.2  # of learnt proposals, in standard deviations: narrower ones than the posterior leave walkers behind
ROUNDS = 1, 2, 4  # lengths of the rounds of tuning: the better the proposals, the more there is to learn
LENGTH = 50  # autocorrelation times that a converged chain has at least
STEADY = 0.05  # change of the autocorrelation time since the last look
LOOKS = 50  # steps between two looks
AGREE = 1.05  # largest split R-hat of chains that have found the same posterior
SPREAD = 1e-12  # of a proposal, relative: keeps a covariance positive


class Particles(NamedTuple):
    """Places (n, d), with log prior and log likelihood there (n,)."""

    values: np.ndarray
    prior: np.ndarray
    likelihood: np.ndarray

    def rows(self, rows: np.ndarray) -> Particles:
        """Some of them."""
        return Particles(*(part[rows] for part in self))


class Chain(NamedTuple):
    """After the burn-in, steps (N, W, d) of W walkers and their log likelihood (N, W).

    tau : the longest autocorrelation time of the d values [steps], NaN for a chain too short for any.
    long_enough : whether the chain has 50 of it, and it was steady.
    """

    values: np.ndarray
    likelihood: np.ndarray
    tau: float
    long_enough: bool

    def thinned(self, count: int) -> np.ndarray:
        """(count, d), evenly from all steps of all walkers, in the order of the steps."""
        flat = self.values.reshape(-1, self.values.shape[-1])
        return flat[np.linspace(0, len(flat) - 1, count).round().astype(int)]

    def most_likely(self) -> np.ndarray:
        """(d,)."""
        return self.values.reshape(-1, self.values.shape[-1])[self.likelihood.argmax()]


class Ensemble:
    """Samples one target; counts its calls and the seconds they take.

    Parameters
    ----------
    target : function of values (n, d) that returns their log prior and log likelihood (n,); minus infinity
        where there is none.
    options : with ``walkers``, ``particles``, ``annealing_steps`` (at each temperature), ``tuning_steps`` (in
        the first of three rounds, twice and four times as many in the others) and ``max_steps`` (after the burn-in).
    seed : of all that is drawn.
    """

    def __init__(self, target: Target, options: EnsembleSettings, seed: int) -> None:
        self.target, self.options = target, options
        self.rng = np.random.default_rng(seed)
        self.calls, self.temperatures, self.started = 0, 0, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the ensemble was made."""
        return time.perf_counter() - self.started

    def at(self, values: np.ndarray) -> Particles:
        """The target at values (n, d)."""
        self.calls += len(values)
        prior, likelihood = self.target(values)
        good = np.isfinite(prior) & np.isfinite(likelihood)
        return Particles(values, np.where(good, prior, -np.inf), np.where(good, likelihood, -np.inf))

    # ------------------------------------------------------------ burn-in

    def annealed(self, start: np.ndarray) -> Particles | None:
        """Walkers of the target, from places (n, d) of the start's own distribution; None if it leads nowhere."""
        particles, inverse = self.at(start), 0.0
        if not np.isfinite(particles.likelihood).any():
            return None
        for _ in range(TEMPERATURES):
            weights, inverse = self._next(particles.likelihood, inverse)
            particles = particles.rows(self._drawn_again(weights, self._count(inverse)))
            particles = self._moved(particles, inverse, self.options.annealing_steps, emcee.moves.DEMove())[0]
            self.temperatures += 1
            if inverse == 1:
                return particles.rows(self.rng.permutation(len(particles.values))[: self.options.walkers])
        return None

    def _count(self, inverse: float) -> int:
        """Particles at an inverse temperature."""
        most = self.options.particles
        share = np.log(max(inverse, MANY)) / np.log(MANY)
        return max(min(most, LEAST * self.options.walkers), round(most * FEWER ** (share - 1)))

    def _next(self, likelihood: np.ndarray, inverse: float) -> tuple[np.ndarray, float]:
        """Weights of the particles for the next inverse temperature, and this."""
        relative, least = likelihood - likelihood.max(), EFFECTIVE * min(len(likelihood), self.options.particles)

        def weights(trial: float) -> np.ndarray:
            result = np.exp((trial - inverse) * relative)
            return result / result.sum()

        def enough(trial: float) -> bool:
            return 1 / np.square(weights(trial)).sum() >= least

        if enough(1.0):
            return weights(1.0), 1.0
        low, high = inverse, 1.0
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if enough(middle) else (low, middle)
        return weights(low), low

    def _drawn_again(self, weights: np.ndarray, count: int) -> np.ndarray:
        """Rows by systematic resampling (Kitagawa 1996), so that a weight of 1 / count is always drawn."""
        levels = (self.rng.random() + np.arange(count)) / count
        return np.searchsorted(np.cumsum(weights), levels).clip(max=len(weights) - 1)

    # ------------------------------------------------------------ steps

    def _moved(
        self, particles: Particles, inverse: float, steps: int, moves: object, keep: bool = False
    ) -> tuple[Particles, emcee.EnsembleSampler]:
        """Particles after so many steps at an inverse temperature; ``keep`` the chain in the sampler."""
        sampler = self._sampler(particles, inverse, moves)
        state = _state(particles, inverse)
        for state in sampler.sample(state, iterations=steps, skip_initial_state_check=True, store=keep):
            pass
        return Particles(state.coords, *state.blobs.T), sampler

    def _sampler(self, particles: Particles, inverse: float, moves: object) -> emcee.EnsembleSampler:
        def density(values: np.ndarray) -> np.ndarray:
            _, prior, likelihood = self.at(values)
            total = np.where(np.isfinite(likelihood), prior + inverse * likelihood, -np.inf)
            return np.stack([total, prior, likelihood], 1)

        sampler = emcee.EnsembleSampler(*particles.values.shape, density, moves=moves, vectorize=True)
        sampler.random_state = np.random.RandomState(self.rng.integers(2**32)).get_state()
        return sampler

    def tuned(self, walkers: Particles) -> tuple[Particles, list]:
        """Walkers after the tuning, and the moves to sample with."""
        moves: object = emcee.moves.DEMove()
        chain = np.empty((0, *walkers.values.shape))
        for steps in (self.options.tuning_steps * times for times in ROUNDS):
            walkers, sampler = self._moved(walkers, 1.0, steps, moves, keep=True)
            chain = np.concatenate([chain, sampler.get_chain()])
            passed = chain[len(chain) // 2 :].reshape(-1, chain.shape[-1])
            moves = [
                (learnt(passed, KEPT_LONG, WIDER), LONG),
                (learnt(passed, KEPT_SHORT, WIDER), SHORT),
                (emcee.moves.DEMove(), EVOLUTION),
            ]
        return walkers, moves

    def chain(self, walkers: Particles, moves: list) -> Chain:
        """Sample until the chain is long enough, or has its most steps."""
        sampler, state = self._sampler(walkers, 1.0, moves), _state(walkers, 1.0)
        tau, done = np.nan, False
        steps = sampler.sample(state, iterations=self.options.max_steps, skip_initial_state_check=True)
        for _ in steps:
            if sampler.iteration % LOOKS:
                continue
            before, tau = tau, _autocorrelation(sampler)
            done = sampler.iteration >= LENGTH * tau and abs(tau - before) < STEADY * tau
            if done:
                break
        return Chain(sampler.get_chain(), sampler.get_blobs()[..., 1], tau, bool(done))


def _state(particles: Particles, inverse: float) -> emcee.State:
    values, prior, likelihood = particles
    total = np.where(np.isfinite(likelihood), prior + inverse * likelihood, -np.inf)
    return emcee.State(values, log_prob=total, blobs=np.stack([prior, likelihood], 1))


def _autocorrelation(sampler: emcee.EnsembleSampler) -> float:
    """The longest of all values [steps]; NaN where a value never moved."""
    return float(np.max(sampler.get_autocorr_time(tol=0)))


def learnt(passed: np.ndarray, kept: float, wider: float = 1.0) -> emcee.moves.MHMove:
    """Proposals that know the mean m and the covariance C / ``wider``^2 of places (n, d) passed before.

    x' = m + k (x - m) + (1 - k^2)^(1/2) N(0, C), k being ``kept``, by itself leaves N(m, C) as it is (Neal
    1998); the ratio of the two densities corrects for it. The better the posterior is a Gaussian, the more are
    accepted.
    """
    mean, covariance = passed.mean(0), wider**2 * np.atleast_2d(np.cov(passed, rowvar=False))
    root = np.linalg.cholesky(covariance + np.diag(SPREAD * np.diag(covariance)))
    inverse = np.linalg.inv(root)

    def propose(values: np.ndarray, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        before = (values - mean) @ inverse.T
        after = kept * before + np.sqrt(1 - kept**2) * random.normal(size=before.shape)
        return mean + after @ root.T, (np.square(after) - np.square(before)).sum(1) / 2

    return emcee.moves.MHMove(propose)


def split_r_hat(chains: list[np.ndarray]) -> float:
    """The largest split R-hat (Gelman et al. 2013) of chains (S, d) of one target: 1 if they agree, else more."""
    halves = [part for chain in chains for part in np.array_split(chain, 2)]
    count = min(map(len, halves))
    within = np.mean([half.var(0, ddof=1) for half in halves], axis=0)
    between = np.var([half.mean(0) for half in halves], axis=0, ddof=1)
    return float(np.sqrt((count - 1) / count + between / within).max())
