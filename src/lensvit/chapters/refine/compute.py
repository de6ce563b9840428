"""Refinement: from a network's draws, or from the priors, to the maximum of the posterior given all pixels.

The fits never look at the truth, which the stage only passes on. A fit has converged if the gradient of the
posterior vanishes there, or points outwards on a limit of a uniform prior, and no part of the image deviates from the
model by more than the noise allows. A fit that has not converged is marked as failed, and nothing stands in for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensvit.chapters.grouping import by_chunk
from lensvit.chapters.refine.free import FreeImageFitter
from lensvit.chapters.refine.settings import RefineSettings
from lensvit.chapters.sharing import Share
from lensvit.inference.coordinates import COORDINATES, start_from
from lensvit.inference.likelihood import Equations, covariance
from lensvit.inference.posterior import Posterior
from lensvit.inference.prior import LogPrior
from lensvit.inference.quasar_match import Gaussian
from lensvit.inference.search import Fit, climb
from lensvit.inference.selection import select_systems
from lensvit.inference.starts import Starter, from_draws, from_prior
from lensvit.inference.truncated import posterior_moments
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
MODEL_ERRORS = (0.1, 0.02, 0.0)  # relative errors of the model image, from the search from afar to the one that counts
MORE_STARTS = (1, 4, 16)  # factors on the number of draws in the first try and in those after failures


def refine(
    settings: Path,
    catalog: Path,
    images: Path,
    psfs: list[Path],
    output: Path,
    draws: Path | None = None,
    chunks: list[str] | None = None,
    threads: int = 1,
) -> None:
    """Fit all pixels of the noisy images of some test systems.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.refine.settings.RefineSettings`.
    catalog
        catalog.parquet.
    images
        The run's folder of images.
    psfs
        psf/{name}.fits of every PSF of the systems.
    output
        Parquet, one row a system: id, psf, instrument, n_images, sigma_bkg; for each target its truth, mean (the
        most probable value), sigma (of Laplace's approximation) and limit (the same at the true parameters). Then come
        cut (whether a limit of a uniform prior is so near that mean and sigma are those of the posterior that ends
        there, see :mod:`lensvit.inference.truncated`), at_maximum, explained, converged (both of these),
        chi_square (a pixel), tries, iterations, seconds. Values are
        NaN where no image could be computed. Beside it (.h5) lie ``id``, ``coordinates`` (n, 14) and ``covariance``
        (n, 14, 14) by the coordinates of :mod:`lensvit.inference.coordinates`; of free scenes also ``scene`` (n, P),
        see :class:`Fits`.
    draws
        predictions/{model}.h5 of the network from whose draws the fits start; without it they start from the priors.
    chunks
        Image files, as {psf}/{chunk}, of whose systems the output is a shard, see :mod:`lensvit.io.shards`; without
        them it has the systems of all files. No fit depends on which others are made in the same job.
    threads
        Threads of the CPU, each in a process of its own.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or has no draws of a system.
    """
    choice = read_settings(settings, RefineSettings)
    share = Share.of(
        catalog, psfs, chunks, lambda every: select_systems(every, choice.systems, choice.seed, choice.cameras)
    )
    rows = share.rows
    if rows.empty:
        share.write(output, COORDINATES)
        return
    batches = [
        (choice, psf, share.kernels[psf], some.iloc[start : start + BATCH], images, draws)
        for psf, some in by_chunk(rows)
        for start in range(0, len(some), BATCH)
    ]
    parts = share_work(_fitted, batches, threads)
    table = pd.concat([part.table for part in parts]).loc[rows.index]
    order = pd.concat([pd.Series(part.table.index) for part in parts], ignore_index=True)
    place = pd.Index(order).get_indexer(rows.index)
    coordinates, covariance = (
        np.concatenate([getattr(part, name) for part in parts])[place] for name in ("coordinates", "covariance")
    )
    scenes = [part.scene for part in parts if part.scene is not None]
    more = {"scene": np.concatenate(scenes)[place]} if scenes else {}
    share.write(output, COORDINATES, table, coordinates=coordinates, covariance=covariance, **more)
    print(f"{table['converged'].sum()} of {len(table)} converged, {table['seconds'].mean():.2f} s a system", flush=True)


def _fitted(
    settings: RefineSettings, name: str, psf: kernel.Kernel, rows: pd.DataFrame, images: Path, draws: Path | None
) -> Fits:
    """The fits to a batch of systems of the PSF ``name``."""
    if settings.scene.is_free:
        found = Fits(*FreeImageFitter(settings, name, psf).fit(rows, images, draws))
        print(f"{name}: {found.table['converged'].sum()} of {len(rows)} converged", flush=True)
        return found
    return ImageFitter(settings, name, psf).fit(rows, images, draws)


class Fits(NamedTuple):
    """The fits to n systems.

    Parameters
    ----------
    table
        Their rows of the output.
    coordinates
        (n, 14) the most probable ones, or near the limit of a uniform prior their mean.
    covariance
        (n, 14, 14) Laplace's approximation, within the limits of uniform priors.
    scene
        (n, P) all coordinates of free scenes, sizes and indices by their logarithms; None for the paper's scene.
    """

    table: pd.DataFrame
    coordinates: np.ndarray
    covariance: np.ndarray
    scene: np.ndarray | None = None


class ImageFitter:
    """Fits the images of systems of one PSF.

    Parameters
    ----------
    settings
        The stage's settings.
    name
        The PSF's name.
    psf
        The PSF.
    """

    def __init__(self, settings: RefineSettings, name: str, psf: kernel.Kernel) -> None:
        self.settings, self.name = settings, name
        self.renderer = cameras.camera_renderer(settings, name, psf)
        self.starter = Starter(self.renderer, psf, settings.supersampling)
        self.prior = LogPrior(full_priors(settings.priors), settings.external_shear)

    def fit(self, rows: pd.DataFrame, images: Path, draws: Path | None) -> Fits:
        """Fit systems of the PSF, rows of the catalogue, whose images are read from files; print how it went."""
        known = self._known(rows, draws)
        parts = []
        for chunk, some in rows.groupby("chunk", sort=False, observed=True):
            data, [exposure, *_] = noisy_images(Path(images) / self.name / f"{chunk}.h5", some)
            parts.append(self.fit_images(some, data, exposure, [known[name] for name in some["id"]]))
        table = pd.concat([part.table for part in parts])
        print(
            f"{self.name}: {table['converged'].sum()} of {len(table)} converged, "
            f"{table['seconds'].mean():.2f} s a system", flush=True,
        )  # fmt: skip
        coordinates = np.concatenate([part.coordinates for part in parts])
        return Fits(table, coordinates, np.concatenate([part.covariance for part in parts]))

    def _known(self, rows: pd.DataFrame, draws: Path | None) -> dict[str, Gaussian]:
        """What is known of each system before its image."""
        if draws is None:
            return dict.fromkeys(rows["id"], from_prior(self.prior))
        values = read_draws(draws, list(rows["id"]))
        return {name: from_draws(values[:, number], self.prior) for number, name in enumerate(rows["id"])}

    def fit_images(self, rows: pd.DataFrame, data: np.ndarray, exposure: float, known: list[Gaussian]) -> Fits:
        """Fit noisy images of n systems.

        Parameters
        ----------
        rows
            Rows of the catalogue.
        data
            (n, ny, nx) [counts/s per pixel].
        exposure
            Exposure time [s].
        known
            What is known of each system before its image.
        """
        sigma = torch.tensor(rows["sigma_bkg"].to_numpy(dtype=float))
        posterior = Posterior(
            self.renderer, torch.as_tensor(data), sigma, exposure, self.prior, self.settings.scene.max_images
        )
        search = _Search(posterior, self.starter, known, list(rows["id"]), self.settings)
        search.run()
        mean, spread, cut = posterior_moments(self.prior, search.best, search.equations)
        truth = start_from(torch.tensor(rows[list(NAMES)].to_numpy(dtype=float)))
        bound = covariances(posterior, truth)
        columns = search.columns()
        columns["converged"] &= np.isfinite(spread.diagonal(dim1=1, dim2=2).numpy()).all(1)
        table = self._table(rows, mean, spread, bound).assign(cut=cut.numpy(), **columns)
        return Fits(table, mean.numpy(), spread.numpy())

    def _table(self, rows: pd.DataFrame, mean: Tensor, spread: Tensor, bound: Tensor) -> pd.DataFrame:
        """The columns of the output that describe the systems and their targets."""
        table = rows[["id", "psf", "n_images", "sigma_bkg"]].copy()
        table.insert(2, "instrument", self.settings.cameras[self.name].name)
        for name in TARGET_NAMES:
            column = COORDINATES.index(name)
            table[f"{name}_truth"] = rows[name]
            table[f"{name}_mean"] = mean[:, column].numpy()
            table[f"{name}_sigma"] = spread[:, column, column].sqrt().numpy()
            table[f"{name}_limit"] = bound[:, column, column].sqrt().numpy()
        return table


def covariances(posterior: Posterior, coordinates: Tensor) -> Tensor:
    """The covariance of Laplace's approximation: the inverse of the information of image and prior.

    Parameters
    ----------
    posterior
        The posterior of B systems.
    coordinates
        (B, 14), one place for each.

    Returns
    -------
    (B, 14, 14), NaN where there is no image.
    """
    result = torch.full((len(coordinates), len(COORDINATES), len(COORDINATES)), torch.nan, dtype=torch.float64)
    rows, models = torch.arange(len(coordinates)), posterior.models(coordinates).spread()
    good = rows[posterior.density_of(models, rows).isfinite()]
    if len(good):
        result[good] = covariance(posterior.equations(models.rows(good), good).information)[0]
    return result


class _Search:
    """A search for the maximum of the posterior of each system of a batch; those that fail are tried again.

    Each try starts from more draws than the last.
    """

    def __init__(
        self, posterior: Posterior, starter: Starter, known: list[Gaussian], ids: list[str], settings: RefineSettings
    ) -> None:
        self.posterior, self.starter, self.known, self.ids, self.settings = posterior, starter, known, ids, settings
        count = len(posterior)
        self.best = torch.full((count, len(COORDINATES)), torch.nan, dtype=torch.float64)
        self.equations = Equations(torch.full_like(self.best, torch.nan), torch.diag_embed(self.best))
        self.density = torch.full((count,), -torch.inf, dtype=torch.float64)
        self.converged, self.at_maximum, self.explained = (torch.zeros(count, dtype=torch.bool) for _ in range(3))
        self.chi_square = torch.full((count,), torch.nan, dtype=torch.float64)
        self.tries, self.iterations = (torch.zeros(count, dtype=torch.long) for _ in range(2))
        self.seconds = torch.zeros(count, dtype=torch.float64)

    def run(self) -> None:
        """Search until all have converged or no try is left."""
        for attempt, factor in enumerate(MORE_STARTS):
            waiting = torch.nonzero(~self.converged)[:, 0]
            found = [(row, start) for row in waiting.tolist() for start in self._start(row, attempt, factor)]
            if found:
                rows, starts = zip(*found, strict=True)
                self._climb(torch.tensor(rows), torch.stack(starts))

    def _start(self, row: int, attempt: int, factor: int) -> Iterator[Tensor]:
        """The candidate (14,) whose image is most like the data; none if no image can be computed."""
        started = time.perf_counter()
        posterior, count = self.posterior, factor * self.settings.starts
        seed = seeds.derive(self.settings.seed, self.ids[row], "refine", attempt)
        candidates = self.starter.candidates(
            posterior.data[row].double().numpy(), float(posterior.sigma_bkg[row]), posterior.exposure,
            self.known[row], count, seed, thorough=attempt > 0,
        )  # fmt: skip
        candidates = posterior.prior.clamped(candidates)
        density = posterior.log_density(candidates, torch.full((len(candidates),), row), MODEL_ERRORS[0])
        self.tries[row] += 1
        self.seconds[row] += time.perf_counter() - started
        if density.max().isfinite():
            yield candidates[density.argmax()]

    def _climb(self, rows: Tensor, starts: Tensor) -> None:
        """Climb from starts (R, 14) of the systems ``rows`` (R,), and keep what is better than before."""
        started = time.perf_counter()
        fit = climb(self.posterior, starts, rows, self.settings.max_iterations, MODEL_ERRORS)
        self._keep(rows, fit)
        self.iterations[rows] += fit.iterations
        steps = 1 + fit.iterations
        self.seconds[rows] += (time.perf_counter() - started) * steps / float(steps.sum())

    def _keep(self, rows: Tensor, fit: Fit) -> None:
        """Keep the fits that are better than the earlier ones: those that have converged, or are more probable."""
        chi_square, good = self.posterior.explained(fit.coordinates, rows)
        top = fit.at_maximum()
        better = (good & top) | (fit.density > self.density[rows])
        place = rows[better]
        self.best[place], self.density[place] = fit.coordinates[better], fit.density[better]
        self.equations.gradient[place] = fit.gradient[better]
        self.equations.information[place] = fit.information[better]
        self.at_maximum[place], self.explained[place] = top[better], good[better]
        self.converged[place] = (good & top)[better]
        self.chi_square[place] = chi_square[better]

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of the output that describe the search, (B,) each."""
        names = ("converged", "at_maximum", "explained", "chi_square", "tries", "iterations", "seconds")
        return {name: getattr(self, name).numpy() for name in names}
