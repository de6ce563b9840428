"""Chains of systems of free scenes: what they walk in, and where they start.

Such a scene has some twenty parameters, and all amplitudes of its light are marginalised. Chains are not annealed. They
start from the end of a search, as is usual for lens models. The search of the chain "prior" knows the image and the
priors alone, and that of the chain "network" also what the network says of the mass; walkers are scattered around it,
wider than Laplace's approximation. The chain "importance" starts from samples of the exact posterior. All walk in
coordinates in which the images' positions are straight (:mod:`lensvit.inference.straightened`).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensvit.chapters.mcmc.settings import McmcSettings
from lensvit.chapters.mcmc.thresholds import IMPORTANCE, NETWORK
from lensvit.inference.prior import LogPrior
from lensvit.inference.straightened import FlatMap
from lensvit.inference.target import FreeCoordinates, SampledLens
from lensvit.jobs import seeds
from lensvit.lensing import cameras
from lensvit.lensing.observed import noisy_image
from lensvit.lensing.settings import full_priors
from lensvit.observations.free_system import FreeFit, FreeSystem
from lensvit.observations.start import Guess
from lensvit.parameters import NAMES
from lensvit.psf import kernel

STEPS = 240  # most steps of each search
SCATTER = 1.5  # of the walkers that start around a maximum, in standard deviations of Laplace's approximation
EACH = 4  # places for each walker that starts there, of which some may have no image


class FreeSceneCoordinates(FreeCoordinates):
    """The coordinates of a free scene that its prior leaves free.

    Parameters
    ----------
    settings
        The stage's settings.
    """

    def __init__(self, settings: McmcSettings) -> None:
        self.structure = settings.scene.structure
        names = self.structure.names
        super().__init__(LogPrior(full_priors(settings.priors, names), settings.external_shear, names=names))

    def parameters(self, values: np.ndarray) -> np.ndarray:
        """The parameters of every lens (n, 14) from the free coordinates (n, d), sizes and indices themselves."""
        return self.structure.natural(super().parameters(values))[:, : len(NAMES)]


class FreeTarget:
    """Log prior and log likelihood of one system of a free scene, by coordinates u in which positions are straight.

    Parameters
    ----------
    system
        The camera's systems.
    fit
        The most probable scene, around which u is made.
    """

    def __init__(self, system: FreeSystem, fit: FreeFit) -> None:
        self.system, self.fit = system, fit
        self.lens = SampledLens(fit.posterior, fit.fit.coordinates)
        free = self.lens.free
        mean = self.lens.values(fit.fit.coordinates)[0]
        spread = torch.linalg.inv(fit.fit.information[0][free][:, free]).numpy()
        self.map = FlatMap(mean, spread, self.lens.features(mean))

    def __call__(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log prior (n,) and log likelihood (n,) at u (n, d), minus infinity where there is no lens."""
        prior, likelihood = np.full((2, len(flat)), -np.inf)
        places, volume, known = self.map.to_places(flat)
        if known.any():
            prior[known], likelihood[known] = self.lens(places[known])
        return prior + volume, likelihood

    def explained(self, flat: np.ndarray) -> tuple[float, bool]:
        """The chi^2 a pixel at u (d,), and whether the image there explains the data."""
        return self.system.explained(self.fit.posterior, self.lens.coordinates(self.places(flat[None])))

    def places(self, flat: np.ndarray) -> np.ndarray:
        """The free coordinates (..., d) of u (..., d)."""
        return self.map.to_places(flat.reshape(-1, flat.shape[-1]))[0].reshape(flat.shape)

    def scattered(self, walkers: int, seed: int) -> np.ndarray:
        """Places u (n, d) around the maximum for so many walkers to start from."""
        random = np.random.default_rng(seed)
        return SCATTER * random.standard_normal((EACH * walkers, len(self.map.mean)))

    def samples(self, scenes: np.ndarray) -> np.ndarray:
        """The u (n, d) of those coordinates (S, P) of scenes that have one."""
        flat, known = self.map.to_flat(self.lens.values(torch.as_tensor(scenes)))
        return flat[known]


class FreeStart(NamedTuple):
    """Where a chain of a free scene starts.

    Parameters
    ----------
    target
        What it walks in; None where no scene explains the image.
    places
        Places u (n, d) for its walkers.
    sampled
        Whether these are samples of the posterior.
    """

    target: FreeTarget | None
    places: np.ndarray
    sampled: bool


def free_start(
    row: pd.DataFrame, images: Path, psf: kernel.Kernel, key: str, values: np.ndarray | None, settings: McmcSettings
) -> FreeStart:
    """Find the maximum that a chain starts around.

    Parameters
    ----------
    row
        The system's row of the catalogue, a table of one row.
    images
        The run's folder of images.
    psf
        The system's PSF.
    key
        The start: "prior", "network" or "importance".
    values
        Draws (passes, K) of the network, or coordinates (S, P) of samples of the exact posterior; None for the prior.
    settings
        The stage's settings.

    Raises
    ------
    LensvitError
        If the image file is absent or broken.
    """
    one, name = row.iloc[0], row["psf"].item()
    system = FreeSystem(settings, cameras.exposure_of(cameras.camera_renderer(settings, name, psf)))
    observed = noisy_image(images, row)
    seed = seeds.derive(settings.seed, str(one["id"]), "mcmc", key, "search")
    nothing = FreeStart(None, np.empty((0, 0)), False)
    if key == IMPORTANCE and values is not None:
        fit: FreeFit | None = system.resumed(*observed, _middle(values))
    else:
        guess = Guess.of(values) if key == NETWORK and values is not None else None
        fit = system.fit(*observed, STEPS, seed, guess)
    if fit is None or not bool(torch.isfinite(fit.fit.density).all()):
        return nothing
    try:
        target = FreeTarget(system, fit)
    except (np.linalg.LinAlgError, torch.linalg.LinAlgError):  # data and priors leave a direction open
        return nothing
    if key == IMPORTANCE and values is not None:
        return FreeStart(target, target.samples(values), True)
    return FreeStart(target, target.scattered(settings.walkers, seed), False)


def _middle(scenes: np.ndarray) -> Tensor:
    """The coordinates (1, P) of the sample (S, P) nearest to the mean of all, in their own standard deviations."""
    spread = scenes.std(0)
    offset = (scenes - scenes.mean(0)) / np.where(spread > 0, spread, 1.0)
    return torch.as_tensor(scenes[np.square(offset).sum(1).argmin()][None])
