"""Training: the input pipeline against one item at a time, and the steps of every model of a config.

The original code keeps one .npy file an image and, for every batch of every epoch, loads
each, zooms it with scipy to 3 x 224 x 224 and stacks the batch. Our pipeline reads an image once and
serves batches from memory. With fixed noise, the paper's recipe, the first epoch draws the
noise, which the original's files have in them, and resizes; with fresh noise every epoch does.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
from scipy import ndimage

from lensvit.bench import data
from lensvit.bench.device import forget_memory, operations, row, timed
from lensvit.bench.table import publish
from lensvit.config.schema import Run
from lensvit.config.stages import stage_settings as cut
from lensvit.jobs.fabric import arithmetic, launch
from lensvit.learning.inputs import Inputs
from lensvit.learning.settings import InputRecipe, TrainSettings
from lensvit.learning.train import stored_trainer
from lensvit.lensing.noise import noise

SIZE = 224
BATCH = 20
EPOCHS = 100
ROUNDS = 3  # of which the median counts
WARM_UP = 3  # steps that are not counted
FEWEST_STEPS = 5
PAPER = InputRecipe(resize="bilinear", brightness="per_pixel", stretch="raw", noise="fixed")


def run(images: int, output: Path | None, config: Run, device: str) -> None:
    """Measure the input pipeline, then training steps of every model.

    Parameters
    ----------
    images
        Number of images for the pipeline, and for the steps of each model unless these would be very few.
    output
        The CSV file; nothing is written without it.
    config
        The config whose models are measured.
    device
        "cpu" or "gpu".
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = data.write_run(folder, max(2, images // 2))
        table = _pipeline(folder, rows[rows["split"] == "train"].reset_index(drop=True))
        for model in config.models:
            table.append(_model(folder, config, model, images, device))
    publish(table, output)


def _pipeline(folder: Path, rows: pd.DataFrame) -> list[dict[str, object]]:
    """Rows of the way from files to inputs: the original's, and ours with both kinds of noise, measured in turn."""
    arrays = _npy_files(folder, rows)
    made: dict[str, Inputs] = {}

    def read(kind: str) -> None:
        recipe = PAPER.model_copy(update={"noise": kind})
        made[kind] = Inputs(rows, folder / "images", recipe, SIZE, fresh=kind == "fresh")

    def epoch(kind: str) -> None:
        generator = torch.Generator().manual_seed(0)
        for index in torch.arange(len(rows)).split(BATCH):
            made[kind].batch(index, generator).contiguous()

    steps = {"original": lambda: _original(arrays)}
    for kind in ("fixed", "fresh"):
        steps |= {f"{kind}, read": partial(read, kind), kind: partial(epoch, kind)}
    measured = [{step: timed(work, "cpu") for step, work in steps.items()} for _ in range(ROUNDS)]
    seconds = pd.DataFrame(measured).median()
    table = [_input("one item at a time", len(rows), seconds["original"], seconds["original"])]
    for kind in ("fixed", "fresh"):
        reading, serving = seconds[f"{kind}, read"], seconds[kind]
        ways = {
            "first epoch": reading + serving,
            "later epochs": serving,
            f"mean of {EPOCHS} epochs": (reading + EPOCHS * serving) / EPOCHS,
        }
        table += [_input(f"{kind} noise, {way}", len(rows), took, seconds["original"]) for way, took in ways.items()]
    table[1]["max_difference"] = _difference(made["fixed"], arrays)
    return table


def _input(case: str, images: int, seconds: float, slow: float) -> dict[str, object]:
    """A row of the table for a way to make inputs; the original's takes ``slow`` seconds."""
    return {"case": f"input, {case}", "images_per_second": images / seconds, "ratio": slow / seconds}


def _difference(inputs: Inputs, arrays: list[Path]) -> float:
    """The largest difference of an input from the original's, in units of that image's largest count."""
    worst = 0.0
    for number, path in enumerate(arrays):
        theirs = torch.as_tensor(_item(path))
        ours = inputs.batch(torch.tensor([number]))[0]
        worst = max(worst, float((ours - theirs).abs().max() / theirs.abs().max()))
    return worst


def _npy_files(folder: Path, rows: pd.DataFrame) -> list[Path]:
    """Write the same images for the original's way, one .npy file each, with noise."""
    paths = []
    for camera, part in rows.groupby("psf"):
        with h5py.File(folder / "images" / str(camera) / f"{part['chunk'].iloc[0]}.h5") as file:
            for number, seed in zip(part["row"], part["seed"], strict=True):
                paths.append(folder / f"{camera}-{number}.npy")
                np.save(paths[-1], noise(file["image"][number], 1.0, 1000.0, int(seed)))
    return paths


def _original(paths: list[Path]) -> None:
    """Make the batches of an epoch in the original's way."""
    for start in range(0, len(paths), BATCH):
        items = [_item(path) for path in paths[start : start + BATCH]]
        torch.as_tensor(np.stack(items), dtype=torch.float32)


def _item(path: Path) -> np.ndarray:
    """One input (3, 224, 224) in the original's way."""
    image = np.load(path)[None]
    return ndimage.zoom(image, (3, SIZE / image.shape[1], SIZE / image.shape[2]), order=1)


def _model(folder: Path, config: Run, model: str, images: int, device: str) -> dict[str, object]:
    """A row for the steps of one model's training, from the input pipeline to the optimiser."""
    settings = TrainSettings(**cut(config, f"train/{model}"))
    recipe = settings.recipe
    steps = max(FEWEST_STEPS, images // recipe.batch_size)
    precision = arithmetic(recipe.precision, device)
    with launch(device, 1, precision) as fabric:
        place = str(fabric.device)
        forget_memory(place)  # of the model before
        catalog, scaler, images_folder = (folder / name for name in ("catalog.parquet", "scaler.json", "images"))
        trainer = stored_trainer(settings, catalog, scaler, images_folder, fabric, folder / "state")
        trainer.network.train()
        rows = torch.randint(len(trainer.examples), (WARM_UP + steps, recipe.batch_size))
        for step in range(WARM_UP):
            trainer.train_step(rows[step], step)
        counted = range(WARM_UP, WARM_UP + steps)
        seconds = timed(lambda: [trainer.train_step(rows[step], step) for step in counted], place)
        size = settings.network.image_size
        # a backward pass takes twice the products of a forward pass
        flop = 3 * operations(trainer.network.eval(), torch.zeros(1, 3, size, size, device=place))
        case = f"training {model}, batch {recipe.batch_size}, {size} px, {precision}"
        return row(case, steps * recipe.batch_size, seconds, flop, place, precision)
