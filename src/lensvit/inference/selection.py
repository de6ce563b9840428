"""The test systems that are fitted or sampled, chosen by lot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import pandas as pd

from lensvit.jobs import seeds
from lensvit.lensing.cameras import check_known


class OfCamera(Protocol):
    """Settings of a camera, as far as they matter here."""

    @property
    def name(self) -> str:
        """Name of the instrument."""


def select_systems(
    catalog: pd.DataFrame, count: int | None, seed: int, cameras: Mapping[str, OfCamera]
) -> pd.DataFrame:
    """Rows of the catalogue of some test systems, chosen by lot.

    Each camera has its share of them, rounded to whole systems, so that a few systems are not by chance of one
    camera alone. A larger selection contains every smaller one of the same seed.

    Parameters
    ----------
    catalog
        The run's catalogue.
    count
        Number of systems; None for all.
    seed
        Seed of the run.
    cameras
        PSF to its camera.

    Raises
    ------
    LensvitError
        If a PSF of the test systems has no camera.
    """
    test = catalog[catalog["split"] == "test"]
    check_known(test["psf"], cameras)
    if count is None:
        return test
    table = pd.DataFrame({"camera": [cameras[psf].name for psf in test["psf"]]})
    table["lot"] = [seeds.derive(seed, "refine", name) for name in test["id"]]
    of_camera = table.groupby("camera")["lot"]
    table["place"] = (of_camera.rank(method="first") - 0.5) / of_camera.transform("size")
    order = table.sort_values(["place", "lot"], kind="stable").index
    return test.iloc[order[:count]].sort_index()
