"""The standard method on the same images: Markov chains of all parameters of some test systems.

Each system has two chains, of which one starts from the priors alone and the other from a network's draws of the
targets. The chains never look at the truth, which the stage only passes on. A chain has converged if

- the image of its most likely place explains the data, as :func:`lensvit.inference.goodness.explained` tests it,
- it is fifty autocorrelation times long, see :mod:`lensvit.inference.annealed_ensemble`,
- and it agrees with the system's other chain, where that one explains the data and is long enough too.

A chain that has not converged is marked as failed, with the reason, and nothing stands in for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from lensvit.chapters.mcmc.settings import McmcSettings
from lensvit.inference.annealed_ensemble import AGREE, Chain, Ensemble, Particles, split_r_hat
from lensvit.inference.coordinates import start_from
from lensvit.inference.prior import LogPrior
from lensvit.inference.selection import select_systems
from lensvit.inference.target import FreeCoordinates, LensTarget, observed_posterior
from lensvit.io import tables
from lensvit.io.products import read_draws, write_with_arrays
from lensvit.io.settings import read_settings
from lensvit.jobs import seeds
from lensvit.jobs.processes import share_work
from lensvit.lensing import cameras
from lensvit.lensing.settings import full_priors
from lensvit.parameters import NAMES, TARGET_COLUMNS, TARGET_NAMES
from lensvit.psf import kernel

STARTS = ("prior", "network")
STARTING = 20  # places to start from, in units of the particles of the annealing
UNEXPLAINED, SHORT, DISAGREE = "unexplained", "short", "disagree"  # reasons of failures


def mcmc(
    settings: Path, catalog: Path, images: Path, psfs: list[Path], draws: Path, output: Path, threads: int = 1
) -> None:
    """Sample the posteriors of some test systems.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.mcmc.settings.McmcSettings`.
    catalog
        catalog.parquet.
    images
        The run's folder of images.
    psfs
        psf/{name}.fits of every PSF in the catalogue.
    draws
        predictions/{model}.h5 of the network from whose draws the second chain of a system starts.
    output
        Parquet, one row a system and start ("prior", "network"): id, psf, instrument, n_images, sigma_bkg, start;
        converged; reason (why it has not: "unexplained", "short" or "disagree"; otherwise empty); attempts at the
        annealing; tau [steps], steps, walkers; burn_in (calls before the chain) and calls of the likelihood in all;
        seconds; chi_square (a pixel, at the most likely place); r_hat (of both chains, where both could be judged);
        truth, mean and sigma of each target. NaN where there is no chain. Beside it (.h5) lie in the same order
        ``id``, ``start``, ``converged`` and ``samples`` (n, S, 14), float64, taken evenly from the chain, of all
        parameters in the order of the attribute ``names``.
    threads
        Threads of the CPU, each in a process of its own that makes one chain after the other.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or has no draws of a system.
    """
    choice = read_settings(settings, McmcSettings)
    rows = select_systems(tables.read_catalog(catalog), choice.systems, choice.seed, choice.cameras)
    kernels = cameras.read_kernels(psfs, rows["psf"])
    known = read_draws(draws, list(rows["id"]))
    jobs = [
        (rows.iloc[number : number + 1], start, Path(images), kernels[psf], known[:, number], choice)
        for number, psf in enumerate(rows["psf"])
        for start in STARTS
    ]
    largest = sorted(range(len(jobs)), key=lambda job: -choice.cameras[jobs[job][0]["psf"].item()].pixels)
    outcomes = dict(zip(largest, share_work(_sampled, [jobs[job] for job in largest], threads), strict=True))
    results = []
    for number, (_, row) in enumerate(rows.iterrows()):
        first = number * len(STARTS)
        results += _of_system(row, {start: outcomes[first + place] for place, start in enumerate(STARTS)}, choice)
    table = pd.DataFrame([result.row for result in results])
    arrays = {name: table[name].to_list() for name in ("id", "start", "converged")}
    write_with_arrays(output, table, arrays | {"samples": np.stack([result.samples for result in results])}, NAMES)
    print(f"{table['converged'].sum()} of {len(results)} chains converged", flush=True)


class ChainResult(NamedTuple):
    """What is written of a chain.

    Parameters
    ----------
    row
        Its row of the table.
    samples
        (S, 14) of the parameters, NaN where there is no chain.
    """

    row: dict[str, object]
    samples: np.ndarray


def _sampled(
    row: pd.DataFrame, start: str, images: Path, psf: kernel.Kernel, draws: np.ndarray, settings: McmcSettings
) -> ChainOutcome:
    """One chain of one system, a row of the catalogue, with draws (passes, K) of the network."""
    renderer = cameras.camera_renderer(settings, row["psf"].item(), psf)
    name, target = row["id"].item(), LensTarget(observed_posterior(settings, row, images, renderer))
    outcome = _sample(name, start, target, draws, settings)
    print(f"{name} from the {start} has ended after {outcome.seconds:.1f} s and {outcome.calls} calls", flush=True)
    return outcome


def _of_system(row: pd.Series, outcomes: dict[str, ChainOutcome], settings: McmcSettings) -> list[ChainResult]:
    """Judge both chains of one system, print how they went, and return what is written of them."""
    chains = [outcome.chain for outcome in outcomes.values() if outcome.chain is not None and outcome.good]
    r_hat = np.nan
    if len(chains) == len(STARTS):
        r_hat = split_r_hat([chain.thinned(settings.samples) for chain in chains])
    free = FreeCoordinates(LogPrior(full_priors(settings.priors), settings.external_shear))
    results = [_result(row, start, outcome, r_hat, free, settings) for start, outcome in outcomes.items()]
    for start, result in zip(STARTS, results, strict=True):
        print(
            f"{row['id']} from the {start}: {result.row['reason'] or 'converged'}, {result.row['seconds']:.1f} s, "
            f"{result.row['calls']} calls, tau {result.row['tau']:.1f}, R-hat {r_hat:.3f}", flush=True,
        )  # fmt: skip
    return results


def starting(start: str, target: LensTarget, draws: np.ndarray, settings: McmcSettings, seed: int) -> np.ndarray:
    """Places to start from: draws of the priors, with a network's draws of the targets if the start is "network".

    Parameters
    ----------
    start
        "prior" or "network".
    target
        The system.
    draws
        (passes, K) of the network.
    settings
        The stage's settings.
    seed
        Seed of the draws.

    Returns
    -------
    (n, d) free coordinates.
    """
    rng, known = np.random.default_rng(seed), full_priors(settings.priors)
    count = STARTING * settings.particles
    places = np.column_stack([known[name].draws(rng, count) for name in NAMES])
    if start == "network":
        places[:, TARGET_COLUMNS] = draws[rng.integers(len(draws), size=count)]
    return target.values(start_from(torch.as_tensor(places)))


# ---------------------------------------------------------------- one chain


class ChainOutcome(NamedTuple):
    """What became of one start.

    Parameters
    ----------
    chain
        Its chain; None if the annealing found nothing that explains the image.
    calls
        Calls of the likelihood in all.
    attempts
        Attempts at the annealing.
    burn_in
        Calls of the likelihood before the chain.
    seconds
        How long it took [s].
    chi_square
        The chi^2 a pixel at the most likely place.
    explained
        Whether the image there explains the data.
    """

    chain: Chain | None
    calls: int
    attempts: int
    burn_in: int
    seconds: float
    chi_square: float
    explained: bool

    @property
    def good(self) -> bool:
        """Whether the chain explains the image and is long enough to be judged."""
        return self.chain is not None and self.explained and self.chain.long_enough


def _sample(name: str, start: str, target: LensTarget, draws: np.ndarray, settings: McmcSettings) -> ChainOutcome:
    """Anneal until the image is explained, tune the moves, and make the chain."""
    ensemble = Ensemble(target, settings, seeds.derive(settings.seed, name, "mcmc", start))
    attempt, chi_square = 0, np.nan
    for attempt, walkers in _annealed(name, start, ensemble, target, draws, settings):
        if walkers is None:
            continue
        chi_square, good = target.explained(walkers.values[walkers.likelihood.argmax()])
        if good:
            walkers, moves = ensemble.tuned(walkers)
            burn_in = ensemble.calls
            chain = ensemble.chain(walkers, moves)
            seconds = ensemble.seconds
            chi_square, good = target.explained(chain.most_likely())
            return ChainOutcome(chain, ensemble.calls, attempt, burn_in, seconds, chi_square, good)
    return ChainOutcome(None, ensemble.calls, attempt, ensemble.calls, ensemble.seconds, chi_square, False)


def _annealed(
    name: str, start: str, ensemble: Ensemble, target: LensTarget, draws: np.ndarray, settings: McmcSettings
) -> Iterator[tuple[int, Particles | None]]:
    """The number of each attempt, from 1, and the walkers that it has brought to the whole likelihood, if any."""
    for attempt in range(1, settings.attempts + 1):
        seed = seeds.derive(settings.seed, name, "mcmc", start, attempt)
        yield attempt, ensemble.annealed(starting(start, target, draws, settings, seed))


def _result(
    row: pd.Series, start: str, outcome: ChainOutcome, r_hat: float, free: FreeCoordinates, settings: McmcSettings
) -> ChainResult:
    """What is written of a chain; ``row`` is the system's in the catalogue."""
    result = {name: row[name] for name in ("id", "psf", "n_images", "sigma_bkg")}
    result["instrument"] = settings.cameras[row["psf"]].name
    reason = _reason(outcome, r_hat)
    chain = outcome.chain
    result |= {"start": start, "converged": not reason, "reason": reason, "attempts": outcome.attempts}
    result |= {"tau": np.nan if chain is None else chain.tau, "steps": 0 if chain is None else len(chain.values)}
    result |= {"walkers": settings.walkers, "burn_in": outcome.burn_in, "calls": outcome.calls}
    result |= {"seconds": outcome.seconds, "chi_square": outcome.chi_square, "r_hat": r_hat}
    parameters = np.full((1, len(NAMES)), np.nan)
    samples = np.full((settings.samples, len(NAMES)), np.nan)
    if chain is not None:
        parameters = free.parameters(chain.values.reshape(-1, chain.values.shape[-1]))
        samples = free.parameters(chain.thinned(settings.samples))
    for name in TARGET_NAMES:
        column = parameters[:, NAMES.index(name)]
        result |= {f"{name}_truth": row[name], f"{name}_mean": column.mean(), f"{name}_sigma": column.std()}
    return ChainResult(result, samples)


def _reason(outcome: ChainOutcome, r_hat: float) -> str:
    """Why a chain has failed; empty if it has not."""
    if outcome.chain is None or not outcome.explained:
        return UNEXPLAINED
    if not outcome.chain.long_enough:
        return SHORT
    return DISAGREE if r_hat > AGREE else ""
