"""Exact posteriors of systems of free scenes, all amplitudes of their light marginalised."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor, as_tensor

from lensvit.chapters.importance.settings import ImportanceStage
from lensvit.errors import LensvitError
from lensvit.inference.coordinates import to_coordinates
from lensvit.io import tables
from lensvit.io.hdf5 import read_datasets
from lensvit.jobs import seeds
from lensvit.lensing import cameras
from lensvit.lensing.observed import noisy_image
from lensvit.observations.fitting import drawn_scene
from lensvit.observations.free_system import FreeSystem
from lensvit.parameters import NAMES, TARGET_COLUMNS, TARGET_NAMES
from lensvit.psf import kernel


def read_scenes(refined: Sequence[Path], rows: pd.DataFrame) -> dict[str, Tensor | None]:
    """Coordinates (1, P) of the most probable scene to which a refinement of each system has converged, by id.

    Parameters
    ----------
    refined
        refined/{start}.parquet of every start, of which the first that has converged counts.
    rows
        Rows of the catalogue.

    Raises
    ------
    LensvitError
        If a file is absent or broken or of another run, or if all lack a system.
    """
    found: dict[str, Tensor | None] = {}
    for path in map(Path, refined):
        table = tables.read_refined(path)
        here = rows[rows["id"].isin(table.index)]
        tables.check_truths(path, table, here)
        ids, scenes = read_datasets(path.with_suffix(".h5"), "id", "scene")
        places = {name: number for number, name in enumerate(ids.tolist())}
        for name in here["id"]:
            good = bool(table.loc[name, "converged"]) and found.get(name) is None
            found[name] = as_tensor(scenes[places[name]][None]) if good else found.get(name)
    for name in rows["id"]:
        if name not in found:
            raise LensvitError(f"{', '.join(map(str, refined))}: no fit of {name}: delete them and run snakemake again")
    return found


class FreeSampler:
    """Samples systems of one PSF.

    Parameters
    ----------
    settings
        The stage's settings.
    psf
        Name of the PSF.
    known
        The PSF.
    """

    def __init__(self, settings: ImportanceStage, psf: str, known: kernel.Kernel) -> None:
        self.settings = settings
        self.system = FreeSystem(settings, cameras.exposure_of(cameras.camera_renderer(settings, psf, known)))

    def sampled(
        self, row: pd.DataFrame, images: Path, scene: Tensor
    ) -> tuple[dict[str, object], np.ndarray, np.ndarray] | None:
        """The columns of a system's row, samples (S, 14) of its parameters, and (S, P) of the scene's coordinates.

        None where there is no density.

        Parameters
        ----------
        row
            The system's row of the catalogue, a table of one row.
        images
            The run's folder of images.
        scene
            Coordinates (1, P) of its most probable scene.
        """
        started, one = time.perf_counter(), row.iloc[0]
        fit = self.system.resumed(*noisy_image(images, row), scene)
        if not bool(fit.fit.density.isfinite()):
            return None
        seed = seeds.derive(self.settings.seed, str(one["id"]), "importance")
        drawn = drawn_scene(fit.posterior, fit.fit, self.settings, seed)
        if drawn is None:
            return None
        reason = drawn.sample.reason if fit.explained else tables.UNEXPLAINED
        every = self.system.structure.natural(drawn.parameters(drawn.sample.places))
        targets = every[:, TARGET_COLUMNS]
        mean = drawn.sample.weights @ targets
        sigma_of = np.sqrt(drawn.sample.weights @ np.square(targets - mean))
        columns: dict[str, object] = {"certified": not reason, "reason": reason, "k": drawn.sample.k}
        columns |= {"ess": drawn.sample.effective, "draws": len(drawn.sample.places), "rounds": drawn.sample.rounds}
        columns |= {"calls": drawn.calls, "maxima": 1, "log_evidence": drawn.sample.log_evidence}
        columns |= {"log_evidence_error": drawn.sample.error, "chi_square": fit.chi_square}
        columns["explained"] = fit.explained
        for name, value, width in zip(TARGET_NAMES, mean, sigma_of, strict=True):
            columns |= {f"{name}_mean": value, f"{name}_sigma": width}
        random = np.random.default_rng(seeds.derive(self.settings.seed, str(one["id"]), "importance", "samples"))
        chosen = drawn.parameters(drawn.sample.resampled(self.settings.samples, random))
        columns["seconds"] = time.perf_counter() - started
        scenes = to_coordinates(as_tensor(chosen)).numpy()
        return columns, self.system.structure.natural(chosen)[:, : len(NAMES)], scenes
