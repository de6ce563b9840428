"""The input pipeline of training: from files to a network's input, against one item at a time.

The original code keeps one .npy file an image and, for every batch of every epoch, loads
each, zooms it with scipy to 3 x 224 x 224 and stacks the batch. Ours reads and resizes an
image once and serves batches from memory; its first epoch pays for that.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import torch
from scipy import ndimage

from lensvit.files import write_text
from lensvit.noise import noise
from lensvit.pipeline import Inputs

SIZE = 224
BATCH = 20
CAMERAS = {"hst": (120, 0.05), "keck": (300, 0.02)}
PAPER = SimpleNamespace(resize="bilinear", brightness="per_pixel", stretch="raw", noise="fixed")


def run(images: int, output: Path | None) -> None:
    """Measure both ways over ``images`` images, half of each camera; two epochs of ours."""
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = _write(folder, images // 2)
        ways = {"one item at a time": _timed(lambda: _original(folder, rows))}
        ways |= _ours(folder, rows)
    slow = ways["one item at a time"]
    lines = ["way,images_per_second,ratio"]
    lines += [f"{way},{len(rows) / seconds:.1f},{slow / seconds:.1f}" for way, seconds in ways.items()]
    print("\n".join(lines))
    if output is not None:
        write_text(output, "\n".join(lines) + "\n")


def _timed(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _write(folder: Path, count: int) -> pd.DataFrame:
    """The same images for both ways: .npy files with noise, HDF5 files without."""
    rng = np.random.default_rng(0)
    parts = []
    for psf, (pixels, scale) in CAMERAS.items():
        clean = rng.gamma(0.5, 4.0, size=(count, pixels, pixels)).astype(np.float32)
        rows = pd.DataFrame({"psf": psf, "chunk": "train-0000", "row": range(count), "sigma_bkg": 1.0})
        rows["seed"] = rng.integers(1 << 40, size=count)
        (folder / psf).mkdir()
        with h5py.File(folder / psf / "train-0000.h5", "w") as file:
            file["image"] = clean
            file.attrs.update(pixel_scale=scale, exposure=1000.0)
        for number, image in enumerate(clean):
            np.save(folder / f"{psf}-{number}.npy", noise(image, 1.0, 1000.0, int(rows["seed"][number])))
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def _original(folder: Path, rows: pd.DataFrame) -> None:
    for start in range(0, len(rows), BATCH):
        items = []
        for row in rows.iloc[start : start + BATCH].itertuples():
            image = np.load(folder / f"{row.psf}-{row.row}.npy")[None]
            zoom = (3, SIZE / image.shape[1], SIZE / image.shape[2])
            items.append(ndimage.zoom(image, zoom, order=1))
        torch.as_tensor(np.stack(items), dtype=torch.float32)


def _ours(folder: Path, rows: pd.DataFrame) -> dict[str, float]:
    """Seconds of reading and of an epoch of batches."""
    made: list[Inputs] = []
    reading = _timed(lambda: made.append(Inputs(rows, folder, PAPER, SIZE)))
    serving = _timed(lambda: [made[0].batch(index) for index in torch.arange(len(rows)).split(BATCH)])
    epochs = 100
    return {
        "ours, first epoch": reading + serving,
        "ours, later epochs": serving,
        f"ours, {epochs} epochs": (reading + epochs * serving) / epochs,
    }
