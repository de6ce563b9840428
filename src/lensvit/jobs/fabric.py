"""One training job on one device, on several of a machine or of several machines, through Lightning Fabric."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments import ClusterEnvironment, LightningEnvironment, SLURMEnvironment
from torch import distributed

from lensvit.errors import LensvitError
from lensvit.jobs.devices import pick


def arithmetic(precision: str, device: str) -> str:
    """Fabric's name of the arithmetic: "auto" is bf16-mixed on a "gpu", 32-true on a "cpu"."""
    if precision == "auto":
        return "bf16-mixed" if device == "gpu" else "32-true"
    return precision


@contextmanager
def launch(device: str, processes: int, precision: str = "32-true", nodes: int = 1) -> Iterator[Fabric]:
    """Yield the Fabric of this process, one of ``processes * nodes``.

    A single process takes a free GPU as :func:`lensvit.jobs.devices.pick` does. Several on one node
    take the first GPUs that are visible, so that such a job wants them by itself, as a scheduler
    gives them; this process starts the others with the same command. On several nodes SLURM's
    srun has started them all.

    Parameters
    ----------
    device : "cpu" or "gpu".
    processes : on each node, one a device.
    precision : Fabric's name of the arithmetic ("32-true", "bf16-mixed").
    nodes : machines.

    Raises
    ------
    LensvitError
        If there are fewer GPUs than processes; if srun has not started so many processes on so many nodes.
    """
    if processes == nodes == 1:
        with pick(device) as place:
            index = torch.device(place).index
            yield _fabric(place, 1 if index is None else [index], precision)
        return
    environment = LightningEnvironment() if nodes == 1 else slurm_environment(processes, nodes)
    if device == "gpu" and torch.cuda.device_count() < processes:
        raise LensvitError(
            f"{processes} GPUs are asked for and torch sees {torch.cuda.device_count()} here: lower the model's gpus, "
            "or start where there are as many (CUDA_VISIBLE_DEVICES; SLURM's --gpus-per-node)"
        )
    fabric = _fabric(device, processes, precision, environment, nodes)
    fabric.launch()
    yield fabric
    fabric.barrier()


def slurm_environment(processes: int, nodes: int) -> SLURMEnvironment:
    """What srun tells its tasks of each other.

    Raises
    ------
    LensvitError
        If this is no task of srun's, or one of another number than ``processes`` on each of ``nodes``.
    """
    found = [os.environ.get(f"SLURM_{name}") for name in ("STEP_NUM_NODES", "NTASKS_PER_NODE", "STEP_NUM_TASKS")]
    if found[0] is None:
        raise LensvitError(
            f"nodes: {nodes} needs SLURM: snakemake --workflow-profile profiles/slurm (docs/slurm.md); "
            "on one machine set the model's nodes: 1"
        )
    if found != [str(nodes), str(processes), str(nodes * processes)]:
        raise LensvitError(
            f"srun has started {found[2]} processes on {found[0]} nodes, and the model is to be trained by {processes} "
            f"on each of {nodes}: srun --nodes={nodes} --ntasks-per-node={processes}"
        )
    return SLURMEnvironment()


def _fabric(
    device: str,
    devices: int | list[int],
    precision: str,
    environment: ClusterEnvironment | None = None,
    nodes: int = 1,
) -> Fabric:
    """``environment``: how the processes know of each other; None for a single one, even where SLURM is around."""
    return Fabric(
        accelerator="cpu" if device == "cpu" else "cuda",
        devices=devices,
        num_nodes=nodes,
        strategy="auto" if environment is None else "ddp",
        precision=precision,
        plugins=[environment or LightningEnvironment()],
    )


def agree(fabric: Fabric, *values: int) -> list[int]:
    """For each value the largest that any process gives, for all processes.

    Clocks and signals differ among processes: what these decide is agreed on first, so that all
    do the same after the same step. It goes over the hosts and does not wait for a GPU.
    """
    if fabric.world_size == 1:
        return list(values)
    together = torch.tensor(values, dtype=torch.int64)
    distributed.all_reduce(together, distributed.ReduceOp.MAX, group=_hosts())
    return together.tolist()


@cache
def _hosts() -> distributed.ProcessGroup:
    return distributed.new_group(backend="gloo")
