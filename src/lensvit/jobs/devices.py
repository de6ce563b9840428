"""The devices that a job computes on, and locks by which jobs at a time take different GPUs."""

from __future__ import annotations

import fcntl
import os
import platform
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from lensvit.errors import LensvitError

POLL_SECONDS = 1.0  # between two looks at GPUs that are all taken
LEAST_DRIVER = {"11": "450", "12": "525", "13": "580"}  # NVIDIA's, by the major version of CUDA
# the jobs of schedulers, which give each job its own GPUs
SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID")


def known_device(device: str) -> str:
    """The device, ``cpu`` or ``gpu``.

    Raises
    ------
    LensvitError
        If it is something else, or a GPU is asked for and there is none.
    """
    if device not in ("cpu", "gpu"):
        raise LensvitError(f"no device {device!r}: cpu or gpu")
    if device == "gpu" and not torch.cuda.is_available():
        raise LensvitError(f"device: gpu is asked for and {no_gpu()}")
    return device


def no_gpu() -> str:
    """Why torch sees no GPU, and what to do."""
    if torch.version.cuda is None:
        return (
            f"this torch ({torch.__version__}) is not built for CUDA: install one that is (docs/paper-scale.md), or "
            "set device: cpu (runs/demo.yaml is the size for that)"
        )
    try:
        torch.cuda.init()
        said = "CUDA_VISIBLE_DEVICES hides all GPUs, or there are none"
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0].partition(". ")[0]
    driver = LEAST_DRIVER.get(torch.version.cuda.partition(".")[0], "of its own time")
    return (
        f"torch sees no GPU here: {said}; torch {torch.__version__} needs NVIDIA's driver {driver} or newer "
        "(nvidia-smi shows yours; docs/paper-scale.md has what to install for an older one): start on a node with a "
        "GPU, or set device: cpu (runs/demo.yaml is the size for that)"
    )


@contextmanager
def take(count: int) -> Iterator[list[int]]:
    """Yield the numbers of so many GPUs, and keep other jobs of this user off them until the block ends.

    GPUs are those that CUDA_VISIBLE_DEVICES lets this process see, and are numbered as torch does. A job waits, with a
    line that says so, until enough are free at once. The lock is the operating system's, so that a job that is killed
    frees its GPUs. Where a scheduler has given a job just as many GPUs as it needs, it takes them without a lock, since
    some schedulers let jobs share a GPU on purpose.

    Parameters
    ----------
    count
        The number of GPUs.

    Raises
    ------
    LensvitError
        If there are fewer.
    """
    visible = torch.cuda.device_count()
    if visible < count:
        raise LensvitError(
            f"{count} GPUs are asked for and torch sees {visible} here: lower the model's gpus, or start where there "
            "are as many (CUDA_VISIBLE_DEVICES; SLURM's --gpus-per-node)"
        )
    if given(count):
        yield list(range(count))
        return
    with free_slots(visible_names(), count, lock_folder()) as taken:
        yield taken


def given(count: int) -> bool:
    """Whether a scheduler has given this job just as many GPUs, which it then takes without a lock."""
    return torch.cuda.device_count() == count and any(name in os.environ for name in SCHEDULERS)


def visible_names() -> list[str]:
    """Names of the GPUs that torch sees, by which they are locked."""
    return [_name(index) for index in range(torch.cuda.device_count())]


def _name(index: int) -> str:
    """A name of a GPU that is the same for every process of this host, whichever GPUs it sees."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if index < len(shown) and shown[index].startswith("MIG-"):
        return shown[index].replace("/", "-")  # a part of a GPU, whose other parts have the same UUID
    return str(torch.cuda.get_device_properties(index).uuid)


def lock_folder() -> Path:
    """The folder of the locks of this user's jobs on this host, which is made where it is absent.

    Raises
    ------
    LensvitError
        If the folder belongs to somebody else.
    """
    folder = Path(tempfile.gettempdir()) / f"lensvit-gpus-{platform.node()}-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise LensvitError(f"{folder}, for GPU locks, belongs to another user: set TMPDIR to one of yours")
    return folder


@contextmanager
def free_slots(names: Sequence[str], count: int, folder: Path) -> Iterator[list[int]]:
    """Hold the first slots that no other process holds, and wait with a message while too few are free.

    A slot is a file under an exclusive lock, which the operating system takes off when the process ends, however it
    ends. The file has the number of the process. Slots are taken all at once or not at all, by one process at a time,
    so that no two processes wait for each other.

    Parameters
    ----------
    names
        Names of the slots.
    count
        How many of them to hold.
    folder
        Folder of the files.

    Yields
    ------
    list of int
        Places of the slots in ``names``.
    """
    held = _try(names, count, folder)
    if held is None:
        print(_wait_message(names, count, folder), flush=True)
    while held is None:
        time.sleep(POLL_SECONDS)
        held = _try(names, count, folder)
    try:
        yield list(held)
    finally:
        _release(held.values())


def _try(names: Sequence[str], count: int, folder: Path) -> dict[int, int] | None:
    """The first free slots under this process's lock, as places to handles; None if there are too few."""
    held: dict[int, int] = {}
    turn = _open(folder / "turn.lock")
    fcntl.flock(turn, fcntl.LOCK_EX)  # which no process holds for longer than this takes
    try:
        for place, name in enumerate(names):
            handle = _lock(_path(name, folder)) if len(held) < count else None
            if handle is not None:
                held[place] = handle
        if len(held) < count:
            _release(held.values())
    finally:
        os.close(turn)
    return held if len(held) == count else None


def _release(handles: Iterable[int]) -> None:
    for handle in handles:
        os.close(handle)


def _path(name: str, folder: Path) -> Path:
    return folder / f"gpu-{name}.lock"


def _open(path: Path) -> int:
    """Handle of a file that processes which this one starts do not inherit."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _lock(path: Path) -> int | None:
    """Handle of a file that is now under this process's lock; None if another process has the lock."""
    handle = _open(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle


def holders(names: Sequence[str], folder: Path) -> dict[int, str]:
    """Which slots other processes hold, see :func:`free_slots`: places in ``names`` to the numbers of the processes."""
    found = {}
    for place, name in enumerate(names):
        handle = _lock(_path(name, folder))
        if handle is None:
            found[place] = _path(name, folder).read_text(encoding="ascii") or "?"
        else:
            os.close(handle)
    return found


def _wait_message(names: Sequence[str], count: int, folder: Path) -> str:
    """One line that says which processes hold the slots."""
    taken = [f"GPU {place} by process {process}" for place, process in holders(names, folder).items()]
    wanted = "a GPU" if count == 1 else f"{count} GPUs"
    return f"waiting for {wanted} of this machine: taken are {', '.join(taken) or 'none any more'}"


def send(device: str, *places: Tensor) -> tuple[Tensor, ...]:
    """Send indices to a device, in one piece and without waiting for it.

    Parameters
    ----------
    device
        Torch's name of the device.
    places
        Vectors of int64 on the CPU, of any lengths.
    """
    if torch.device(device).type == "cpu":
        return places
    together = torch.cat(places)
    if torch.cuda.is_available():
        together = together.pin_memory()  # from where the GPU fetches it by itself
    return together.to(device, non_blocking=True).split([len(part) for part in places])


@contextmanager
def memory_advice(setting: str) -> Iterator[None]:
    """Turn an out-of-memory error of the block into a message that says what to lower.

    Parameters
    ----------
    setting
        The setting to lower, as the message names it.

    Raises
    ------
    LensvitError
        If torch runs out of the memory of a GPU or of the computer.
    """
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one; the CPU's allocator has no class of its own
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        reason = str(error).splitlines()[0]
        raise LensvitError(f"out of memory: lower {setting}, or take a device with more ({reason})") from error
