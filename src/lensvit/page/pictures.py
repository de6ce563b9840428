"""Pictures of systems: the noisy image, the model of a fit and the residual, in sheets of many systems.

A sheet is a PNG file with a palette. What it shows is coarse where the eye does not see it: noise takes most of the
bytes, and each step of the levels that is twice as fine costs one bit a pixel more.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensvit.inference.coordinates import to_parameters
from lensvit.inference.following import solve_quasar_images
from lensvit.inference.posterior import possible
from lensvit.lensing import cameras
from lensvit.lensing.noise import LEAST_SHARE, variance
from lensvit.lensing.observed import noisy_images
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.page.png import encode
from lensvit.page.settings import PageSettings
from lensvit.psf.kernel import Kernel

SIDE = 120  # most pixels of a picture; larger images are binned
ROWS = 24  # systems of a sheet
SHADES = 32  # levels of an image, from DARKEST to its brightest pixel
DARKEST = -3.0  # in standard deviations of the background
SOFTENING = 3.0  # of the asinh stretch, in standard deviations of the background
STEPS = 15  # levels of a residual
WIDEST = 5.0  # largest residual that is told apart, in standard deviations of the noise
IMAGE_MAP, RESIDUAL_MAP = "gray", "RdBu_r"
BATCH = 50  # model images that are computed at a time


class Sheet(NamedTuple):
    """Pictures of some systems of one PSF, one below the other: of each the noisy image, the model and the residual.

    A system without a model has its noisy image alone.

    Parameters
    ----------
    ids
        Ids of the systems, from the top.
    modelled
        Whether each has a model and a residual.
    places
        Number of pictures above the first one of each.
    png
        The file in base64.
    """

    ids: list[str]
    modelled: list[bool]
    places: list[int]
    png: str


class Geometry(NamedTuple):
    """What the pictures of a PSF show.

    Parameters
    ----------
    side
        Side of a picture [pixel].
    binned
        Pixels of the image along the side of one of the picture.
    pixel_scale
        Side of a pixel of the picture [arcsec].
    """

    side: int
    binned: int
    pixel_scale: float


def geometry(pixels: int, pixel_scale: float) -> Geometry:
    """The pictures of a camera's images.

    Parameters
    ----------
    pixels
        Side of an image [pixel].
    pixel_scale
        Side of a pixel [arcsec].
    """
    factor = -(-pixels // SIDE)
    return Geometry(pixels // factor, factor, factor * pixel_scale)


def sheets(
    rows: pd.DataFrame,
    images: Path,
    kernels: Mapping[str, Kernel],
    fits: Mapping[str, np.ndarray],
    settings: PageSettings,
) -> Iterator[Sheet]:
    """The sheets of some systems.

    Parameters
    ----------
    rows
        Rows of the catalogue.
    images
        The run's folder of images.
    kernels
        PSF to its kernel.
    fits
        Id to the coordinates (14,) of the model, where there is one.
    settings
        The stage's settings.

    Raises
    ------
    LensvitError
        If an image file is absent or broken.
    """
    colours = palette()
    for (psf, chunk), some in rows.groupby(["psf", "chunk"], sort=False, observed=True):
        renderer = cameras.camera_renderer(settings, str(psf), kernels[str(psf)])
        for start in range(0, len(some), ROWS):
            part = some.iloc[start : start + ROWS]
            data, exposures = noisy_images(Path(images) / str(psf) / f"{chunk}.h5", part)
            models = model_images(renderer, [fits.get(name) for name in part["id"]], settings.scene.max_images)
            found = [
                pictures_of(image, model, float(sigma), exposure, kernels[str(psf)].exposure_map)
                for image, model, sigma, exposure in zip(
                    data, models, part["sigma_bkg"], exposures.tolist(), strict=True
                )
            ]
            places = np.cumsum([0, *map(len, found)])[:-1].tolist()
            png = b64encode(encode([picture for entry in found for picture in entry], colours)).decode()
            yield Sheet(list(part["id"]), [model is not None for model in models], places, png)


def palette() -> np.ndarray:
    """The colours (SHADES + STEPS, 3) of a sheet: those of images, and those of residuals."""
    shades = matplotlib.colormaps[IMAGE_MAP](np.linspace(0, 1, SHADES))
    steps = matplotlib.colormaps[RESIDUAL_MAP](np.linspace(0.02, 0.98, STEPS))
    return np.round(255 * np.concatenate([shades, steps])[:, :3]).astype(np.uint8)


@torch.no_grad()
def model_images(
    renderer: BatchedRenderer, coordinates: list[np.ndarray | None], max_images: int
) -> list[np.ndarray | None]:
    """The noise-free images (ny, nx) [counts/s per pixel] at some coordinates; None where there are none.

    Parameters
    ----------
    renderer
        Renderer of the camera.
    coordinates
        Coordinates (14,) of each system; None for none.
    max_images
        Number of the brightest quasar images that an image shows.
    """
    found: list[np.ndarray | None] = [None] * len(coordinates)
    known = [place for place, entry in enumerate(coordinates) if entry is not None]
    for start in range(0, len(known), BATCH):
        places = torch.tensor(known[start : start + BATCH])
        every = torch.tensor(np.array([coordinates[place] for place in places.tolist()]), dtype=torch.float64)
        good = possible(every)
        places, parameters = places[good], to_parameters(every[good])
        positions, magnification, solved = solve_quasar_images(parameters, max_images)
        parts: list[Tensor] = [parameters[solved], positions[solved], magnification[solved]]
        if solved.any():
            for place, image in zip(places[solved].tolist(), renderer.images(*parts).cpu().numpy(), strict=True):
                found[place] = image
    return found


def pictures_of(
    image: np.ndarray,
    model: np.ndarray | None,
    sigma: float,
    exposure: float,
    exposure_map: np.ndarray | None = None,
) -> list[np.ndarray]:
    """The levels (side, side) of the noisy image and, if there is a model, of this and of the residual, upside up.

    Parameters
    ----------
    image
        (ny, nx) the noisy image [counts/s per pixel].
    model
        (ny, nx) the model; None for none.
    sigma
        Standard deviation of the background noise [counts/s per pixel].
    exposure
        Exposure time [s].
    exposure_map
        (ny, nx) share of it that each pixel has; None for all of it everywhere.
    """
    factor = geometry(len(image), 1.0).binned
    seen, background = binned(image, factor), factor * sigma
    top = seen.max() / background
    parts = [shades(seen / background, top)]
    if model is not None:
        expected = binned(model, factor)
        share = None
        if exposure_map is not None:
            expected = binned(model * (exposure_map > 0), factor)
            share = (binned(exposure_map, factor) / factor**2).clip(LEAST_SHARE)
        noise = np.sqrt(variance(expected, background, exposure, share))
        parts += [shades(expected / background, top), SHADES + steps((seen - expected) / noise)]
    return [part[::-1] for part in parts]


def binned(image: np.ndarray, factor: int) -> np.ndarray:
    """The sums (side, side) over squares of ``factor`` pixels; what is left over at the far edges is cut off.

    The variance of a sum is that of its light and of ``factor`` squared pixels of background.
    """
    side = len(image) // factor
    whole = image[: side * factor, : side * factor].astype(float)
    return whole.reshape(side, factor, side, factor).sum((1, 3))


def shades(image: np.ndarray, top: float) -> np.ndarray:
    """The levels of an image in an asinh stretch, uint8.

    Parameters
    ----------
    image
        Any shape, in standard deviations of the background.
    top
        The brightest value, which gets the last level, likewise.
    """
    low, high = np.arcsinh(np.array([DARKEST, max(top, -DARKEST)]) / SOFTENING)
    share = (np.arcsinh(image / SOFTENING) - low) / (high - low)
    return np.round((SHADES - 1) * share.clip(0, 1)).astype(np.uint8)


def steps(residual: np.ndarray) -> np.ndarray:
    """The levels of a residual, uint8, the middle one for none.

    Parameters
    ----------
    residual
        Any shape, in standard deviations of the noise.
    """
    share = (residual / WIDEST).clip(-1, 1)
    return np.round((STEPS - 1) / 2 * (1 + share)).astype(np.uint8)
