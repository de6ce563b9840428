"""One training job on one device or on several of a machine, through Lightning Fabric."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments import LightningEnvironment

from lensvit.devices import pick
from lensvit.errors import LensvitError


@contextmanager
def launch(device: str, processes: int, precision: str = "32-true") -> Iterator[Fabric]:
    """Yield the Fabric of this process; with several processes, start the others with the same command.

    A single process takes a free GPU as :func:`lensvit.devices.pick` does. Several take the
    first ones that are visible, so that such a job wants them by itself, as a scheduler gives
    them.

    Parameters
    ----------
    device : "cpu" or "gpu".
    processes : one a device.
    precision : Fabric's name of the arithmetic ("32-true", "bf16-mixed").

    Raises
    ------
    LensvitError
        If there are fewer GPUs than processes.
    """
    if processes == 1:
        with pick(device) as place:
            index = torch.device(place).index
            yield _fabric(place, 1 if index is None else [index], precision)
        return
    if device == "gpu" and torch.cuda.device_count() < processes:
        raise LensvitError(
            f"{processes} GPUs are asked for and torch sees {torch.cuda.device_count()} here: lower the model's gpus, "
            "or start where there are as many (CUDA_VISIBLE_DEVICES)"
        )
    fabric = _fabric(device, processes, precision, strategy="ddp")
    fabric.launch()
    yield fabric
    fabric.barrier()


def _fabric(device: str, devices: int | list[int], precision: str, strategy: str = "auto") -> Fabric:
    """Without SLURM's environment: snakemake starts one task a job, which starts the others itself."""
    return Fabric(
        accelerator="cpu" if device == "cpu" else "cuda",
        devices=devices,
        strategy=strategy,
        precision=precision,
        plugins=[LightningEnvironment()],
    )
