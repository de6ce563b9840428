"""Samples of the test systems: by lot, and each camera with its share."""

import numpy as np
import pandas as pd
import pytest

from lensvit.errors import LensvitError
from lensvit.inference.selection import select_systems
from lensvit.lensing.settings import NamedCamera

CAMERAS = {
    psf: NamedCamera(name=name, pixels=60, pixel_scale=0.1)
    for psf, name in {"hst_a": "hst", "hst_b": "hst", "keck": "keck"}.items()
}


def _catalogue(count):
    """Half of it for testing; of four systems in turn one of the first PSF, two of the second and one of the third."""
    psfs = np.array(["hst_a", "hst_b", "hst_b", "keck"])[np.arange(count) // 2 % 4]
    ids = [f"a-{index}" for index in range(count)]
    return pd.DataFrame({"id": ids, "split": ["test", "train"] * (count // 2), "psf": psfs})


def test_a_larger_sample_contains_the_smaller_one():
    table = _catalogue(50)
    few, many = (set(select_systems(table, count, 7, CAMERAS)["id"]) for count in (5, 12))
    assert len(few) == 5 and few < many and set(select_systems(table, None, 7, CAMERAS)["id"]) == set(table["id"][::2])
    assert few != set(select_systems(table, 5, 8, CAMERAS)["id"])


def test_each_camera_has_its_share_of_a_sample():
    table = _catalogue(400)
    of = table["psf"].map({psf: camera.name for psf, camera in CAMERAS.items()})
    for count in (2, 8, 20, 100, 200):
        for seed in range(5):
            rows = select_systems(table, count, seed, CAMERAS)
            assert len(rows) == count and rows.index.is_monotonic_increasing
            # three quarters of the systems are those of one camera, whose two PSFs count together
            assert abs((of[rows.index] == "hst").sum() - 0.75 * count) <= 0.5
    first = {select_systems(table, 1, seed, CAMERAS)["psf"].item() for seed in range(40)}
    assert first == {"hst_a", "hst_b"}


def test_a_psf_without_a_camera_is_named():
    with pytest.raises(LensvitError, match=r"systems of the PSF keck, and the settings have no camera of it"):
        select_systems(_catalogue(16), None, 7, {psf: CAMERAS[psf] for psf in ("hst_a", "hst_b")})
