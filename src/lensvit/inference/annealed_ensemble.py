r"""Ensemble sampling of a posterior that is far narrower than where its walkers start.

Walkers are emcee's (Foreman-Mackey et al. 2013, PASP 125, 306). What a careful user does by hand is done
here by rule, and never with a look at the truth:

1. Annealing. Many more particles than walkers are drawn where the chain starts. The likelihood enters as
   :math:`L^\beta` with a growing :math:`\beta`, each next one so much larger that the effective number of particles
   halves; they are drawn again by their weights, which takes those in poor modes to better ones, and moved by
   differential evolution (a sequential Monte Carlo sampler, Del Moral et al. 2006, JRSS B 68, 411). Modes are
   found early, so that fewer particles are drawn as :math:`\beta` grows on.
2. Tuning. The walkers move on at :math:`\beta = 1`, and mean and covariance of what they passed in the last
   half of their steps are learnt for the proposals. All steps up to here are burn-in and thrown away.
   Walkers that start from samples of the posterior need no annealing and less of the tuning.
3. Sampling. The walkers move on by these fixed proposals and by differential evolution (ter Braak 2006), whose steps
   do not rest on what was learnt, until the chain is fifty autocorrelation times long and the estimate of these is
   steady.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import emcee
import numpy as np

from lensvit.inference.settings import EnsembleSettings

Target = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
Moves = list[tuple[emcee.moves.Move, float]]  # with the share of the steps of each

EFFECTIVE = 0.5  # effective share of the particles after a step of the annealing
MANY = 1e-3  # inverse temperature up to which there are all particles
FEWER = 3  # all particles over those at the end
LEAST = 2  # particles for each walker: the different ones of fewer that are drawn again need not span all dimensions
TEMPERATURES = 200  # most steps of the annealing
BISECTIONS = 60
# shares of the steps, and what learnt proposals keep of a walker's distance from the mean: long steps are good
# where the posterior is a Gaussian, short ones take a walker out of a corner where it is not
LONG, SHORT, EVOLUTION = 0.75, 0.15, 0.1
KEPT_LONG, KEPT_SHORT = 0.4, 0.9
WIDER = 1.2  # learnt proposals over the posterior, in standard deviations: narrower ones leave walkers behind
ROUNDS = 1, 2, 4  # lengths of the rounds of tuning: the better the proposals, the more there is to learn
KNOWN_ROUNDS = (1,)  # the same for walkers that start from samples of the posterior, which proposals know already
LENGTH = 50  # autocorrelation times that a converged chain has at least
STEADY = 0.05  # change of the autocorrelation time since the last look
LOOKS = 50  # steps between two looks
SPREAD = 1e-12  # relative increase of a proposal's variances: keeps a covariance positive


class Particles(NamedTuple):
    """Places with their densities.

    Parameters
    ----------
    values
        Places (n, d).
    prior
        Log prior there, (n,).
    likelihood
        Log likelihood there, (n,); minus infinity for both where there is none.
    """

    values: np.ndarray
    prior: np.ndarray
    likelihood: np.ndarray

    def rows(self, rows: np.ndarray) -> Particles:
        """The particles of some rows."""
        return Particles(*(part[rows] for part in self))


class Chain(NamedTuple):
    """What W walkers passed in N steps after the burn-in.

    Parameters
    ----------
    values
        Places (N, W, d).
    likelihood
        Log likelihood there, (N, W).
    tau
        The longest autocorrelation time of the d values [steps]; NaN for a chain that is too short for any.
    long_enough
        Whether the chain is 50 autocorrelation times long, and their estimate was steady.
    """

    values: np.ndarray
    likelihood: np.ndarray
    tau: float
    long_enough: bool

    def thinned(self, count: int) -> np.ndarray:
        """Places (count, d), evenly from all steps of all walkers, in the order of the steps."""
        flat = self.values.reshape(-1, self.values.shape[-1])
        return flat[np.linspace(0, len(flat) - 1, count).round().astype(int)]

    def most_likely(self) -> np.ndarray:
        """The place (d,) of the largest likelihood."""
        return self.values.reshape(-1, self.values.shape[-1])[self.likelihood.argmax()]


class Ensemble:
    """Samples one target, and counts for how many places it was computed.

    Parameters
    ----------
    target
        Function of places (n, d) that returns their log prior (n,) and log likelihood (n,), minus infinity
        where there is none.
    settings
        Number of walkers and steps.
    seed
        Seed of all that is drawn.

    Attributes
    ----------
    calls : int
        Number of places at which the target was computed.
    temperatures : int
        Number of steps of the annealing.
    """

    def __init__(self, target: Target, settings: EnsembleSettings, seed: int) -> None:
        self.target, self.settings = target, settings
        self.rng = np.random.default_rng(seed)
        self.calls, self.temperatures, self.started = 0, 0, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time since the ensemble was made [s]."""
        return time.perf_counter() - self.started

    def at(self, values: np.ndarray) -> Particles:
        """The target at places (n, d)."""
        self.calls += len(values)
        prior, likelihood = self.target(values)
        good = np.isfinite(prior) & np.isfinite(likelihood)
        return Particles(values, np.where(good, prior, -np.inf), np.where(good, likelihood, -np.inf))

    def annealed(self, start: np.ndarray) -> Particles | None:
        """Walkers that the annealing has brought to the target's modes.

        Parameters
        ----------
        start
            Places (n, d), drawn from the prior.

        Returns
        -------
        Particles or None
            The walkers; None if none of the places has a likelihood, or the annealing takes too many steps.
        """
        particles, inverse = self.at(start), 0.0
        if not np.isfinite(particles.likelihood).any():
            return None
        for _ in range(TEMPERATURES):
            weights, inverse = self._next(particles.likelihood, inverse)
            particles = particles.rows(self._drawn_again(weights, self._count(inverse)))
            particles = self._moved(particles, inverse, self.settings.annealing_steps, [(emcee.moves.DEMove(), 1.0)])[0]
            self.temperatures += 1
            if inverse == 1:
                return particles.rows(self.rng.permutation(len(particles.values))[: self.settings.walkers])
        return None

    def _count(self, inverse: float) -> int:
        """The number of particles at an inverse temperature."""
        most = self.settings.particles
        share = np.log(max(inverse, MANY)) / np.log(MANY)
        return max(min(most, LEAST * self.settings.walkers), round(most * FEWER ** (share - 1)))

    def _next(self, likelihood: np.ndarray, inverse: float) -> tuple[np.ndarray, float]:
        """Weights of the particles for the next inverse temperature, and this temperature."""
        relative, least = likelihood - likelihood.max(), EFFECTIVE * min(len(likelihood), self.settings.particles)

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
        """Rows (count,) by systematic resampling (Kitagawa 1996): a weight of 1 / count or more is always drawn."""
        levels = (self.rng.random() + np.arange(count)) / count
        return np.searchsorted(np.cumsum(weights), levels).clip(max=len(weights) - 1)

    def _moved(
        self, particles: Particles, inverse: float, steps: int, moves: Moves, keep: bool = False
    ) -> tuple[Particles, emcee.EnsembleSampler]:
        """Particles after so many steps at an inverse temperature, and the sampler, which may keep their chain."""
        sampler = self._sampler(particles, inverse, moves)
        state = sampler.run_mcmc(_state(particles, inverse), steps, skip_initial_state_check=True, store=keep)
        return Particles(state.coords, *state.blobs.T), sampler

    def _sampler(self, particles: Particles, inverse: float, moves: Moves) -> emcee.EnsembleSampler:
        """A sampler of the target at an inverse temperature, with a walker for each particle."""

        def density(values: np.ndarray) -> np.ndarray:
            _, prior, likelihood = self.at(values)
            total = np.where(np.isfinite(likelihood), prior + inverse * likelihood, -np.inf)
            return np.stack([total, prior, likelihood], 1)

        sampler = emcee.EnsembleSampler(*particles.values.shape, density, moves=moves, vectorize=True)
        sampler.random_state = np.random.RandomState(self.rng.integers(2**32)).get_state()
        return sampler

    def sampled(self, samples: np.ndarray) -> Particles | None:
        """Walkers at some of the samples of a posterior, in place of :meth:`annealed`.

        Parameters
        ----------
        samples
            Places (n, d).

        Returns
        -------
        Particles or None
            The walkers; None if fewer different places of the samples have a likelihood than there are walkers.
        """
        places = np.unique(samples, axis=0)
        if len(places) < self.settings.walkers:
            return None
        places, found = self.rng.permutation(places), list[Particles]()
        for start in range(0, len(places), self.settings.walkers):
            some = self.at(places[start : start + self.settings.walkers])
            found.append(some.rows(np.flatnonzero(np.isfinite(some.likelihood))))
            if sum(len(part.values) for part in found) >= self.settings.walkers:
                every = Particles(*map(np.concatenate, zip(*found, strict=True)))
                return every.rows(np.arange(self.settings.walkers))
        return None

    def tuned(self, walkers: Particles, samples: np.ndarray | None = None) -> tuple[Particles, Moves]:
        """Walkers after the tuning, and the moves to sample with.

        Parameters
        ----------
        walkers
            What :meth:`annealed` or :meth:`sampled` returns.
        samples
            Places (n, d) that are samples of the posterior, if there are any.
        """
        chain = np.empty((0, *walkers.values.shape))
        known = np.empty((0, walkers.values.shape[-1])) if samples is None else samples
        moves = [(emcee.moves.DEMove(), 1.0)] if samples is None else _informed(known)
        for steps in (self.settings.tuning_steps * times for times in (ROUNDS if samples is None else KNOWN_ROUNDS)):
            walkers, sampler = self._moved(walkers, 1.0, steps, moves, keep=True)
            chain = np.concatenate([chain, sampler.get_chain()])
            passed = chain[len(chain) // 2 :].reshape(-1, chain.shape[-1])
            moves = _informed(np.concatenate([known, passed]))
        return walkers, moves

    def chain(self, walkers: Particles, moves: Moves) -> Chain:
        """Sample until the chain is long enough or has as many steps as are allowed.

        Parameters
        ----------
        walkers
            Walkers after the tuning.
        moves
            Moves to sample with.
        """
        sampler, state = self._sampler(walkers, 1.0, moves), _state(walkers, 1.0)
        tau, done = np.nan, False
        steps = sampler.sample(state, iterations=self.settings.max_steps, skip_initial_state_check=True)
        for _ in steps:
            if sampler.iteration % LOOKS:
                continue
            before, tau = tau, _autocorrelation(sampler)
            done = sampler.iteration >= LENGTH * tau and abs(tau - before) < STEADY * tau
            if done:
                break
        return Chain(sampler.get_chain(), sampler.get_blobs()[..., 1], tau, bool(done))


def _informed(passed: np.ndarray) -> Moves:
    """The moves to sample with, of which most know places (n, d) that walkers passed before."""
    return [
        (learnt(passed, KEPT_LONG, WIDER), LONG),
        (learnt(passed, KEPT_SHORT, WIDER), SHORT),
        (emcee.moves.DEMove(), EVOLUTION),
    ]


def _state(particles: Particles, inverse: float) -> emcee.State:
    """Particles as a state of emcee's sampler, with log prior and log likelihood as blobs."""
    values, prior, likelihood = particles
    total = np.where(np.isfinite(likelihood), prior + inverse * likelihood, -np.inf)
    return emcee.State(values, log_prob=total, blobs=np.stack([prior, likelihood], 1))


def _autocorrelation(sampler: emcee.EnsembleSampler) -> float:
    """The longest autocorrelation time of all values [steps]; NaN where a value never moved."""
    return float(np.max(sampler.get_autocorr_time(tol=0)))


def learnt(passed: np.ndarray, kept: float, wider: float = 1.0) -> emcee.moves.MHMove:
    r"""Proposals that know the mean m and the covariance of places that walkers passed before.

    .. math:: x' = m + k (x - m) + \sqrt{1 - k^2} \, N(0, C)

    by itself leaves N(m, C) as it is (Neal 1998); the ratio of the two densities corrects for it. The nearer the
    posterior is to a Gaussian, the more proposals are accepted.

    Parameters
    ----------
    passed
        Places (n, d).
    kept
        The factor k on a walker's distance from the mean.
    wider
        Root of the ratio of C to the covariance of the places.
    """
    mean, covariance = passed.mean(0), wider**2 * np.atleast_2d(np.cov(passed, rowvar=False))
    root = np.linalg.cholesky(covariance + np.diag(SPREAD * np.diag(covariance)))
    inverse = np.linalg.inv(root)

    def propose(values: np.ndarray, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        before = (values - mean) @ inverse.T
        after = kept * before + np.sqrt(1 - kept**2) * random.normal(size=before.shape)
        return mean + after @ root.T, (np.square(after) - np.square(before)).sum(1) / 2

    return emcee.moves.MHMove(propose)
