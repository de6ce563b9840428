"""The standard method on the same images: Markov chains of all parameters of some test systems.

Each system has two chains, of which one starts from the priors alone and the other from a network's draws of the
targets or from samples of an exact posterior with a certificate. Only the latter start needs no annealing; the first
chain shows what it saves, and finds modes that the samples may lack. Chains of free scenes start around the ends of
searches instead (:mod:`lensvit.chapters.mcmc.free`). The chains never look at the truth, which the stage only passes
on. A chain has converged if

- the image of its most likely place explains the data, as :func:`lensvit.inference.goodness.explained` tests it,
- it is fifty autocorrelation times long, see :mod:`lensvit.inference.annealed_ensemble`,
- and it agrees with the system's other chain, where that one explains the data and is long enough too.

A chain that has not converged is marked as failed, with the reason, and nothing stands in for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from lensvit.chapters.mcmc.free import FreeSceneCoordinates, FreeTarget, free_start
from lensvit.chapters.mcmc.settings import McmcSettings
from lensvit.chapters.mcmc.thresholds import AGREE, DISAGREE, IMPORTANCE, NETWORK, PRIOR, SHORT, UNEXPLAINED
from lensvit.inference.annealed_ensemble import Chain, Ensemble, Particles
from lensvit.inference.convergence import EffectiveSizes, effective_sizes, rank_r_hat
from lensvit.inference.coordinates import start_from
from lensvit.inference.prior import LogPrior
from lensvit.inference.selection import select_systems
from lensvit.inference.target import FreeCoordinates, LensTarget, observed_posterior
from lensvit.io import tables
from lensvit.io.hdf5 import find_systems
from lensvit.io.products import read_draws, read_samples, read_scenes, write_with_arrays
from lensvit.io.settings import read_settings
from lensvit.jobs import seeds
from lensvit.jobs.processes import share_work
from lensvit.lensing import cameras
from lensvit.lensing.settings import full_priors
from lensvit.parameters import NAMES, TARGET_COLUMNS, TARGET_NAMES
from lensvit.psf import kernel

STARTING = 20  # places to start from, in units of the particles of the annealing
SAMPLES_EACH = 2  # different samples for each walker, without which their covariance may not span all dimensions


def mcmc(
    settings: Path,
    catalog: Path,
    images: Path,
    psfs: list[Path],
    draws: Path,
    output: Path,
    importance: Path | None = None,
    threads: int = 1,
) -> None:
    """Sample the posteriors of some test systems by Markov chains.

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
        Parquet, one row a system and start ("prior", then "network" or "importance"): id, psf, instrument, n_images,
        sigma_bkg, start; converged; reason (why it has not: "unexplained", "short" or "disagree"; otherwise empty);
        attempts at the annealing, 0 where none was needed; tau [steps], steps, walkers; ess_bulk and ess_tail, the
        effective sizes; burn_in (calls before the chain) and calls of the likelihood in all; seconds; chi_square (a
        pixel, at the most likely place); r_hat (of both chains, where both could be judged); truth, mean and sigma of
        each target. NaN where there is no chain. Beside it (.h5) lie in the same order ``id``, ``start``,
        ``converged`` and ``samples`` (n, S, 14), float64, taken evenly from the chain, of all parameters in the order
        of the attribute ``names``.
    importance
        importance.parquet, with the samples (.h5) beside it, from which the second chains start in place of the
        network's draws; a system without a certificate, or with too few different samples, has the network's start.
    threads
        Threads of the CPU, each in a process of its own that makes one chain after the other.

    Raises
    ------
    LensvitError
        If a file is absent or broken, has no draws of a system, or is of another run.
    """
    choice = read_settings(settings, McmcSettings)
    rows = select_systems(tables.read_catalog(catalog), choice.systems, choice.seed, choice.cameras)
    kernels = cameras.read_kernels(psfs, rows["psf"])
    known = read_draws(draws, list(rows["id"]))
    exact = [None] * len(rows) if importance is None else _exact_samples(importance, rows, choice.scene.is_free)
    jobs = [
        (rows.iloc[number : number + 1], Path(images), kernels[psf], start, choice)
        for number, psf in enumerate(rows["psf"])
        for start in (Start(PRIOR), _second_start(known[:, number], exact[number], choice))
    ]
    outcomes = share_work(_sampled, jobs, threads, size=lambda row, *_: choice.cameras[row["psf"].item()].pixels)
    results = []
    for number, (_, row) in enumerate(rows.iterrows()):
        results += _of_system(row, [outcomes[2 * number], outcomes[2 * number + 1]], choice)
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


class Start(NamedTuple):
    """Where a chain starts.

    Parameters
    ----------
    key
        "prior", "network" or "importance".
    values
        Draws (passes, K) of the network, or samples (S, 14) of the exact posterior, of free scenes all coordinates
        (S, P); None for the prior.
    """

    key: str
    values: np.ndarray | None = None


def _exact_samples(path: Path, rows: pd.DataFrame, free: bool) -> list[np.ndarray | None]:
    """The samples (S, 14) of the exact posteriors of systems, rows of the catalogue; None without a certificate.

    Of free scenes they are all coordinates (S, P).
    """
    table = tables.read_importance(path)
    find_systems(path, table.index, rows["id"])
    tables.check_truths(path, table, rows)
    good = rows["id"][rows["id"].isin(tables.certified(table).index)]
    found = dict(zip(good, read_scenes(path, good) if free else read_samples(path, good), strict=True))
    return [found.get(name) for name in rows["id"]]


def _second_start(draws: np.ndarray, samples: np.ndarray | None, settings: McmcSettings) -> Start:
    """Samples of the exact posterior, or the network's draws where there are not a few of these for each walker."""
    if samples is None:
        return Start(NETWORK, draws)
    enough = len(np.unique(samples, axis=0)) >= SAMPLES_EACH * settings.walkers
    return Start(IMPORTANCE, samples) if enough else Start(NETWORK, draws)


def _sampled(row: pd.DataFrame, images: Path, psf: kernel.Kernel, start: Start, settings: McmcSettings) -> ChainOutcome:
    """One chain of one system, a row of the catalogue."""
    name = row["id"].item()
    if settings.scene.is_free:
        outcome = _free_outcome(row, images, psf, start, settings)
    else:
        renderer = cameras.camera_renderer(settings, row["psf"].item(), psf)
        target = LensTarget(observed_posterior(settings, row, images, renderer))
        outcome = _sample(name, start, target, settings)
    print(f"{name} from {start.key} has ended after {outcome.seconds:.1f} s and {outcome.calls} calls", flush=True)
    return outcome


def _of_system(row: pd.Series, outcomes: list[ChainOutcome], settings: McmcSettings) -> list[ChainResult]:
    """Judge both chains of one system, print how they went, and return what is written of them."""
    chains = [outcome.chain for outcome in outcomes if outcome.chain is not None and outcome.good]
    r_hat = rank_r_hat([chain.values for chain in chains]) if len(chains) == len(outcomes) else np.nan
    if settings.scene.is_free:
        free: FreeCoordinates = FreeSceneCoordinates(settings)
    else:
        free = FreeCoordinates(LogPrior(full_priors(settings.priors), settings.external_shear))
    results = [_result(row, outcome, r_hat, free, settings) for outcome in outcomes]
    for entry in (result.row for result in results):
        print(
            f"{row['id']} from {entry['start']}: {entry['reason'] or 'converged'}, {entry['seconds']:.1f} s, "
            f"{entry['calls']} calls, tau {entry['tau']:.1f}, ESS {entry['ess_bulk']:.0f}, R-hat {r_hat:.3f}",
            flush=True,
        )  # fmt: skip
    return results


def starting(start: Start, target: LensTarget, settings: McmcSettings, seed: int) -> np.ndarray:
    """Places for an annealing to start from: draws of the priors, with a network's draws of the targets if it has any.

    Parameters
    ----------
    start
        The prior or a network.
    target
        The system.
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
    if start.values is not None:
        places[:, TARGET_COLUMNS] = start.values[rng.integers(len(start.values), size=count)]
    return _places(places, target)


# ---------------------------------------------------------------- one chain


class ChainOutcome(NamedTuple):
    """What became of one start.

    Parameters
    ----------
    start
        Its key.
    chain
        Its chain; None if the annealing, or the samples, had nothing that explains the image.
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

    start: str
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


def _sample(name: str, start: Start, target: LensTarget, settings: McmcSettings) -> ChainOutcome:
    """Find walkers that explain the image, tune the moves, and make the chain."""
    ensemble = Ensemble(target, settings, seeds.derive(settings.seed, name, "mcmc", start.key))
    samples = _places(start.values, target) if start.key == IMPORTANCE and start.values is not None else None
    found = _annealed(name, start, ensemble, target, settings) if samples is None else [(0, ensemble.sampled(samples))]
    return _walked(start.key, found, ensemble, target, samples)


def _walked(
    key: str,
    found: Iterable[tuple[int, Particles | None]],
    ensemble: Ensemble,
    target: LensTarget | FreeTarget,
    samples: np.ndarray | None,
) -> ChainOutcome:
    """The chain from the first walkers, of those with the numbers of their attempts, that explain the image."""
    attempt, chi_square = 0, np.nan
    for attempt, walkers in found:
        if walkers is None:
            continue
        chi_square, good = target.explained(walkers.values[walkers.likelihood.argmax()])
        if good:
            walkers, moves = ensemble.tuned(walkers, samples)
            burn_in = ensemble.calls
            chain = ensemble.chain(walkers, moves)
            seconds = ensemble.seconds
            chi_square, good = target.explained(chain.most_likely())
            return ChainOutcome(key, chain, ensemble.calls, attempt, burn_in, seconds, chi_square, good)
    calls, seconds = ensemble.calls, ensemble.seconds
    return ChainOutcome(key, None, calls, attempt, calls, seconds, chi_square, False)


def _free_outcome(
    row: pd.DataFrame, images: Path, psf: kernel.Kernel, start: Start, settings: McmcSettings
) -> ChainOutcome:
    """One chain of one system of a free scene, with the search that it starts from."""
    began, name = time.perf_counter(), row["id"].item()
    found = free_start(row, images, psf, start.key, start.values, settings)
    if found.target is None:
        return ChainOutcome(start.key, None, 0, 0, 0, time.perf_counter() - began, np.nan, False)
    target, places = found.target, found.places
    ensemble = Ensemble(target, settings, seeds.derive(settings.seed, name, "mcmc", start.key))
    samples = places if found.sampled else None
    outcome = _walked(start.key, [(0, ensemble.sampled(places))], ensemble, target, samples)
    chain = outcome.chain
    if chain is not None:
        outcome = outcome._replace(chain=chain._replace(values=target.places(chain.values)))
    return outcome._replace(seconds=time.perf_counter() - began)


def _places(parameters: np.ndarray, target: LensTarget) -> np.ndarray:
    """Free coordinates (n, d) of parameters (n, 14)."""
    return target.values(start_from(torch.as_tensor(parameters)))


def _annealed(
    name: str, start: Start, ensemble: Ensemble, target: LensTarget, settings: McmcSettings
) -> Iterator[tuple[int, Particles | None]]:
    """The number of each attempt, from 1, and the walkers that it has brought to the whole likelihood, if any."""
    for attempt in range(1, settings.attempts + 1):
        seed = seeds.derive(settings.seed, name, "mcmc", start.key, attempt)
        yield attempt, ensemble.annealed(starting(start, target, settings, seed))


def _result(
    row: pd.Series, outcome: ChainOutcome, r_hat: float, free: FreeCoordinates, settings: McmcSettings
) -> ChainResult:
    """What is written of a chain; ``row`` is the system's in the catalogue."""
    result = {name: row[name] for name in ("id", "psf", "n_images", "sigma_bkg")}
    result["instrument"] = settings.cameras[row["psf"]].name
    reason = _reason(outcome, r_hat)
    chain = outcome.chain
    result |= {"start": outcome.start, "converged": not reason, "reason": reason, "attempts": outcome.attempts}
    result |= {"tau": np.nan if chain is None else chain.tau, "steps": 0 if chain is None else len(chain.values)}
    sizes = EffectiveSizes(np.nan, np.nan) if chain is None else effective_sizes(chain.values)
    result |= {"ess_bulk": sizes.bulk, "ess_tail": sizes.tail}
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
