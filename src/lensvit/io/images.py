"""Image files of a run: the images of rows of the catalogue, and the cameras that they are of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from lensvit.io.hdf5 import open_hdf5

PIECE = 256  # images that are read at a time
EXPOSURE_MAP = "exposure_map"  # dataset of the share of the exposure time that each pixel has


@dataclass
class ImageChunk:
    """Noise-free images of one file.

    Parameters
    ----------
    psf
        Name of the PSF.
    index
        (n,) positions of the systems among the rows that were asked for.
    image
        (n, ny, nx) images [counts/s per pixel].
    pixel_scale
        Side of a pixel [arcsec].
    exposure
        (n,) exposure times [s].
    exposure_map
        (ny, nx) share of the exposure time that each pixel has; None for all of it everywhere.
    """

    psf: str
    index: np.ndarray
    image: np.ndarray
    pixel_scale: float
    exposure: np.ndarray
    exposure_map: np.ndarray | None = None


def read_chunks(rows: pd.DataFrame, images: Path) -> Iterator[ImageChunk]:
    """The images of rows of the catalogue, file by file, in pieces of a few hundred.

    Parameters
    ----------
    rows
        Rows of the catalogue.
    images
        Folder of the image files.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    position = np.arange(len(rows))
    for (psf, name), part in rows.assign(position=position).groupby(["psf", "chunk"], sort=True, observed=True):
        for start in range(0, len(part), PIECE):
            some = part.iloc[start : start + PIECE]
            with open_images(images, str(psf), str(name)) as file:
                image = read_rows(file, some["row"].to_numpy())
                scale, exposure = float(file.attrs["pixel_scale"]), exposures(file, some)
                exposure_map = read_exposure_map(file)
            yield ImageChunk(str(psf), some["position"].to_numpy(), image, scale, exposure, exposure_map)


def read_rows(file: h5py.File, rows: np.ndarray) -> np.ndarray:
    """Images (n, ny, nx) of the given rows (n,) of an image file, read in one go from the first to the last."""
    image, place = file["image"][rows.min() : rows.max() + 1], rows - rows.min()
    # as a rule all of them are wanted, in their order: they need not be copied
    return image if np.array_equal(place, np.arange(len(image))) else image[place]


def exposures(file: h5py.File, rows: pd.DataFrame) -> np.ndarray:
    """Exposure times (n,) [s] of rows of the catalogue, from the image file where the catalogue does not have them."""
    if "exposure" in rows:
        return rows["exposure"].to_numpy(dtype=float, copy=True)
    return np.full(len(rows), float(file.attrs["exposure"]))


def read_exposure_map(file: h5py.File) -> np.ndarray | None:
    """The share (ny, nx) of the exposure time that each pixel of an image file has; None for all of it everywhere."""
    return file[EXPOSURE_MAP][:] if EXPOSURE_MAP in file else None


def image_geometry(rows: pd.DataFrame, images: Path) -> dict[str, tuple[int, float]]:
    """The side of each PSF's images [pixel] and their pixel scale [arcsec], from one of the PSF's files.

    Parameters
    ----------
    rows
        Rows of the catalogue.
    images
        Folder of the image files.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    result = {}
    for psf, chunk in rows.groupby("psf", sort=True, observed=True)["chunk"].first().items():
        with open_images(images, str(psf), chunk) as file:
            result[str(psf)] = int(file["image"].shape[-1]), float(file.attrs["pixel_scale"])
    return result


@contextmanager
def open_images(images: Path, psf: str, chunk: str) -> Iterator[h5py.File]:
    """Open the image file of a PSF and a chunk of systems in the folder ``images``; see :func:`open_hdf5`."""
    with open_hdf5(Path(images) / psf / f"{chunk}.h5", "image file") as file:
        yield file
