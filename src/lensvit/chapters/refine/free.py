"""Fits to all pixels of systems of free scenes, which write what those of the paper's scene write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from lensvit.chapters.refine.settings import RefineSettings
from lensvit.inference.coordinates import COORDINATES
from lensvit.inference.likelihood import covariance
from lensvit.io.products import read_draws
from lensvit.jobs import seeds
from lensvit.lensing import cameras
from lensvit.lensing.observed import noisy_images
from lensvit.observations.free_system import ONLY, FreeFit, FreeSystem
from lensvit.observations.start import Guess
from lensvit.parameters import NAMES, TARGET_NAMES
from lensvit.psf import kernel

COUNT = len(NAMES)


class FreeImageFitter:
    """Fits the images of systems of one PSF, as :class:`lensvit.chapters.refine.compute.ImageFitter` does.

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
        exposure = cameras.exposure_of(cameras.camera_renderer(settings, name, psf))
        self.system = FreeSystem(settings, exposure)

    def fit(
        self, rows: pd.DataFrame, images: Path, draws: Path | None
    ) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
        """Fit systems of the PSF, rows of the catalogue, whose images are read from files.

        Returns
        -------
        table : pd.DataFrame
            Their rows of the output.
        coordinates, covariance : ndarray
            The most probable coordinates (n, 14) of every lens and Laplace's approximation (n, 14, 14), sizes and
            indices themselves.
        scene : ndarray
            All coordinates (n, P) of the scenes, sizes and indices by their logarithms.
        """
        values = None if draws is None else read_draws(draws, list(rows["id"]))
        found, order = list[tuple[dict[str, object], np.ndarray, np.ndarray, np.ndarray]](), []
        for chunk, some in rows.groupby("chunk", sort=False, observed=True):
            data, exposures = noisy_images(Path(images) / self.name / f"{chunk}.h5", some)
            for number, (label, row) in enumerate(some.iterrows()):
                guess = None
                if values is not None:
                    guess = Guess.of(values[:, rows.index.get_loc(label)])
                seed = seeds.derive(self.settings.seed, str(row["id"]), "refine")
                arguments = data[number].astype(float), float(row["sigma_bkg"]), float(exposures[number])
                fit = self.system.fit(*arguments, self.settings.max_iterations, seed, guess)
                found.append(self._row(row, fit))
                order.append(label)
        columns, mean, spread, scene = zip(*found, strict=True)
        return pd.DataFrame(list(columns), index=order), np.stack(mean), np.stack(spread), np.stack(scene)

    def _row(self, row: pd.Series, fit: FreeFit | None) -> tuple[dict[str, object], np.ndarray, np.ndarray, np.ndarray]:
        """What is written of one system."""
        size = len(self.system.structure.names)
        mean, spread = np.full(COUNT, np.nan), np.full((COUNT, COUNT), np.nan)
        scene, limit, good = np.full(size, np.nan), np.full(COUNT, np.nan), False
        if fit is not None and bool(fit.fit.density.isfinite()):
            scene = fit.fit.coordinates[0].numpy()
            mean, spread = self._natural(fit.fit.coordinates, fit.fit.information[0])
            good = fit.converged and bool(np.isfinite(spread.diagonal()).all() and (spread.diagonal() > 0).all())
            limit = self._limit(row, fit)
        columns: dict[str, object] = {name: row[name] for name in ("id", "psf", "n_images", "sigma_bkg")}
        columns["instrument"] = self.settings.cameras[self.name].name
        with np.errstate(invalid="ignore"):
            sigma = np.sqrt(spread.diagonal())
        for name in TARGET_NAMES:
            column = COORDINATES.index(name)
            columns |= {f"{name}_truth": row[name], f"{name}_mean": mean[column], f"{name}_sigma": sigma[column]}
            columns |= {f"{name}_limit": limit[column]}
        columns |= {"cut": False, "converged": good, "at_maximum": False, "explained": False, "chi_square": np.nan}
        columns |= {"tries": 0, "iterations": 0, "seconds": 0.0}
        if fit is not None:
            columns |= {"at_maximum": bool(fit.fit.at_maximum()[0]), "explained": fit.explained}
            columns |= {"chi_square": fit.chi_square, "tries": fit.tries, "iterations": fit.iterations}
            columns |= {"seconds": fit.seconds}
        return columns, mean, spread, scene

    def _natural(self, coordinates: Tensor, information: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates (14,) of every lens and their covariance (14, 14), sizes and indices themselves."""
        spread = covariance(information[None])[0][0]
        values = self.system.structure.natural(coordinates.numpy())[0]
        by = self.system.sizes(values)
        whole = by[:, None] * spread.numpy() * by
        return values[:COUNT], whole[:COUNT, :COUNT]

    def _limit(self, row: pd.Series, fit: FreeFit) -> np.ndarray:
        """Standard deviations (14,) of Laplace's approximation at the truth."""
        truth = self.system.coordinates({name: float(row[name]) for name in self.system.structure.names})
        models = fit.posterior.models(truth)
        if not models.good.all():
            return np.full(COUNT, np.nan)
        spread = self._natural(truth, fit.posterior.equations(models, ONLY).information[0])[1]
        with np.errstate(invalid="ignore"):
            return np.sqrt(spread.diagonal())
