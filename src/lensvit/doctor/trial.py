"""A network tried as its training uses it: a few steps, what it is given, and its checkpoint.

This is a process of its own (``python -m lensvit.doctor.trial``), so that the lack of memory ends nothing else, and so
that each network's memory counts by itself. It reads what to try as JSON from its standard input, writes what it saw as
JSON to its standard output, and downloads nothing.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lensvit.bench import data
from lensvit.bench.device import memory, timed
from lensvit.errors import LensvitError
from lensvit.io.files import first_line
from lensvit.io.settings import Settings, canonical
from lensvit.jobs import devices
from lensvit.jobs.fabric import arithmetic
from lensvit.learning import gaussian
from lensvit.learning.architectures import build_network
from lensvit.learning.checkpoints import on_host
from lensvit.learning.libraries import NotHereError
from lensvit.learning.settings import TrainSettings
from lensvit.learning.train import machine, stored_trainer
from lensvit.learning.trainer import Trainer
from lensvit.parameters import TARGET_NAMES

IMAGES = 4  # of each camera and split
SMALL = 4  # images of a batch on a CPU, unless it takes the recipe's in the time that there is
LONGEST = 15.0  # seconds that the timed steps may take on a CPU


class Trial(Settings):
    """What is tried."""

    training: TrainSettings = Field(description="settings of the training")
    device: Literal["cpu", "gpu"] = Field(description="where")
    threads: int = Field(ge=1, description="most threads of the CPU")
    steps: int = Field(ge=1, description="steps that are timed")
    cameras: dict[str, tuple[int, float]] = Field(description="camera to side [pixel] and pixel scale [arcsec]")
    folder: str = Field(description="folder for files, which the caller removes")


class Seen(Settings):
    """What was seen."""

    place: str = Field(description="name of the device")
    precision: str = Field(description="Fabric's name of the arithmetic")
    batch: int = Field(description="images of a step")
    images_per_second: float = Field(description="images/s of the timed steps")
    memory: float = Field(description="most memory in use [GB], of the GPU or of the process")
    inputs: list[str] = Field(description="types of the numbers that the network was given")
    convolutions: int = Field(description="number of outputs of convolutions")
    channels_last: int = Field(description="how many of these had their channels last in memory")
    wants_channels_last: bool = Field(description="whether the network computes fastest with channels last")
    parameters: int = Field(description="number of weights")
    waited: float = Field(description="time that a training waits for a checkpoint [s]")
    written: float = Field(description="time until the checkpoint is written [s]")
    size: int = Field(description="size of its files [byte]")


def try_training(trial: Trial) -> Seen:
    """Train by a few steps, validate and write a checkpoint.

    Parameters
    ----------
    trial
        What is tried.

    Raises
    ------
    LensvitError
        If the training would fail with one.
    NotHereError
        If the network's size would have to be downloaded.
    """
    torch.set_num_threads(min(trial.threads, torch.get_num_threads()))
    settings, folder = trial.training, Path(trial.folder)
    network, recipe = settings.network, settings.recipe
    with torch.device("meta"):
        build_network(network, gaussian.output_count(network.posterior, len(TARGET_NAMES)), fetch=False)
    data.write_run(folder, IMAGES, trial.cameras)
    with machine(recipe, trial.device, 1, 1) as fabric:
        place = str(fabric.device)
        catalog, scaler, images = (folder / name for name in ("catalog.parquet", "scaler.json", "images"))
        trainer = stored_trainer(settings, catalog, scaler, images, fabric, folder / "state")
        batch, rate, looks = _steps(trainer, recipe.batch_size, trial.steps, place)
        most = memory(place)
        waited, written, size = _checkpoint(trainer, folder / "state")
        return Seen(
            place="the CPU" if place == "cpu" else torch.cuda.get_device_name(place),
            precision=arithmetic(recipe.precision, trial.device),
            batch=batch,
            images_per_second=rate,
            memory=most,
            inputs=sorted(looks.inputs),
            convolutions=len(looks.formats),
            channels_last=sum(looks.formats),
            wants_channels_last=trainer.format is torch.channels_last,
            parameters=sum(weight.numel() for weight in trainer.network.parameters()),
            waited=waited,
            written=written,
            size=size,
        )


class _Looks:
    """What hooks of a network see.

    Attributes
    ----------
    inputs : set of str
        Types of the numbers of its inputs.
    formats : list of bool
        Of each output of a convolution, whether its channels are last in memory.
    """

    def __init__(self) -> None:
        self.inputs: set[str] = set()
        self.formats: list[bool] = []

    @contextlib.contextmanager
    def at(self, *networks: nn.Module) -> Iterator[None]:
        """Within this context the networks' inputs and the outputs of their convolutions are seen."""
        handles = [network.register_forward_pre_hook(self._input) for network in set(networks)]
        convolutions = {part for network in networks for part in network.modules() if isinstance(part, nn.Conv2d)}
        handles += [part.register_forward_hook(self._output) for part in convolutions]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _input(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self.inputs.add(str(args[0].dtype).removeprefix("torch."))

    def _output(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        self.formats.append(output.is_contiguous(memory_format=torch.channels_last))


def _steps(trainer: Trainer, full: int, steps: int, place: str) -> tuple[int, float, _Looks]:
    """The images of a timed step, images/s, and what the network was given in training and in validation."""
    looks = _Looks()
    trainer.network.train()

    def step(number: int, batch: int) -> None:
        trainer.train_step(torch.randint(len(trainer.examples), (batch,)), number)

    batch = full if place != "cpu" else min(full, SMALL)
    with looks.at(trainer.network):
        first = timed(lambda: step(0, batch), place)
    if first / batch * full * steps < LONGEST:
        batch = full

    def timed_steps() -> None:
        for number in range(steps):
            step(1 + number, batch)

    seconds = timed(timed_steps, place)
    with looks.at(trainer.averaged):
        trainer.validate()
    return batch, steps * batch / seconds, looks


def _checkpoint(trainer: Trainer, folder: Path) -> tuple[float, float, int]:
    """How long a training waits for a checkpoint [s], when it is written [s], and its size [byte]."""
    trainer.best, trainer.progress.best_epoch = on_host(trainer.averaged.state_dict()), 0
    started = time.monotonic()
    trainer.save()
    waited = time.monotonic() - started
    trainer.checkpoints.wait()
    written = time.monotonic() - started
    return waited, written, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def answer(trial: Trial) -> dict[str, Any]:
    """What was seen, or why nothing was, in this process: ``seen``, ``error`` (the user's) or ``unknown``."""
    try:
        if trial.device == "gpu":
            names = devices.visible_names()
            if names and not devices.given(1) and len(devices.holders(names, devices.lock_folder())) == len(names):
                return {"unknown": "all GPUs are taken by other jobs; again when one is free"}
        return {"seen": canonical(try_training(trial))}
    except LensvitError as error:
        return {"error": str(error)}
    except NotHereError:
        return {"unknown": "how large it is would have to be downloaded: again with a filled cache (HF_HOME)"}
    except Exception as error:  # each library and each driver has classes of its own
        if "no kernel image" in str(error):
            return {"error": f"this torch is not built for this GPU ({first_line(error)}): install one that is"}
        return {"unknown": f"{type(error).__name__}: {first_line(error)}"}


def main() -> None:
    """Read a trial from the standard input, and write what came of it to the standard output."""
    trial = Trial.model_validate_json(sys.stdin.read())
    with contextlib.redirect_stdout(sys.stderr):  # trainings speak
        found = answer(trial)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
