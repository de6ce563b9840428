"""The test systems that a chapter looks at, chosen by lot."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from lensvit.jobs import seeds


def select_systems(
    catalog: pd.DataFrame, count: int | None, seed: int, cameras: Mapping[str, Mapping[str, object]]
) -> pd.DataFrame:
    """``count`` test systems (None: all) by lot; a larger number contains the smaller one.

    Each camera has its share of them, rounded to whole systems, so that a few systems are not by chance of one
    camera alone. ``cameras`` leads from each PSF to its camera, a mapping with a ``name``.
    """
    test = catalog[catalog["split"] == "test"]
    table = pd.DataFrame({"camera": [cameras[psf].name for psf in test["psf"]]})
    table["lot"] = [seeds.derive(seed, "refine", name) for name in test["id"]]
    of_camera = table.groupby("camera")["lot"]
    table["place"] = (of_camera.rank(method="first") - 0.5) / of_camera.transform("size")
    order = table.sort_values(["place", "lot"], kind="stable").index
    return test.iloc[order[:count]].sort_index()
