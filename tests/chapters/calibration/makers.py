"""Synthetic predictions, and the stage on them."""

import h5py
import numpy as np
import pandas as pd

from lensvit.chapters.calibration.table import calibrate
from lensvit.parameters import TARGET_NAMES, TARGETS

LABELS = {"vit": "ViT", "resnet": "ResNet"}
WIDTHS = {"vit": np.array([1.5] + 7 * [1.0]), "resnet": np.full(8, 0.8)}


def write(path, split="test", systems=300, passes=60, width=1.0, error=0.0, seed=0):
    """Predictions of a model whose errors are ``width`` (of each target) predicted sigmas, correlated by ``error``."""
    rng = np.random.default_rng([seed, len(split)])
    scatter = np.array([parameter.prior.sd for parameter in TARGETS])
    truth = np.array([parameter.prior.mean for parameter in TARGETS]) + scatter * rng.standard_normal((systems, 8))
    own, common = rng.standard_normal((systems, 8)), rng.standard_normal((systems, 1))
    mean = truth - 0.2 * scatter * width * (np.sqrt(1 - error) * own + np.sqrt(error) * common)
    draws = (mean + 0.2 * scatter * rng.standard_normal((passes, systems, 8))).astype("f4")
    ids = [f"hst_a-{split}-{number:06d}" for number in range(systems)]
    columns = {"id": ids, "psf": "hst_a"}
    for number, name in enumerate(TARGET_NAMES):
        columns[f"{name}_truth"] = truth[:, number]
        columns[f"{name}_mean"], columns[f"{name}_sigma"] = (f(draws[..., number], axis=0) for f in (np.mean, np.std))
        for part, share in (("aleatoric", 0.9), ("epistemic", 0.1)):
            columns[f"{name}_{part}"] = 0.2 * scatter[number] * np.sqrt(share)
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_parquet(path.with_suffix(".parquet"), index=False)
    with h5py.File(path, "w") as file:
        file["id"], file["draws"] = ids, draws


def run(folder, models=("vit", "resnet")):
    """The stage on the predictions in a folder; its four tables."""
    outputs = [folder / "tables" / f"{name}.csv" for name in ("calibration", "coverage", "pit", "joint")]
    paths = ([folder / part / f"{model}.h5" for model in models] for part in ("", "validation"))
    calibrate(*paths, *outputs)
    return [pd.read_csv(path) for path in outputs]


def both(folder, model, systems=300, passes=60, fitted=None, **options):
    write(folder / f"{model}.h5", systems=systems, passes=passes, **options)
    write(folder / "validation" / f"{model}.h5", "validation", fitted or systems, passes, **options)


def rows(table, model, state):
    return table[(table["model"] == model) & (table["state"] == state)].set_index("target")
