"""Scores that shall flag systems unlike the training's, from the image and the network alone.

``epistemic`` is the part of sigma that comes from the spread of the network's passes and ``predicted`` the whole
sigma, both in units of each target's scatter over the training set. ``residual`` asks the image: the lens that the
network sees is rendered, and what it does not explain counts. The network leaves the shear and the source open. They
are fitted, with the predicted targets held, by a few Levenberg-Marquardt steps on all pixels from where a refinement
would start (:mod:`lensvit.inference.starts`), under the training's priors.

Where the training's scene is free, its amplitudes are unknown: they are solved for, and the shapes of the light fitted
too (:mod:`lensvit.chapters.shift.free`). Where it is the paper's, they are known, whatever the systems are that are
scored: what a shifted system has beside it counts as unexplained.

No score looks at the truth. The residual knows the kernel and the noise level, as the fits to all pixels of the
refinement do.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensvit.chapters.grouping import by_psf
from lensvit.chapters.shift.free import FreeResidual
from lensvit.chapters.shift.settings import ShiftSettings
from lensvit.errors import LensvitError
from lensvit.inference.coordinates import COORDINATES
from lensvit.inference.posterior import Posterior
from lensvit.inference.prior import LogPrior
from lensvit.inference.quasar_match import bounded
from lensvit.inference.search import climb
from lensvit.inference.starts import Starter, from_prior
from lensvit.io import files, tables
from lensvit.io.settings import read_settings
from lensvit.jobs import seeds
from lensvit.lensing import cameras
from lensvit.lensing.observed import noisy_images
from lensvit.lensing.settings import full_priors
from lensvit.parameters import TARGET_COLUMNS, TARGET_NAMES, normal
from lensvit.psf import kernel
from lensvit.statistics.metrics import standardised

HELD = 1e-5  # standard deviation of a target that a fit shall not move, in its unit; no image is as informative
STARTING_DRAWS = 4  # draws of shear and source from which rays are sent back
STEPS = 4  # of the search on all pixels
MODEL_ERROR = 0.1  # relative, of the model image in that search, lest quasar images that miss dominate it


def shift_scores(
    settings: Path, catalog: Path, images: Path, psfs: list[Path], predictions: Path, model: Path, output: Path
) -> None:
    """Score how unlike the training's the systems are that a network has predicted.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.shift.settings.ShiftSettings`.
    catalog
        The catalogue of the systems.
    images
        The folder of their images.
    psfs
        psf/{name}.fits of every PSF in the catalogue.
    predictions
        predictions/{model}.parquet.
    model
        The network's folder.
    output
        Parquet, one row a system: the columns of the predictions, then ``epistemic``, ``predicted`` and ``residual``,
        which is chi^2 a pixel, infinite where the predicted lens has no image.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or has none of a system, or a PSF has no camera.
    """
    torch.set_num_threads(1)
    choice = read_settings(settings, ShiftSettings)
    counts = {psf: camera.systems for psf, camera in choice.cameras.items()}
    rows = first_test_systems(tables.read_catalog(catalog), counts)
    table = tables.by_id(predictions, tables.read_parquet(predictions, *tables.PREDICTIONS))
    missing = rows["id"][~rows["id"].isin(table.index)]
    if len(missing):
        raise LensvitError(f"{predictions} has no prediction of {missing.iloc[0]}: delete it and run snakemake again")
    table = table.loc[rows["id"]].reset_index()
    kernels = cameras.read_kernels(psfs, rows["psf"])
    scores = uncertainties(table, model)  # before what takes long, as a file may be broken
    means = pd.DataFrame(tables.target_values(table, "mean"), rows.index)
    parts = []
    for psf, some in by_psf(rows):
        scorer = ResidualScorer(choice, psf, kernels[psf])
        parts.append(pd.Series(scorer.from_files(some, images, means.loc[some.index].to_numpy()), some.index))
    residual = pd.concat(parts).loc[rows.index].to_numpy()
    with files.atomic(output) as temporary:
        table.assign(**scores, residual=residual).to_parquet(temporary, index=False)
    files.write_manifest(output)


def first_test_systems(catalog: pd.DataFrame, counts: dict[str, int]) -> pd.DataFrame:
    """The first test systems of each PSF, as many as ``counts`` says or as there are."""
    test = catalog[catalog["split"] == "test"].sort_values(["psf", "id"])
    cameras.check_known(test["psf"], counts)
    return test[test.groupby("psf", observed=True).cumcount() < test["psf"].map(counts).astype(int)]


def uncertainties(table: pd.DataFrame, model: Path) -> dict[str, np.ndarray]:
    """The scores ``epistemic`` and ``predicted`` (n,): root mean square over the targets of sigma over the scatter.

    Parameters
    ----------
    table
        Predictions of n systems.
    model
        The network's folder; its config.json has the scatter of each target over the training set.

    Raises
    ------
    LensvitError
        If config.json is absent or broken.
    """
    path = Path(model) / "config.json"
    content = files.read_json(path, "scaler")
    with files.reading(path):
        unit = [float(content["scaler"]["sd"][name]) for name in TARGET_NAMES]
    kinds = {"epistemic": "epistemic", "predicted": "sigma"}
    return {
        score: standardised(tables.target_values(table, kind) ** 2, np.array(unit)) for score, kind in kinds.items()
    }


class ResidualScorer:
    """Computes the residual of systems of one PSF.

    Parameters
    ----------
    settings
        The stage's settings.
    name
        The PSF's name.
    psf
        The PSF.
    """

    def __init__(self, settings: ShiftSettings, name: str, psf: kernel.Kernel) -> None:
        self.settings, self.name = settings, name
        self.renderer = cameras.camera_renderer(settings, name, psf)
        self.starter = Starter(self.renderer, psf, settings.supersampling)
        self.free = FreeResidual(settings, cameras.exposure_of(self.renderer)) if settings.scene.is_free else None

    def from_files(self, rows: pd.DataFrame, images: Path, means: np.ndarray) -> np.ndarray:
        """The :meth:`residuals` of systems whose images are read from files; print how long they took.

        Parameters
        ----------
        rows
            n rows of the catalogue.
        images
            The folder of images.
        means
            (n, K) predicted targets.
        """
        started, result = time.perf_counter(), np.full(len(rows), np.nan)
        chunks = rows["chunk"].to_numpy()
        for chunk in pd.unique(chunks):
            here = np.flatnonzero(chunks == chunk)
            some = rows.iloc[here]
            data, exposures = noisy_images(Path(images) / self.name / f"{chunk}.h5", some)
            result[here] = self.residuals(data, some["sigma_bkg"].to_numpy(dtype=float), exposures, means[here])
        print(f"{self.name}: {len(rows)} systems in {time.perf_counter() - started:.1f} s", flush=True)
        return result

    def residuals(
        self, data: np.ndarray, sigma_bkg: np.ndarray, exposures: np.ndarray, means: np.ndarray
    ) -> np.ndarray:
        """The chi^2 a pixel (n,) of noisy images given predicted targets; infinite where these allow no image.

        Parameters
        ----------
        data
            (n, ny, nx) [counts/s per pixel].
        sigma_bkg
            (n,) background noise [counts/s per pixel].
        exposures
            (n,) exposure times [s].
        means
            (n, K) predicted targets, in physical units.
        """
        return np.array([self._residual(*one) for one in zip(data, sigma_bkg, exposures, means, strict=True)])

    def _residual(self, image: np.ndarray, sigma_bkg: float, exposure: float, mean: np.ndarray) -> float:
        """The chi^2 a pixel of one image (ny, nx), given targets (K,)."""
        if self.free is not None:
            return self.free.of(image, sigma_bkg, exposure, mean, seeds.derive("residual"))
        held = dict(zip(TARGET_NAMES, bounded(_with_targets(mean))[0, TARGET_COLUMNS].tolist(), strict=True))
        known = full_priors(self.settings.priors) | {name: normal(value, HELD) for name, value in held.items()}
        prior = LogPrior(known, self.settings.external_shear)
        data, sigma = torch.as_tensor(image)[None], torch.tensor([sigma_bkg])
        posterior = Posterior(self.renderer, data, sigma, exposure, prior, self.settings.scene.max_images)
        start = self._start(posterior, prior)
        fit = climb(posterior, start, torch.zeros(1, dtype=torch.long), STEPS, (MODEL_ERROR,))
        return float(posterior.explained(fit.coordinates, torch.zeros(1, dtype=torch.long))[0])

    def _start(self, posterior: Posterior, prior: LogPrior) -> Tensor:
        """Coordinates (1, 14) of a lens with the held targets whose images are most like the observed ones."""
        data, sigma = posterior.data[0].double().numpy(), float(posterior.sigma_bkg[0])
        seed = seeds.derive("residual")
        starts = self.starter.candidates(data, sigma, posterior.exposure, from_prior(prior), STARTING_DRAWS, seed)
        starts = prior.clamped(starts)
        density = posterior.log_density(starts, torch.zeros(len(starts), dtype=torch.long), MODEL_ERROR)
        return starts[density.argmax()][None]


def _with_targets(mean: np.ndarray) -> Tensor:
    """Coordinates (1, 14) with targets (K,), and 0 for all others."""
    result = torch.zeros(1, len(COORDINATES), dtype=torch.float64)
    result[0, TARGET_COLUMNS] = torch.as_tensor(np.array(mean, dtype=float))
    return result
