"""Refinement: from a network's draws, or from the priors, to the maximum of the posterior given all pixels.

The stage never looks at the truth, which it only passes on: a fit has converged if the gradient of the
posterior vanishes there and no part of the image deviates from the model by more than the noise allows. One
that has not is marked as failed; nothing stands in for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensvit.chapters.refine.settings import RefineSettings
from lensvit.inference.coordinates import COORDINATES, start_from
from lensvit.inference.goodness import explained
from lensvit.inference.likelihood import covariance
from lensvit.inference.posterior import Posterior, possible
from lensvit.inference.prior import LogPrior
from lensvit.inference.quasar_match import Gaussian
from lensvit.inference.search import Fit, climb
from lensvit.inference.selection import select_systems
from lensvit.inference.starts import Starter, from_draws, from_prior
from lensvit.io import files, tables
from lensvit.io.products import read_draws
from lensvit.io.settings import read_settings
from lensvit.jobs import seeds
from lensvit.jobs.processes import share_work
from lensvit.lensing import cameras
from lensvit.lensing.observed import noisy_images
from lensvit.lensing.settings import full_priors
from lensvit.parameters import NAMES, TARGET_NAMES
from lensvit.psf import kernel

BATCH = 12  # systems fitted side by side
MODEL_ERRORS = (0.1, 0.02, 0.0)  # relative, of a search from afar to the one that counts
MORE_STARTS = (1, 4, 16)  # factors on the number of draws, of the first try and of those after a failure


def refine(
    settings: Path,
    catalog: Path,
    images: Path,
    psfs: list[Path],
    output: Path,
    draws: Path | None = None,
    threads: int = 1,
) -> None:
    """Fit the noisy images of some test systems.

    Parameters
    ----------
    settings : YAML with seed, ``systems`` (how many, null for all), ``starts``, ``max_iterations``, ``priors``,
        ``external_shear``, ``scene``, ``supersampling`` and ``options``: PSF to its instrument (``name``,
        ``pixels``, ``pixel_scale``).
    catalog : catalog.parquet. images : the run's folder of images.
    psfs : psf/{name}.fits, of every PSF in the catalogue.
    output : Parquet, one row a system: id, psf, instrument, n_images, sigma_bkg; of each target truth, mean
        (the most probable value), sigma (of Laplace's approximation) and limit (that at the true parameters);
        converged, at_maximum, explained (both of which it takes), chi_square (a pixel), tries, iterations,
        seconds. Values are NaN where no image could be computed. Beside it (.h5) ``id``, ``coordinates`` and
        ``covariance`` (n, 14, 14) of all 14 coordinates, see ``likelihood.COORDINATES``.
    draws : predictions/{model}.h5, to start from; otherwise from the priors.
    threads : of the CPU, each in a process of its own.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or has no draws of a system.
    """
    options = read_settings(settings, RefineSettings)
    rows = select_systems(tables.read_parquet(catalog), options.systems, options.seed, options.cameras)
    kernels = cameras.read_kernels(psfs, rows["psf"])
    batches = [
        (options, kernels[psf], some.iloc[start : start + BATCH], images, draws)
        for psf, some in rows.groupby("psf", sort=False, observed=True)
        for start in range(0, len(some), BATCH)
    ]
    parts = share_work(_fitted, batches, threads)
    table = pd.concat([part.table for part in parts]).loc[rows.index]
    order = pd.concat([pd.Series(part.table.index) for part in parts], ignore_index=True)
    place = pd.Index(order).get_indexer(rows.index)
    with files.atomic(Path(output).with_suffix(".h5")) as path, h5py.File(path, "w") as file:
        file["id"] = table["id"].to_list()
        file["coordinates"] = np.concatenate([part.coordinates for part in parts])[place]
        file["covariance"] = np.concatenate([part.covariance for part in parts])[place]
        file.attrs["names"] = list(COORDINATES)
    with files.atomic(Path(output)) as path:
        table.to_parquet(path, index=False)
    for path in (Path(output).with_suffix(".h5"), Path(output)):
        files.write_manifest(path)
    print(f"{table['converged'].sum()} of {len(table)} converged, {table['seconds'].mean():.2f} s a system", flush=True)


def _fitted(options: RefineSettings, psf: kernel.Kernel, rows: pd.DataFrame, images: Path, draws: Path | None) -> Part:
    """Of a batch of systems of one PSF."""
    return CameraFits(options, rows["psf"].iloc[0], psf).fit(rows, images, draws)


class Part(NamedTuple):
    """Of n systems: the table's rows, coordinates (n, 14) and covariance (n, 14, 14)."""

    table: pd.DataFrame
    coordinates: np.ndarray
    covariance: np.ndarray


class CameraFits:
    """Fits systems of one PSF.

    Parameters
    ----------
    options : the stage's settings. name, psf : of the PSF.
    """

    def __init__(self, options: RefineSettings, name: str, psf: kernel.Kernel) -> None:
        self.options, self.name = options, name
        self.renderer = cameras.camera_renderer(options, name, psf)
        self.starter = Starter(self.renderer, psf, options.supersampling)
        self.prior = LogPrior(full_priors(options.priors), options.external_shear)

    def fit(self, rows: pd.DataFrame, images: Path, draws: Path | None) -> Part:
        """Fit a batch of systems of one PSF, from files; says how it went."""
        known = self._known(rows, draws)
        parts = []
        for chunk, some in rows.groupby("chunk", sort=False, observed=True):
            data, exposure = noisy_images(Path(images) / self.name / f"{chunk}.h5", some)
            parts.append(self.fit_images(some, data, exposure, [known[name] for name in some["id"]]))
        table = pd.concat([part.table for part in parts])
        print(
            f"{self.name}: {table['converged'].sum()} of {len(table)} converged, "
            f"{table['seconds'].mean():.2f} s a system", flush=True,
        )  # fmt: skip
        return Part(table, *(np.concatenate([part[number] for part in parts]) for number in (1, 2)))

    def _known(self, rows: pd.DataFrame, draws: Path | None) -> dict[str, Gaussian]:
        if draws is None:
            return dict.fromkeys(rows["id"], from_prior(self.prior))
        values = read_draws(draws, list(rows["id"]))
        return {name: from_draws(values[:, number], self.prior) for number, name in enumerate(rows["id"])}

    def fit_images(self, rows: pd.DataFrame, data: np.ndarray, exposure: float, known: list[Gaussian]) -> Part:
        """Fit noisy images (n, ny, nx) [counts/s per pixel] of the catalogue's ``rows``.

        exposure : [s]. known : of each system, before its image.
        """
        sigma = torch.tensor(rows["sigma_bkg"].to_numpy(dtype=float))
        posterior = Posterior(
            self.renderer, torch.as_tensor(data), sigma, exposure, self.prior, self.options.scene.max_images
        )
        search = _Search(posterior, self.starter, known, list(rows["id"]), self.options)
        search.run()
        spread = covariances(posterior, search.best)
        truth = start_from(torch.tensor(rows[list(NAMES)].to_numpy(dtype=float)))
        bound = covariances(posterior, truth)
        columns = search.columns()
        columns["converged"] &= np.isfinite(spread.diagonal(dim1=1, dim2=2).numpy()).all(1)
        table = self._table(rows, search.best, spread, bound).assign(**columns)
        return Part(table, search.best.numpy(), spread.numpy())

    def _table(self, rows: pd.DataFrame, best: Tensor, spread: Tensor, bound: Tensor) -> pd.DataFrame:
        table = rows[["id", "psf", "n_images", "sigma_bkg"]].copy()
        table.insert(2, "instrument", self.options.cameras[self.name].name)
        for name in TARGET_NAMES:
            column = COORDINATES.index(name)
            table[f"{name}_truth"] = rows[name]
            table[f"{name}_mean"] = best[:, column].numpy()
            table[f"{name}_sigma"] = spread[:, column, column].sqrt().numpy()
            table[f"{name}_limit"] = bound[:, column, column].sqrt().numpy()
        return table


def covariances(posterior: Posterior, coordinates: Tensor) -> Tensor:
    """Laplace's (B, 14, 14), the inverse of the information of image and prior; NaN where there is no image."""
    result = torch.full((len(coordinates), len(COORDINATES), len(COORDINATES)), torch.nan, dtype=torch.float64)
    rows = torch.arange(len(coordinates))
    good = rows[possible(coordinates) & posterior.log_density(coordinates, rows).isfinite()]
    if len(good):
        result[good] = covariance(posterior.equations(coordinates[good], good).information)[0]
    return result


class _Search:
    """Fits of one batch: starts, climbs, and more of both for those that fail."""

    def __init__(
        self, posterior: Posterior, starter: Starter, known: list[Gaussian], ids: list[str], options: RefineSettings
    ) -> None:
        self.posterior, self.starter, self.known, self.ids, self.options = posterior, starter, known, ids, options
        count = len(posterior)
        self.best = torch.full((count, len(COORDINATES)), torch.nan, dtype=torch.float64)
        self.density = torch.full((count,), -torch.inf, dtype=torch.float64)
        self.converged, self.at_maximum, self.explained = (torch.zeros(count, dtype=torch.bool) for _ in range(3))
        self.chi_square = torch.full((count,), torch.nan, dtype=torch.float64)
        self.tries, self.iterations = (torch.zeros(count, dtype=torch.long) for _ in range(2))
        self.seconds = torch.zeros(count, dtype=torch.float64)

    def run(self) -> None:
        """Try until all have converged or no try is left."""
        for attempt, factor in enumerate(MORE_STARTS):
            waiting = torch.nonzero(~self.converged)[:, 0]
            found = [(row, start) for row in waiting.tolist() for start in self._start(row, attempt, factor)]
            if found:
                rows, starts = zip(*found, strict=True)
                self._climb(torch.tensor(rows), torch.stack(starts))

    def _start(self, row: int, attempt: int, factor: int) -> Iterator[Tensor]:
        """The candidate (14,) whose image is most like the data; none if no image can be computed."""
        started = time.perf_counter()
        posterior, count = self.posterior, factor * self.options.starts
        seed = seeds.derive(self.options.seed, self.ids[row], "refine", attempt)
        candidates = self.starter.candidates(
            posterior.data[row].double().numpy(), float(posterior.sigma_bkg[row]), posterior.exposure,
            self.known[row], count, seed, thorough=attempt > 0,
        )  # fmt: skip
        density = posterior.log_density(candidates, torch.full((len(candidates),), row), MODEL_ERRORS[0])
        self.tries[row] += 1
        self.seconds[row] += time.perf_counter() - started
        if density.max().isfinite():
            yield candidates[density.argmax()]

    def _climb(self, rows: Tensor, starts: Tensor) -> None:
        started = time.perf_counter()
        steps = torch.zeros(len(rows), dtype=torch.long)
        for error in MODEL_ERRORS:
            fit = climb(self.posterior, starts, rows, self.options.max_iterations, error)
            starts, steps = fit.coordinates, steps + fit.iterations
        self._keep(rows, fit)
        self.iterations[rows] += steps
        self.seconds[rows] += (time.perf_counter() - started) * (1 + steps) / float((1 + steps).sum())

    def _keep(self, rows: Tensor, fit: Fit) -> None:
        """What is better than what was there: converged, else more probable."""
        chi_square, good = explained(self.posterior, fit.coordinates, rows)
        top = fit.at_maximum()
        better = (good & top) | (fit.density > self.density[rows])
        place = rows[better]
        self.best[place], self.density[place] = fit.coordinates[better], fit.density[better]
        self.at_maximum[place], self.explained[place] = top[better], good[better]
        self.converged[place] = (good & top)[better]
        self.chi_square[place] = chi_square[better]

    def columns(self) -> dict[str, np.ndarray]:
        """Of the table."""
        names = ("converged", "at_maximum", "explained", "chi_square", "tries", "iterations", "seconds")
        return {name: getattr(self, name).numpy() for name in names}
