"""The training stage: one network, from images to the weights of its best epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.fabric import Fabric

from lensvit.io.files import manifest_path
from lensvit.io.settings import read_settings
from lensvit.jobs.devices import memory_advice
from lensvit.jobs.fabric import arithmetic, launch
from lensvit.jobs.sources import code
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
    settings : the stage's settings: seed, network, recipe.
    catalog, scaler, images : the run's catalogue, scaler.json and folder of images.
    output : folder of the model.
    state : folder for checkpoints; those of other inputs in it are left alone.
    device : "cpu" or "gpu".
    threads : of the CPU, for each process.
    processes : one a device. Each takes its share of every batch, so that batch and result are
        those of one device, but for dropout masks and rounding.
    nodes : machines of a SLURM job, on each of which srun has started so many processes.

    Raises
    ------
    LensvitError
        If the loss becomes NaN or diverges, if no GPU is there, if files are broken; and where
        SIGTERM or SIGUSR1 ends the training, once its checkpoint is written.
    """
    torch.set_num_threads(threads)
    choice = read_settings(settings, TrainSettings)
    with machine(choice.recipe, device, processes, nodes) as fabric:
        trainer = Trainer(choice, catalog, scaler, images, fabric)
        trainer.state = Path(state) / checkpoint_key("lensvit.learning.train", settings, scaler, manifest_path(catalog))
        trainer.train(Path(output))


@contextmanager
def machine(recipe: Recipe, device: str, processes: int, nodes: int) -> Iterator[Fabric]:
    """Where a recipe trains; what runs out of memory in there says what to do."""
    advice = memory_advice(f"the recipe's batch_size ({recipe.batch_size})")
    with launch(device, processes, arithmetic(recipe.precision, device), nodes) as fabric, advice:
        yield fabric


def checkpoint_key(module: str, *files: Path) -> str:
    """A name for all that a checkpoint depends on: settings, data and what the code of a module means."""
    digest = hashlib.sha256(code(module).encode())
    for path in files:
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()[:16]
