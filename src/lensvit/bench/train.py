"""Training: the input pipeline against one item at a time, and the steps of every model of a config.

The original code keeps one .npy file an image and, for every batch of every epoch, loads
each, zooms it with scipy to 3 x 224 x 224 and stacks the batch. Ours reads and resizes an
image once and serves batches from memory; its first epoch pays for that.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import torch
from scipy import ndimage

from lensvit import settings as stage_settings
from lensvit.bench import data
from lensvit.bench.device import operations, row, timed
from lensvit.bench.table import publish
from lensvit.config import Config
from lensvit.config import stage_settings as cut
from lensvit.noise import noise
from lensvit.parallel import arithmetic, launch
from lensvit.pipeline import Inputs
from lensvit.train import Trainer

SIZE = 224
BATCH = 20
EPOCHS = 100
WARM_UP = 3  # steps that are not counted
FEWEST_STEPS = 5
PAPER = SimpleNamespace(resize="bilinear", brightness="per_pixel", stretch="raw", noise="fixed")


def run(images: int, output: Path | None, config: Config, device: str) -> None:
    """Measure the input pipeline over ``images`` images, then steps of every model over as many or more."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = data.write(folder, max(2, images // 2))
        table = _pipeline(folder, rows[rows["split"] == "train"].reset_index(drop=True))
        for model in config.models:
            table.append(_model(folder, config, model, images, device))
    publish(table, output)


def _pipeline(folder: Path, rows: pd.DataFrame) -> list[dict[str, object]]:
    """From files to inputs: the original's way, and ours in the first epoch, later, and over many."""
    arrays = _npy_files(folder, rows)
    slow = timed(lambda: _original(arrays), "cpu")
    made: list[Inputs] = []
    reading = timed(lambda: made.append(Inputs(rows, folder / "images", PAPER, SIZE)), "cpu")
    serving = timed(lambda: [made[0].batch(index) for index in torch.arange(len(rows)).split(BATCH)], "cpu")
    ways = {
        "input, one item at a time": slow,
        "input, first epoch": reading + serving,
        "input, later epochs": serving,
        f"input, mean of {EPOCHS} epochs": (reading + EPOCHS * serving) / EPOCHS,
    }
    return [
        {"case": way, "images_per_second": len(rows) / seconds, "ratio": slow / seconds}
        for way, seconds in ways.items()
    ]


def _npy_files(folder: Path, rows: pd.DataFrame) -> list[Path]:
    """The same images for the original's way: one .npy file each, with noise."""
    paths = []
    for camera, part in rows.groupby("psf"):
        with h5py.File(folder / "images" / camera / f"{part['chunk'].iloc[0]}.h5") as file:
            for number, seed in zip(part["row"], part["seed"], strict=True):
                paths.append(folder / f"{camera}-{number}.npy")
                np.save(paths[-1], noise(file["image"][number], 1.0, 1000.0, int(seed)))
    return paths


def _original(paths: list[Path]) -> None:
    for start in range(0, len(paths), BATCH):
        items = []
        for path in paths[start : start + BATCH]:
            image = np.load(path)[None]
            zoom = (3, SIZE / image.shape[1], SIZE / image.shape[2])
            items.append(ndimage.zoom(image, zoom, order=1))
        torch.as_tensor(np.stack(items), dtype=torch.float32)


def _model(folder: Path, config: Config, model: str, images: int, device: str) -> dict[str, object]:
    """Steps of one model's training, from the input pipeline to the optimiser."""
    settings = stage_settings.namespace(cut(config, f"train/{model}"))
    recipe = settings.recipe
    steps = max(FEWEST_STEPS, images // recipe.batch_size)
    precision = arithmetic(recipe.precision, device)
    with launch(device, 1, precision) as fabric:
        place = str(fabric.device)
        trainer = Trainer(settings, folder / "catalog.parquet", folder / "scaler.json", folder / "images", fabric)
        trainer.network.train()
        rows = torch.randint(len(trainer.train_inputs), (WARM_UP + steps, recipe.batch_size))
        for step in range(WARM_UP):
            trainer.train_step(rows[step], step)
        seconds = timed(lambda: [trainer.train_step(rows[step], step) for step in range(WARM_UP, WARM_UP + steps)], place)
        size = settings.network.image_size
        # a step back takes twice the products of a step forward
        flop = 3 * operations(trainer.network.eval(), torch.zeros(1, 3, size, size, device=place))
        case = f"training {model}, batch {recipe.batch_size}, {size} px, {precision}"
        return row(case, steps * recipe.batch_size, seconds, flop, place, precision)
