"""Noisy images of systems of the catalogue, at the camera's own resolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lensvit.io.hdf5 import open_hdf5
from lensvit.io.images import exposures, read_exposure_map, read_rows
from lensvit.lensing.noise import noise


def noisy_images(images: Path, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Images with their noise, as the networks are evaluated on before the resize.

    Parameters
    ----------
    images
        One image file.
    rows
        Rows of the catalogue whose images are in this file.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        Images (n, ny, nx), float32 [counts/s per pixel], and their exposure times (n,) [s].

    Raises
    ------
    LensvitError
        If the file is absent or broken.
    """
    with open_hdf5(images, "image file") as file:
        clean = read_rows(file, rows["row"].to_numpy())
        exposure, exposure_map = exposures(file, rows), read_exposure_map(file)
    columns = zip(clean, rows["sigma_bkg"], exposure.tolist(), rows["seed"], strict=True)
    return np.stack([noise(*column, exposure_map) for column in columns]), exposure


def noisy_image(images: Path, row: pd.DataFrame) -> tuple[np.ndarray, float, float]:
    """The image of one system with its noise.

    Parameters
    ----------
    images
        The run's folder of images.
    row
        The system's row of the catalogue, a table of one row.

    Returns
    -------
    tuple[np.ndarray, float, float]
        Image (ny, nx), float64, and standard deviation of its background noise [counts/s per pixel]; exposure time [s].

    Raises
    ------
    LensvitError
        If the image file is absent or broken.
    """
    one = row.iloc[0]
    [image], [exposure] = noisy_images(Path(images) / one["psf"] / f"{one['chunk']}.h5", row)
    return image.astype(float), float(one["sigma_bkg"]), float(exposure)
