"""The training stage: one network, from the stored images to the weights of its best epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import torch
from lightning_fabric import Fabric

from lensvit.io import tables
from lensvit.io.files import manifest_path, read_bytes
from lensvit.io.scaler import read_scaler
from lensvit.io.settings import read_settings
from lensvit.jobs.devices import memory_advice
from lensvit.jobs.fabric import arithmetic, launch
from lensvit.jobs.sources import code
from lensvit.learning.examples import StoredImages
from lensvit.learning.settings import Recipe, TrainSettings
from lensvit.learning.trainer import Trainer


def train(
    settings: Path,
    catalog: Path,
    scaler: Path,
    images: Path,
    output: Path,
    state: Path,
    device: str = "cpu",
    threads: int = 1,
    processes: int = 1,
    nodes: int = 1,
) -> None:
    """Train one network and write weights.safetensors, config.json, history.csv and provenance.json.

    Parameters
    ----------
    settings
        The stage's settings: seed, network, recipe.
    catalog
        The run's catalogue.
    scaler
        The run's scaler.json.
    images
        The run's folder of images.
    output
        Folder of the model.
    state
        Folder for checkpoints; those of other inputs in it are left alone.
    device
        "cpu" or "gpu".
    threads
        Threads of the CPU for each process.
    processes
        Processes on each node, one for each device. Each takes its share of every batch, so that batch and result are
        those of one device, but for dropout masks and rounding.
    nodes
        Machines of a SLURM job, on each of which srun has started so many processes.

    Raises
    ------
    LensvitError
        If the loss becomes NaN or diverges, if no GPU is there, if files are broken; and where
        SIGTERM or SIGUSR1 ends the training, once its checkpoint is written.
    """
    torch.set_num_threads(threads)
    choice = read_settings(settings, TrainSettings)
    with machine(choice.recipe, device, processes, nodes) as fabric:
        key = checkpoint_key("lensvit.learning.train", settings, scaler, manifest_path(catalog))
        trainer = stored_trainer(choice, catalog, scaler, images, fabric, Path(state) / key)
        trainer.train(Path(output))


def stored_trainer(
    settings: TrainSettings, catalog: Path, scaler: Path, images: Path, fabric: Fabric, state: Path
) -> Trainer:
    """A trainer whose images come from files.

    Parameters
    ----------
    settings
        Settings of the training.
    catalog
        The run's catalogue.
    scaler
        The run's scaler.json.
    images
        The run's folder of images.
    fabric
        The process's device, and the other processes.
    state
        Folder of the checkpoint.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    device, fresh = str(fabric.device), settings.recipe.noise == "fresh"
    training, validation = read_splits(catalog)
    examples = StoredImages(settings, training, images, device, fresh=fresh)
    return Trainer(
        settings, read_scaler(scaler), examples, StoredImages(settings, validation, images, device), fabric, state
    )


def read_splits(catalog: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The catalogue's rows of the training and of the validation split."""
    rows = tables.read_catalog(catalog)
    return rows[rows["split"] == "train"], rows[rows["split"] == "validation"]


@contextmanager
def machine(recipe: Recipe, device: str, processes: int, nodes: int) -> Iterator[Fabric]:
    """Yield the Fabric on which a recipe trains; what runs out of memory within becomes an error with advice.

    Parameters
    ----------
    recipe
        Recipe of the training.
    device
        "cpu" or "gpu".
    processes
        Processes on each node, one for each device.
    nodes
        Machines of a SLURM job.

    Raises
    ------
    LensvitError
        If no GPU is there, or memory is too small.
    """
    advice = memory_advice(f"the recipe's batch_size ({recipe.batch_size})")
    with launch(device, processes, arithmetic(recipe.precision, device), nodes) as fabric, advice:
        yield fabric


def checkpoint_key(module: str, *files: Path) -> str:
    """A name for all that a checkpoint depends on: settings, data and what the code of a module means."""
    digest = hashlib.sha256(code(module).encode())
    for path in files:
        digest.update(read_bytes(path))
    return digest.hexdigest()[:16]
