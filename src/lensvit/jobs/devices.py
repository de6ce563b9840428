"""The device that a job computes on, and locks by which two jobs at a time take two GPUs."""

from __future__ import annotations

import fcntl
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from lensvit.errors import LensvitError

POLL_SECONDS = 1.0  # between two looks at GPUs that are all taken


@contextmanager
def pick(device: str) -> Iterator[str]:
    """Yield the name of a torch device, and keep other jobs of this user off a GPU until the block ends.

    Where a scheduler (or the user) has set CUDA_VISIBLE_DEVICES, the first device that it names is taken without a
    lock. Otherwise the job takes a free GPU, or prints that it waits for one. The lock is the operating system's, so
    that a job that is killed frees its GPU.

    Parameters
    ----------
    device
        ``cpu`` or ``gpu``.

    Raises
    ------
    LensvitError
        If ``device`` is something else, or a GPU is asked for and there is none.
    """
    if device not in ("cpu", "gpu"):
        raise LensvitError(f"no device {device!r}: cpu or gpu")
    if device == "cpu":
        yield "cpu"
    elif not torch.cuda.is_available():
        raise LensvitError(
            "device: gpu is asked for and torch sees no GPU here (CUDA_VISIBLE_DEVICES, driver): "
            "start on a node with one, or set device: cpu (runs/demo.yaml is the size for that)"
        )
    elif "CUDA_VISIBLE_DEVICES" in os.environ:
        yield "cuda"
    else:
        with free_slot(range(torch.cuda.device_count()), lock_folder()) as index, torch.cuda.device(index):
            yield f"cuda:{index}"


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
def free_slot(slots: Sequence[int], folder: Path) -> Iterator[int]:
    """Hold the first slot that no other process holds, and wait with a message while all are held.

    A slot is a file under an exclusive lock, which the operating system takes off when the process ends, however it
    ends. The file has the number of the process.

    Parameters
    ----------
    slots
        Numbers of the slots.
    folder
        Folder of the files.
    """
    waiting = False
    while True:
        for slot in slots:
            handle = _lock(folder / f"gpu{slot}.lock")
            if handle is None:
                continue
            try:
                yield slot
            finally:
                os.close(handle)
            return
        if not waiting:
            waiting = True
            print(_wait_message(slots, folder), flush=True)
        time.sleep(POLL_SECONDS)


def _lock(path: Path) -> int | None:
    """Handle of a file that is now under this process's lock; None if another process has the lock."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle


def _wait_message(slots: Sequence[int], folder: Path) -> str:
    """One line that says which processes hold the slots."""
    processes = {slot: (folder / f"gpu{slot}.lock").read_text(encoding="ascii") or "?" for slot in slots}
    holders = [f"GPU {slot} by process {process}" for slot, process in processes.items()]
    return f"waiting for a GPU of this machine: taken are {', '.join(holders)}"


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
