"""What an exact posterior costs by importance sampling, and by a Markov chain of equal effective size.

Both sample the same system, one thread each. The chain starts from the priors, anneals and is tuned as the stage
``mcmc`` does it, and then makes a number of steps that is enough to see how fast its effective size grows; its cost is
that of the burn-in and of as many further steps as the effective size of the importance sampling needs. The importance
sampling begins at the maximum, whose search is not counted.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from lensvit.bench.posterior import system_posterior
from lensvit.bench.simulation import CAMERAS
from lensvit.bench.table import publish
from lensvit.errors import LensvitError
from lensvit.inference.annealed_ensemble import Ensemble
from lensvit.inference.convergence import effective_sizes
from lensvit.inference.coordinates import start_from
from lensvit.inference.importance import sample
from lensvit.inference.likelihood import covariance
from lensvit.inference.settings import EnsembleSettings, ImportanceSettings
from lensvit.inference.target import LensTarget, SampledLens
from lensvit.jobs.processes import share_work
from lensvit.parameters import NAMES, priors

SEED = 1
SAMPLING = ImportanceSettings(effective=200, draws=200, max_calls=6000)  # as in config.yaml
WALKERS, PARTICLES, ANNEALING, TUNING = 28, 256, 6, 60  # the same
STARTING = 20  # places to start from, in units of the particles


def run(images: int, output: Path | None) -> None:
    """Measure both for a system of each camera.

    Parameters
    ----------
    images
        Steps of the chain after the burn-in.
    output
        The CSV file; nothing is written without it.
    """
    chain = EnsembleSettings(
        walkers=WALKERS, particles=PARTICLES, annealing_steps=ANNEALING, tuning_steps=TUNING, max_steps=max(images, 50)
    )
    publish([row for rows in share_work(_camera, [(name, chain) for name in CAMERAS], 1) for row in rows], output)


def _camera(name: str, settings: EnsembleSettings) -> list[dict[str, object]]:
    """The rows of one camera."""
    posterior, maximum = system_posterior(name)
    started = time.process_time()
    information = posterior.equations(posterior.models(maximum), torch.zeros(1, dtype=torch.long)).information
    lens = SampledLens(posterior, maximum)
    mean, spread = lens.values(maximum)[0], covariance(information)[0][0][lens.free][:, lens.free].numpy()
    drawn = sample(lens, [lens.chart(mean, spread)], SAMPLING, SEED)
    if drawn is None or drawn.reason:
        raise LensvitError(f"the posterior of {name} has no certificate")
    seconds = time.process_time() - started
    exact = {"case": f"{name}, importance sampling", "calls": drawn.calls, "cpu_seconds": seconds}
    calls, cpu = _chain(LensTarget(posterior), settings, drawn.effective)
    chain = {"case": f"{name}, Markov chain", "calls": calls, "cpu_seconds": cpu}
    ratios = {"calls_ratio": calls / drawn.calls, "cpu_ratio": cpu / seconds}
    return [row | {"effective": drawn.effective} | more for row, more in ((exact, {}), (chain, ratios))]


def _chain(target: LensTarget, settings: EnsembleSettings, effective: float) -> tuple[float, float]:
    """Calls and CPU seconds that a chain needs for an effective size."""
    ensemble, started = Ensemble(target, settings, SEED), time.process_time()
    random, known = np.random.default_rng(SEED), priors({})
    places = np.column_stack([known[name].draws(random, STARTING * settings.particles) for name in NAMES])
    walkers = ensemble.annealed(target.values(start_from(torch.as_tensor(places))))
    if walkers is None:
        raise LensvitError("the annealing has found no image")
    walkers, moves = ensemble.tuned(walkers)
    burn_in, burnt = ensemble.calls, time.process_time() - started
    chain = ensemble.chain(walkers, moves)
    steps, seconds = ensemble.calls - burn_in, time.process_time() - started - burnt
    share = effective / effective_sizes(chain.values).bulk
    return burn_in + share * steps, burnt + share * seconds
