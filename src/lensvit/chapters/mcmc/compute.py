"""The standard method on the same images: Markov chains of all parameters of some test systems.

Two chains a system, of which one starts from the priors alone and the other from a network's draws of the
targets. The stage never looks at the truth, which it only passes on. A chain has converged if

- the image of its most likely place explains the data, as :func:`lensvit.inference.goodness.explained` tests it,
- it is fifty autocorrelation times long, see :mod:`lensvit.inference.annealed_ensemble`,
- and it agrees with the system's other chain, where that one explains the data and is long enough too.

One that has not is marked as failed, with the reason; nothing stands in for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensvit.chapters.mcmc.settings import McmcSettings
from lensvit.inference.annealed_ensemble import AGREE, Chain, Ensemble, Particles, split_r_hat
from lensvit.inference.coordinates import ANGLE, SIZE, start_from, to_parameters
from lensvit.inference.goodness import explained
from lensvit.inference.posterior import Posterior
from lensvit.inference.prior import KNOWN, LogPrior
from lensvit.inference.selection import select_systems
from lensvit.io import files, tables
from lensvit.io.products import read_draws
from lensvit.io.settings import read_settings
from lensvit.jobs import seeds
from lensvit.jobs.processes import share_work
from lensvit.lensing import cameras
from lensvit.lensing.observed import noisy_images
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.lensing.settings import full_priors
from lensvit.parameters import NAMES, TARGET_NAMES
from lensvit.psf import kernel

STARTS = ("prior", "network")
STARTING = 20  # draws at the start, in units of the particles of the annealing
UNEXPLAINED, SHORT, DISAGREE = "unexplained", "short", "disagree"  # reasons of failures
AT_ONCE = 16  # images at a time: what they and their noise take stays in the cache
ROW = torch.zeros(1, dtype=torch.long)


def mcmc(
    settings: Path, catalog: Path, images: Path, psfs: list[Path], draws: Path, output: Path, threads: int = 1
) -> None:
    """Sample the posteriors of some test systems.

    Parameters
    ----------
    settings : YAML with seed, ``systems`` (how many), ``walkers``, ``particles``, ``annealing_steps``,
        ``tuning_steps``, ``max_steps``, ``attempts``, ``samples``, ``priors``, ``external_shear``, ``scene``,
        ``supersampling`` and ``options``: PSF to its instrument (``name``, ``pixels``, ``pixel_scale``).
    catalog : catalog.parquet. images : the run's folder of images.
    psfs : psf/{name}.fits, of every PSF in the catalogue.
    draws : predictions/{model}.h5 of the network from whose draws the second chain of a system starts.
    output : Parquet, one row a system and start ("prior", "network"): id, psf, instrument, n_images, sigma_bkg,
        start; converged, reason (why not: "unexplained", "short" or "disagree"; else empty), attempts (at the
        annealing), tau [steps], steps, walkers, burn_in (calls before the chain), calls (of the likelihood, in
        all), seconds, chi_square (a pixel, of the most likely place), r_hat (of both chains, where both could be
        judged); of each target truth, mean and sigma. NaN where there is no chain. Beside it (.h5), in the same
        order, ``id``, ``start``, ``converged`` and ``samples`` (n, S, 14), float64, evenly from the chain, of all
        parameters in the order of the attribute ``names``.
    threads : of the CPU, each in a process of its own, which makes one chain after the other.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or has no draws of a system.
    """
    options = read_settings(settings, McmcSettings)
    rows = select_systems(tables.read_parquet(catalog), options.systems, options.seed, options.cameras)
    kernels = cameras.read_kernels(psfs, rows["psf"])
    known = read_draws(draws, list(rows["id"]))
    jobs = [
        (rows.iloc[number : number + 1], start, Path(images), kernels[psf], known[:, number], options)
        for number, psf in enumerate(rows["psf"])
        for start in STARTS
    ]
    largest = sorted(range(len(jobs)), key=lambda job: -options.cameras[jobs[job][0]["psf"].item()].pixels)
    runs = dict(zip(largest, share_work(_sampled, [jobs[job] for job in largest], threads), strict=True))
    results = []
    for number, (_, row) in enumerate(rows.iterrows()):
        first = number * len(STARTS)
        results += _of_system(row, {start: runs[first + place] for place, start in enumerate(STARTS)}, options)
    with files.atomic(Path(output).with_suffix(".h5")) as path, h5py.File(path, "w") as file:
        file["id"] = [result.row["id"] for result in results]
        file["start"] = [result.row["start"] for result in results]
        file["converged"] = [result.row["converged"] for result in results]
        file["samples"] = np.stack([result.samples for result in results])
        file.attrs["names"] = list(NAMES)
    with files.atomic(Path(output)) as path:
        pd.DataFrame([result.row for result in results]).to_parquet(path, index=False)
    for path in (Path(output).with_suffix(".h5"), Path(output)):
        files.write_manifest(path)
    print(f"{sum(result.row['converged'] for result in results)} of {len(results)} chains converged", flush=True)


class Result(NamedTuple):
    """A row of the table and samples (S, 14) of a chain, NaN for none."""

    row: dict[str, object]
    samples: np.ndarray


def _posterior(options: McmcSettings, row: pd.DataFrame, images: Path, renderer: BatchedRenderer) -> Posterior:
    """Of one system, a row of the catalogue."""
    system = row.iloc[0]
    data, exposure = noisy_images(images / system["psf"] / f"{system['chunk']}.h5", row)
    prior = LogPrior(full_priors(options.priors), options.external_shear)
    sigma = torch.tensor(row["sigma_bkg"].to_numpy(dtype=float))
    return Posterior(renderer, torch.as_tensor(data), sigma, exposure, prior, options.scene.max_images)


def _sampled(
    row: pd.DataFrame, start: str, images: Path, psf: kernel.Kernel, draws: np.ndarray, options: McmcSettings
) -> Run:
    """One chain of one system, a row of the catalogue; ``draws`` (passes, K) of the network."""
    renderer = cameras.camera_renderer(options, row["psf"].item(), psf)
    name, target = row["id"].item(), LensTarget(_posterior(options, row, images, renderer))
    run = _run(name, start, target, draws, options)
    print(f"{name} from the {start} has ended after {run.seconds:.1f} s and {run.calls} calls", flush=True)
    return run


def _of_system(row: pd.Series, runs: dict[str, Run], options: McmcSettings) -> list[Result]:
    """Both chains of one system."""
    judged = [run for run in runs.values() if run.good]
    r_hat = np.nan
    if len(judged) == len(STARTS):
        r_hat = split_r_hat([run.chain.thinned(options.samples) for run in judged])
    free = Free(LogPrior(full_priors(options.priors), options.external_shear))
    results = [_result(row, start, run, r_hat, free, options) for start, run in runs.items()]
    for start, result in zip(STARTS, results, strict=True):
        print(
            f"{row['id']} from the {start}: {result.row['reason'] or 'converged'}, {result.row['seconds']:.1f} s, "
            f"{result.row['calls']} calls, tau {result.row['tau']:.1f}, R-hat {r_hat:.3f}", flush=True,
        )  # fmt: skip
    return results


# ---------------------------------------------------------------- the posterior of a lens


class Free:
    """Those coordinates that are not known before."""

    def __init__(self, prior: LogPrior) -> None:
        free = prior.sd > KNOWN
        shear = [SIZE, ANGLE]
        self.shear = bool(free[shear].any())
        free[shear] = self.shear
        self.free = torch.nonzero(free)[:, 0]
        self.rest = prior.center.clone()
        self.rest[ANGLE] = 0.0  # the second component of a shear of known size 0

    def coordinates(self, values: np.ndarray) -> Tensor:
        """(n, 14) from the free ones (n, d)."""
        result = self.rest.repeat(len(values), 1)
        result[:, self.free] = torch.as_tensor(values)
        return result

    def values(self, coordinates: Tensor) -> np.ndarray:
        """The free ones (n, d) of coordinates (n, 14)."""
        return coordinates[:, self.free].numpy()

    def parameters(self, values: np.ndarray) -> np.ndarray:
        """(n, 14) from the free coordinates (n, d); the shear's angle lies between 0 and pi."""
        return to_parameters(self.coordinates(values)).numpy()


class LensTarget(Free):
    """Log prior and log likelihood of one system by its free coordinates.

    The prior is that of the parameters, of size g and angle of the shear. Chains walk in its components, in
    which the density of the same prior has a factor 1 / g; a maximum (:mod:`lensvit.inference.likelihood`) has no use
    of it, a sampler needs it.
    """

    def __init__(self, posterior: Posterior) -> None:
        super().__init__(posterior.prior)
        self.posterior = posterior

    def __call__(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        coordinates = self.coordinates(values)
        parameters = to_parameters(coordinates)
        prior = self.posterior.prior.log_density(parameters)
        parts = [self.posterior.log_density(part, ROW.expand(len(part))) for part in coordinates.split(AT_ONCE)]
        likelihood = torch.cat(parts) - prior
        if self.shear:
            prior = prior - parameters[:, SIZE].log()
        return prior.numpy(), likelihood.numpy()

    def explained(self, values: np.ndarray) -> tuple[float, bool]:
        """chi^2 a pixel at free coordinates (d,), and whether no part of the image deviates."""
        mean, good = explained(self.posterior, self.coordinates(values[None]), ROW)
        return float(mean), bool(good)


def starting(start: str, target: LensTarget, draws: np.ndarray, options: McmcSettings, seed: int) -> np.ndarray:
    """Places (n, d): draws of the priors, and of a network for the targets if it starts there."""
    rng, known = np.random.default_rng(seed), full_priors(options.priors)
    count = STARTING * options.particles
    places = np.column_stack([known[name].draws(rng, count) for name in NAMES])
    if start == "network":
        columns = [NAMES.index(name) for name in TARGET_NAMES]
        places[:, columns] = draws[rng.integers(len(draws), size=count)]
    return target.values(start_from(torch.as_tensor(places)))


# ---------------------------------------------------------------- one chain


class Run(NamedTuple):
    """What became of one start: its chain, None if the annealing found nothing; counts; good if it can be judged."""

    chain: Chain | None
    calls: int
    attempts: int
    burn_in: int
    seconds: float
    chi_square: float
    explained: bool

    @property
    def good(self) -> bool:
        return self.explained and self.chain.long_enough


def _run(name: str, start: str, target: LensTarget, draws: np.ndarray, options: McmcSettings) -> Run:
    ensemble = Ensemble(target, options, seeds.derive(options.seed, name, "mcmc", start))
    attempt, chi_square = 0, np.nan
    for attempt, walkers in _annealed(name, start, ensemble, target, draws, options):
        if walkers is None:
            continue
        chi_square, good = target.explained(walkers.values[walkers.likelihood.argmax()])
        if good:
            walkers, moves = ensemble.tuned(walkers)
            burn_in = ensemble.calls
            chain = ensemble.chain(walkers, moves)
            seconds = ensemble.seconds
            return Run(chain, ensemble.calls, attempt, burn_in, seconds, *target.explained(chain.most_likely()))
    return Run(None, ensemble.calls, attempt, ensemble.calls, ensemble.seconds, chi_square, False)


def _annealed(
    name: str, start: str, ensemble: Ensemble, target: LensTarget, draws: np.ndarray, options: McmcSettings
) -> Iterator[tuple[int, Particles | None]]:
    """Attempts, from 1, and the walkers that each has brought to the whole likelihood."""
    for attempt in range(1, options.attempts + 1):
        seed = seeds.derive(options.seed, name, "mcmc", start, attempt)
        yield attempt, ensemble.annealed(starting(start, target, draws, options, seed))


def _result(row: pd.Series, start: str, run: Run, r_hat: float, free: Free, options: McmcSettings) -> Result:
    result = {name: row[name] for name in ("id", "psf", "n_images", "sigma_bkg")}
    result["instrument"] = options.cameras[row["psf"]].name
    reason = _reason(run, r_hat)
    chain = run.chain
    result |= {"start": start, "converged": not reason, "reason": reason, "attempts": run.attempts}
    result |= {"tau": np.nan if chain is None else chain.tau, "steps": 0 if chain is None else len(chain.values)}
    result |= {"walkers": options.walkers, "burn_in": run.burn_in, "calls": run.calls}
    result |= {"seconds": run.seconds, "chi_square": run.chi_square, "r_hat": r_hat}
    parameters = np.full((1, len(NAMES)), np.nan)
    samples = np.full((options.samples, len(NAMES)), np.nan)
    if chain is not None:
        parameters = free.parameters(chain.values.reshape(-1, chain.values.shape[-1]))
        samples = free.parameters(chain.thinned(options.samples))
    for name in TARGET_NAMES:
        column = parameters[:, NAMES.index(name)]
        result |= {f"{name}_truth": row[name], f"{name}_mean": column.mean(), f"{name}_sigma": column.std()}
    return Result(result, samples)


def _reason(run: Run, r_hat: float) -> str:
    """Why a chain has failed; empty if it has not."""
    if not run.explained:
        return UNEXPLAINED
    if not run.chain.long_enough:
        return SHORT
    return DISAGREE if r_hat > AGREE else ""
