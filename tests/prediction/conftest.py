"""A tiny network with its reference, for images of one camera."""

import pytest
import torch
import yaml

from lensvit.learning.train import train
from lensvit.prediction.reference import reference
from lensvit.simulation.catalog import catalog
from tests.conftest import _write_chunk

PIXELS, SCALE = 24, 0.25
REFERENCE = {
    "seed": 3, "passes": 8, "batch_size": 32, "batch_norm": "frozen", "precision": "32-true", "compile": False,
    "run": "tiny", "cameras": {"hst_a": {"label": "HST", "pixels": PIXELS, "pixel_scale": SCALE}},
    "background": [0.04, 0.5],
}  # fmt: skip


@pytest.fixture(scope="session")
def one_camera(tmp_path_factory):
    """Folder with images/, catalog.parquet and scaler.json of one PSF."""
    folder = tmp_path_factory.mktemp("camera")
    files = []
    for split, count in {"train": 256, "validation": 128}.items():
        files.append(folder / "images" / "hst_a" / f"{split}-0000.h5")
        _write_chunk(files[-1], "hst_a", split, count, PIXELS, SCALE)
    catalog(files, folder / "catalog.parquet", folder / "scaler.json")
    return folder


@pytest.fixture(scope="session")
def served(one_camera, tiny_networks, tmp_path_factory):
    """Folder of a network that has its reference."""
    threads = torch.get_num_threads()
    folder = tmp_path_factory.mktemp("served")
    content = {
        "seed": 5,
        "network": {
            **tiny_networks["resnet"], "options": {"block": "BasicBlock", "layers": [1, 1, 1]},
            "weights": "scratch", "dropout": 0.05, "attention_dropout": 0.0, "pool_grid": 2,
            "image_size": PIXELS, "posterior": "full",
        },
        "recipe": {
            "resize": "area", "brightness": "per_area", "stretch": "three", "unit": 0.5, "noise": "fresh",
            "optimizer": "adamw", "learning_rate": 3e-3, "schedule": "cosine", "warmup": 0.1, "weight_decay": 0.01,
            "clip_norm": 5.0, "batch_size": 16, "epochs": 8, "criterion": "nll", "precision": "32-true",
            "compile": False, "normalise": "camera", "symmetries": "none", "symmetries_until": 1.0, "average": 0.9,
        },
    }  # fmt: skip
    (folder / "train.yaml").write_text(yaml.safe_dump(content))
    (folder / "reference.yaml").write_text(yaml.safe_dump(REFERENCE))
    run = one_camera / "catalog.parquet", one_camera / "scaler.json", one_camera / "images"
    train(folder / "train.yaml", *run, folder / "model", folder / "state")
    reference(folder / "reference.yaml", run[0], run[2], folder / "model", folder / "model/reference.json")
    torch.set_num_threads(threads)
    return folder / "model"
