"""Some test systems, by lot, and what a network has drawn for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from lensvit import seeds
from lensvit.errors import LensvitError

FEWEST_DRAWS = 2


def chosen(
    catalog: pd.DataFrame, count: int | None, seed: int, cameras: Mapping[str, Mapping[str, object]]
) -> pd.DataFrame:
    """``count`` test systems (None: all) by lot; a larger number contains the smaller one.

    Each camera has its share of them, rounded to whole systems, so that a few systems are not by chance of one
    camera alone. ``cameras`` leads from each PSF to its camera, a mapping with a ``name``.
    """
    test = catalog[catalog["split"] == "test"]
    table = pd.DataFrame({"camera": [cameras[psf]["name"] for psf in test["psf"]]})
    table["lot"] = [seeds.derive(seed, "refine", name) for name in test["id"]]
    of_camera = table.groupby("camera")["lot"]
    table["place"] = (of_camera.rank(method="first") - 0.5) / of_camera.transform("size")
    order = table.sort_values(["place", "lot"], kind="stable").index
    return test.iloc[order[:count]].sort_index()


def read_draws(path: Path, ids: list[str]) -> np.ndarray:
    """A network's draws (passes, n, K) of some systems.

    Raises
    ------
    LensvitError
        If the file is absent or broken, or has none of a system.
    """
    try:
        with h5py.File(path) as file:
            place = {name: number for number, name in enumerate(file["id"].asstr())}
            missing = [name for name in ids if name not in place]
            if missing:
                raise LensvitError(f"{path} has no draws of {missing[0]}: delete it and run snakemake again")
            draws = file["draws"][:][:, [place[name] for name in ids]].astype(float)
    except FileNotFoundError as error:
        raise LensvitError(f"no file {path}: run snakemake again, which makes it") from error
    except (OSError, KeyError) as error:
        raise LensvitError(f"{path} is truncated or broken: delete it and run snakemake again") from error
    if len(draws) < FEWEST_DRAWS or not np.isfinite(draws).all():
        raise LensvitError(f"{path}: a start needs {FEWEST_DRAWS} passes or more, all of them finite")
    return draws
