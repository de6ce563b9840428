import h5py
import numpy as np
import pandas as pd
import pytest

from lensvit.io.products import AMPLITUDE_TREATMENTS
from lensvit.io.tables import LIGHTS, PREDICTIONS
from lensvit.parameters import NAMES, TARGET_NAMES
from tests.builders import filled
from tests.chapters.limit.makers import SYSTEMS


@pytest.fixture
def run(tmp_path):
    """Two cameras; limits of 0.1 and 0.3, with free amplitudes twice that; the last six systems have none."""
    camera = np.where(np.arange(SYSTEMS) % 2, "keck", "hst")
    size = np.where(camera == "hst", 0.1, 0.3)
    columns = {"id": [f"s{row}" for row in range(SYSTEMS)], "instrument": camera}
    for name in TARGET_NAMES:
        columns |= {f"{name}_known": size, f"{name}_marginalised": (5 if name == "e2" else 2) * size}
        columns |= {f"{name}_{kind}_graded60": 3 * columns[f"{name}_{kind}"] for kind in AMPLITUDE_TREATMENTS}
    columns |= {f"signal_{light}": (row + 1) / size for row, light in enumerate(LIGHTS)}
    columns |= {"psf": camera, "sigma_bkg": np.linspace(0.1, 4, SYSTEMS)}
    spread = {treatment: np.zeros((SYSTEMS, len(NAMES), len(NAMES))) for treatment in AMPLITUDE_TREATMENTS}
    for treatment, values in spread.items():
        columns[f"valid_{treatment}"] = np.arange(SYSTEMS) < SYSTEMS - 6
        values[:, range(len(NAMES)), range(len(NAMES))] = ((1 if treatment == "known" else 2) * size[:, None]) ** 2
    with h5py.File(tmp_path / "limit.h5", "w") as file:
        file["id"] = columns["id"]
        for treatment, values in spread.items():
            file[treatment] = values
    pd.DataFrame(columns).to_parquet(tmp_path / "limit.parquet")
    for model, factor in (("vit", 3), ("1", 10)):
        columns = {"id": [f"s{row}" for row in reversed(range(SYSTEMS))]}
        for name in TARGET_NAMES:
            worse = 2 if name == "gamma" else 0.5 if name == "n_sersic" else 1
            error = factor * worse * np.where(np.arange(SYSTEMS) < 6, 1e3, size[::-1])  # wild where there is no limit
            columns |= {f"{name}_truth": np.ones(SYSTEMS), f"{name}_mean": 1 + error}
        filled(pd.DataFrame(columns), PREDICTIONS).to_parquet(tmp_path / f"{model}.parquet")
    return tmp_path
