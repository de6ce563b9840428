"""Jobs on one device, on several devices of a machine or on several machines, by Lightning Fabric."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import ClusterEnvironment, LightningEnvironment, SLURMEnvironment
from torch import distributed

from lensvit.errors import LensvitError
from lensvit.jobs.devices import pick


def arithmetic(precision: str, device: str) -> str:
    """Fabric's name of the arithmetic of a network.

    Parameters
    ----------
    precision
        Fabric's name, or ``auto``: bf16-mixed on a GPU, 32-true on a CPU.
    device
        ``cpu`` or ``gpu``.
    """
    if precision == "auto":
        return "bf16-mixed" if device == "gpu" else "32-true"
    return precision


@contextmanager
def launch(device: str, processes: int, precision: str = "32-true", nodes: int = 1) -> Iterator[Fabric]:
    """Yield the Fabric of this process, which is one of ``processes * nodes``.

    A single process takes a free GPU as :func:`lensvit.jobs.devices.pick` does. Several processes on one node take
    the first visible GPUs without locks, so that no other job may use these, as where a scheduler gives them; this
    process starts the others with the same command. On several nodes SLURM's srun has started all processes.

    Parameters
    ----------
    device
        ``cpu`` or ``gpu``.
    processes
        The number of processes on each node, each with a device of its own.
    precision
        Fabric's name of the arithmetic, such as ``32-true`` or ``bf16-mixed``.
    nodes
        The number of machines.

    Raises
    ------
    LensvitError
        If there are fewer GPUs than processes, or srun has started other numbers of processes or nodes.
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

    Parameters
    ----------
    processes
        The number of tasks on each node that there must be.
    nodes
        The number of nodes that there must be.

    Raises
    ------
    LensvitError
        If srun has not started this process, or has started other numbers of tasks or nodes.
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
    """Fabric for some processes; without ``environment`` for a single one, even in a job of SLURM's."""
    return Fabric(
        accelerator="cpu" if device == "cpu" else "cuda",
        devices=devices,
        num_nodes=nodes,
        strategy="auto" if environment is None else "ddp",
        precision=precision,  # type: ignore[arg-type]  # Fabric checks the text itself
        plugins=[environment or LightningEnvironment()],
    )


def agree(fabric: Fabric, *values: int) -> list[int]:
    """The largest of the values that any process gives, for each of ``values``, the same in all processes.

    Clocks and signals differ among processes. What these decide is agreed on first, so that all processes do the same
    after the same step. The values go over the hosts and do not wait for a GPU.
    """
    if fabric.world_size == 1:
        return list(values)
    together = torch.tensor(values, dtype=torch.int64)
    distributed.all_reduce(together, distributed.ReduceOp.MAX, group=_hosts())
    return together.tolist()


@cache
def _hosts() -> distributed.ProcessGroup:
    """All processes, for messages between the hosts."""
    return distributed.new_group(backend="gloo")  # type: ignore[return-value]  # this process is a member
