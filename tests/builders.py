"""Makers of test objects that several packages' tests share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
from lenstronomy.LensModel.lens_model import LensModel

from lensvit.bench.simulation import SCENE
from lensvit.inference.posterior import Posterior
from lensvit.inference.prior import LogPrior
from lensvit.io.tables import FLAGS, TEXT
from lensvit.lensing.lens_equation import lens_kwargs
from lensvit.lensing.noise import noise
from lensvit.lensing.power_law import PowerLaw
from lensvit.lensing.settings import Camera, Light
from lensvit.parameters import NAMES, priors
from lensvit.psf.kernel import OVERSAMPLING, Kernel, from_supersampled

EXACT = LensModel(["EPL", "SHEAR"])  # lenstronomy's lens model without approximations
FLATNESS = (0.0, 1e-9, 0.05, 0.2, 0.33, 0.5, 0.7, 0.818, 0.9)  # |e|, from round to flat
SPACE = Camera(pixels=60, pixel_scale=0.09)  # of a small telescope in space, for systems that are fitted
SPACE_SEEDS = (3, 5, 6, 7, 8, 10)  # of these systems
NETWORK_ERRORS = np.array([0.025, 0.075, 0.006, 0.006, 0.028, 0.028, 0.025, 0.095])  # of the demo's networks, by target

__all__ = [
    "EXACT", "FLATNESS", "NETWORK_ERRORS", "SCENE", "SPACE", "SPACE_SEEDS", "draw_parameters", "filled",
    "follow_images", "light", "lopsided_psf", "near_critical_curve", "nearest", "noisy_posterior", "parameter_tensor",
    "same_arrays", "space_psf", "with_image_at",
]  # fmt: skip


def draw_parameters(seed: int, **changes: float) -> dict[str, float]:
    """The 14 parameters of one system, drawn from the paper's priors."""
    rng = np.random.default_rng(seed)
    return {name: prior.draw(rng) for name, prior in priors({}).items()} | changes


def filled(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The table with those of the columns that it lacks, for tests in which their values do not matter."""
    made = {**dict.fromkeys(TEXT, "x"), "reason": "", **dict.fromkeys(FLAGS, True)}
    return table.assign(**{name: made.get(name, 1.0) for name in columns if name not in table})


def lopsided_psf(side: int, pixel_scale: float) -> Kernel:
    """A kernel without symmetries, so that a flipped or shifted one is noticed."""
    offset = (np.arange(side * OVERSAMPLING) - (side * OVERSAMPLING - 1) / 2) / OVERSAMPLING
    x, y = offset, offset[:, None]
    light = np.exp(-(x**2 + y**2 + 0.8 * x * y) / 4) + 0.1 * np.exp(-((x - 3) ** 2 + (y - 1) ** 2) / 9)
    return from_supersampled(light / light.sum(), pixel_scale)


def space_psf(side: int) -> Kernel:
    """A core of two pixels with a wide halo, as from space."""
    offset = (np.arange(side * OVERSAMPLING) - (side * OVERSAMPLING - 1) / 2) / OVERSAMPLING
    square = offset**2 + offset[:, None] ** 2
    return from_supersampled(np.exp(-square / 1.3) + 0.01 * (1 + square / 9) ** -1.5, SPACE.pixel_scale)


def same_arrays(one: Path, other: Path) -> bool:
    """Whether the HDF5 files beside two tables hold the same, bit for bit."""
    with h5py.File(one.with_suffix(".h5")) as left, h5py.File(other.with_suffix(".h5")) as right:
        return (
            list(left) == list(right)
            and all(left[name].dtype == right[name].dtype and left[name].shape == right[name].shape for name in left)
            and all(left[name][()].tobytes() == right[name][()].tobytes() for name in left if name != "id")
            and list(left["id"].asstr()) == list(right["id"].asstr())
            and list(left.attrs) == list(right.attrs)
            and all(list(left.attrs[name]) == list(right.attrs[name]) for name in left.attrs)
        )


def light(scene: Light) -> dict[str, float]:
    """What the settings of a stage that fits images say of a scene."""
    return scene.model_dump(include=set(Light.model_fields))


def noisy_posterior(space_camera, sigma: float = 1.0) -> Posterior:
    """The posterior of the systems of the camera in space, given noisy images."""
    _, renderer, systems, images = space_camera
    noisy = np.stack([noise(image, sigma, SCENE.exposure, seed) for seed, image in enumerate(images)])
    sigmas = torch.full((len(systems),), sigma)
    return Posterior(renderer, torch.as_tensor(noisy), sigmas, SCENE.exposure, LogPrior(priors({})), 4)


def parameter_tensor(systems) -> torch.Tensor:
    """The parameters (n, 14) of systems."""
    return torch.tensor([[system.parameters[name] for name in NAMES] for system in systems], dtype=torch.float64)


def with_image_at(parameters, x, y):
    """The same lens with the source that has an image at (x, y)."""
    source_x, source_y = EXACT.ray_shooting(x, y, lens_kwargs(parameters))
    return parameters | {"source_x": float(source_x), "source_y": float(source_y)}


def near_critical_curve(parameters, seed, offset):
    """A point at ``offset`` [arcsec] from the critical curve, in a random direction from the centre."""
    angle = np.random.default_rng([seed, 99]).uniform(0, 2 * np.pi)
    radius = np.linspace(0.3, 4, 4000) * parameters["theta_E"]
    ray = parameters["center_x"] + radius * np.cos(angle), parameters["center_y"] + radius * np.sin(angle)
    inverse = 1 / EXACT.magnification(*ray, lens_kwargs(parameters))
    outermost = np.flatnonzero(np.sign(inverse[1:]) != np.sign(inverse[:-1]))[-1]
    at = radius[outermost] + offset
    return parameters["center_x"] + at * np.cos(angle), parameters["center_y"] + at * np.sin(angle)


def nearest(quasar_images, x, y):
    """The distance [arcsec] of the image that is nearest to (x, y)."""
    return np.hypot(quasar_images.x - x, quasar_images.y - y).min(initial=np.inf)


def follow_images(parameters, position):
    """Positions (B, P) complex that solve the lens equation near the given ones, and |magnification|."""
    law, source = PowerLaw(parameters), torch.complex(*parameters[:, 10:12].T[..., None])
    for _ in range(5):
        value = law.expansion(position)
        determinant = (1 - value.kappa) ** 2 - value.gamma.abs() ** 2
        off = source - position + value.alpha
        position = position + ((1 - value.kappa) * off + value.gamma * off.conj()) / determinant
    return position, 1 / determinant.abs()
