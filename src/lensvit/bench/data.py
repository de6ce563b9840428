"""Image files of random numbers, with their catalogue, for benchmarks that need no real systems."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from lensvit.io.files import write_manifest, write_text
from lensvit.io.tables import CATALOG
from lensvit.parameters import NAMES, TARGET_NAMES

CAMERAS = {"hst": (120, 0.05), "keck": (300, 0.02)}  # name -> image side [pixel], pixel scale [arcsec]
SPLITS = ("train", "validation", "test")


def write_run(folder: Path, count: int, cameras: Mapping[str, tuple[int, float]] = CAMERAS) -> pd.DataFrame:
    """Write images, catalog.parquet and scaler.json, and return the catalogue.

    Parameters
    ----------
    folder
        Where the files go.
    count
        Number of systems of each camera and split.
    cameras
        Name to image side [pixel] and pixel scale [arcsec].
    """
    rng = np.random.default_rng(0)
    parts = [
        _chunk(folder, camera, geometry, split, count, rng) for camera, geometry in cameras.items() for split in SPLITS
    ]
    rows = pd.concat(parts, ignore_index=True)
    rows.to_parquet(folder / "catalog.parquet", index=False)
    write_manifest(folder / "catalog.parquet")
    scaler = {"mean": dict.fromkeys(TARGET_NAMES, 0.0), "sd": dict.fromkeys(TARGET_NAMES, 1.0)}
    write_text(folder / "scaler.json", json.dumps(scaler))
    return rows


def _chunk(
    folder: Path, camera: str, geometry: tuple[int, float], split: str, count: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Write the image file of a camera and a split, and return its rows of the catalogue."""
    pixels, scale = geometry
    path = folder / "images" / camera / f"{split}-0000.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["image"] = rng.gamma(0.5, 4.0, size=(count, pixels, pixels)).astype(np.float32)
        file.attrs.update(pixel_scale=scale, exposure=1000.0)
    rows = pd.DataFrame({"psf": camera, "split": split, "chunk": path.stem, "row": range(count), "sigma_bkg": 1.0})
    rows["id"] = [f"{camera}-{split}-{number}" for number in range(count)]
    rows["seed"] = rng.integers(1 << 40, size=count)
    rows = rows.assign(n_images=4, redraws=0, **{name: rng.standard_normal(count) for name in NAMES})
    return rows[list(CATALOG)]
