"""The reading of image files: which camera they are of, and the images of some rows of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from lensvit.errors import LensvitError

PIECE = 256  # images that are read at a time


# ---------------------------------------------------------------- reading


@dataclass
class ImageChunk:
    """A part of a split that lies in one file: ``index`` (n,) in the split, ``image`` (n, ny, nx)."""

    psf: str
    index: np.ndarray
    image: np.ndarray
    pixel_scale: float
    exposure: float


def read_chunks(rows: pd.DataFrame, images: Path) -> Iterator[ImageChunk]:
    position = np.arange(len(rows))
    for (psf, name), part in rows.assign(position=position).groupby(["psf", "chunk"], sort=True, observed=True):
        for start in range(0, len(part), PIECE):
            some = part.iloc[start : start + PIECE]
            with open_images(images, psf, name) as file:
                row = some["row"].to_numpy()
                image, place = file["image"][row.min() : row.max() + 1], row - row.min()
                if not np.array_equal(place, np.arange(len(image))):  # as a rule it is all of them in order
                    image = image[place]
                scale, exposure = float(file.attrs["pixel_scale"]), float(file.attrs["exposure"])
            yield ImageChunk(psf, some["position"].to_numpy(), image, scale, exposure)


def image_geometry(rows: pd.DataFrame, images: Path) -> dict[str, tuple[int, float]]:
    """The side of each PSF's images [pixel] and their pixel scale [arcsec], by one of its files."""
    result = {}
    for psf, chunk in rows.groupby("psf", sort=True, observed=True)["chunk"].first().items():
        with open_images(images, psf, chunk) as file:
            result[psf] = file["image"].shape[-1], float(file.attrs["pixel_scale"])
    return result


@contextmanager
def open_images(images: Path, psf: str, chunk: str) -> Iterator[h5py.File]:
    path = Path(images) / psf / f"{chunk}.h5"
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError as error:
        raise LensvitError(f"no image file {path}: run snakemake again, which simulates it") from error
    except (OSError, KeyError, IndexError) as error:
        raise LensvitError(f"{path} is truncated or broken: delete it and run snakemake again") from error
