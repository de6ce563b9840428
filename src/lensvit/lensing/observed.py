"""The noisy images of systems of the catalogue, at the camera's own resolution."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from lensvit.errors import LensvitError
from lensvit.lensing.noise import noise


def noisy_images(images: Path, rows: pd.DataFrame) -> tuple[np.ndarray, float]:
    """Noisy images (n, ny, nx) float32 of rows of the catalogue that lie in one file, and their exposure [s].

    These are the images that the networks are evaluated on, before the resize.

    Raises
    ------
    LensvitError
        If the file is absent or broken.
    """
    try:
        with h5py.File(images, "r") as file:
            row = rows["row"].to_numpy()
            clean = file["image"][row.min() : row.max() + 1][row - row.min()]
            exposure = float(file.attrs["exposure"])
    except FileNotFoundError as error:
        raise LensvitError(f"no image file {images}: run snakemake again, which simulates it") from error
    except (OSError, KeyError, IndexError) as error:
        raise LensvitError(f"{images} is truncated or broken: delete it and run snakemake again") from error
    columns = zip(clean, rows["sigma_bkg"], rows["seed"], strict=True)
    return np.stack([noise(image, sigma, exposure, seed) for image, sigma, seed in columns]), exposure
