"""Jobs on one device, on several devices of a machine or on several machines, by Lightning Fabric."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Event, Thread
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision
from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment
from torch import Tensor, distributed

from lensvit.errors import LensvitError
from lensvit.jobs.devices import known_device, take

LOOK_SECONDS = 1.0  # between two looks at the process that has started this one
TAKEN = "LENSVIT_GPUS"  # variable by which a process tells those that it starts which GPUs it has taken


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

    Processes on one node take as many free GPUs, see :func:`lensvit.jobs.devices.take`; this process starts the others
    with the same command, and tells them which. On several nodes SLURM's srun has started all processes, on as many
    GPUs.

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
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)  # its hints are wrong here
    environment = LightningEnvironment() if nodes == 1 else slurm_environment(processes, nodes)
    with _places(device, processes, nodes) as places:
        fabric = Fabric(
            accelerator="cpu" if device == "cpu" else "cuda",
            devices=places,
            num_nodes=nodes,
            strategy="auto" if processes == nodes == 1 else "ddp",
            plugins=[environment, _precision(precision, device)],
        )
        threads = torch.get_num_threads()
        fabric.launch()
        torch.set_num_threads(threads)  # which Fabric sets where it starts processes
        over = Event()
        if nodes == 1 and environment.local_rank() > 0:
            Thread(target=_end_with, args=(os.getppid(), over), daemon=True).start()
        yield fabric
        fabric.barrier()
        over.set()


def _end_with(parent: int, over: Event) -> None:
    """End this process when the one that has started it ends, which Fabric looks after the other way round alone."""
    while not over.wait(LOOK_SECONDS):
        if os.getppid() != parent:
            os._exit(1)


@contextmanager
def _places(device: str, processes: int, nodes: int) -> Iterator[int | list[int]]:
    """Yield what Fabric calls devices: the number of processes on a CPU, the numbers of the GPUs on GPUs."""
    if known_device(device) == "cpu":
        yield processes
    elif nodes > 1:
        yield list(range(processes))  # those that SLURM has given this job
    elif TAKEN in os.environ:  # by the process that has started this one
        yield [int(number) for number in os.environ[TAKEN].split(",")]
    else:
        with take(processes) as taken:
            os.environ[TAKEN] = ",".join(map(str, taken))
            try:
                yield taken
            finally:
                del os.environ[TAKEN]


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
        If srun has not started this process, or has started other numbers of tasks or nodes, or the other nodes
        cannot reach this one by its name.
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
    check_address()
    return SLURMEnvironment()


def check_address() -> None:
    """Check that this host's name is not that of its loopback, as on Debian, where gloo would listen there alone.

    Raises
    ------
    LensvitError
        If it is, and nobody has named the interface to use.
    """
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError as error:
        raise LensvitError(
            f"this node's name {name} has no address ({error}), which the processes on the other nodes need"
        ) from error
    alone = os.environ.get("MASTER_ADDR", "").startswith("127.")  # all nodes are this machine
    if address.startswith("127.") and not alone and "GLOO_SOCKET_IFNAME" not in os.environ:
        raise LensvitError(
            f"this node's name {name} has the address {address}, where other nodes cannot reach it: mend /etc/hosts, "
            "or export GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME with the name of the network's interface "
            "(ip -brief address lists them)"
        )


class _Mixed(MixedPrecision):
    """Autocast that takes float32 images as they are: the first layer casts them, in training as in evaluation."""

    def convert_input(self, data: Any) -> Any:
        """The input, not rounded to the arithmetic's own type."""
        return data


def _precision(precision: str, device: str) -> Precision:
    """Fabric's plugin for an arithmetic, 32-true or bf16-mixed."""
    return Precision() if precision == "32-true" else _Mixed("bf16-mixed", "cpu" if device == "cpu" else "cuda")


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


def gathered(fabric: Fabric, mine: Tensor) -> Tensor:
    """What all processes have, of which each has every n-th part.

    Parameters
    ----------
    fabric
        The processes.
    mine
        Parts (m, ...) of this process, as many as each of the others has.

    Returns
    -------
    Tensor
        All parts (n * m, ...) in their order.
    """
    if fabric.world_size == 1:
        return mine
    together = cast(Tensor, fabric.all_gather(mine))  # (processes, m, ...)
    return together.transpose(0, 1).flatten(0, 1)


@cache
def _hosts() -> distributed.ProcessGroup:
    """All processes, for messages between the hosts."""
    return distributed.new_group(backend="gloo")  # type: ignore[return-value]  # this process is a member
