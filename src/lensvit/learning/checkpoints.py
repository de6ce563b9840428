"""Checkpoints of a training, which a thread writes while the training goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from lensvit.io.files import atomic, reading
from lensvit.jobs.parcels import mapped
from lensvit.learning.libraries import save_weights

SECONDS = 60.0  # from the end of one checkpoint to the next, at least
FRESH = "delete {folder} to start afresh"  # what mends a broken checkpoint


class Checkpoints:
    """The checkpoint of one training: ``checkpoint.pt``, and the weights of the best epoch that it names beside it.

    What a checkpoint holds is copied to the computer's memory; a thread writes the copy, whole or not at all, while the
    training changes the original.

    Parameters
    ----------
    folder
        Where the files lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = Path(folder), Path(folder) / "checkpoint.pt"
        self.pool = ThreadPoolExecutor(1, "checkpoint")
        self.writing: Future[None] | None = None
        self.written = time.monotonic()  # or begun, where none was

    @property
    def none_yet(self) -> bool:
        """Whether this process has written none."""
        return self.writing is None

    def due(self) -> bool:
        """Whether it is time for one: the last one, or the start, is some time ago."""
        return (self.writing is None or self.writing.done()) and time.monotonic() - self.written > SECONDS

    def write(self, content: Mapping[str, Any], best_epoch: int, best: Mapping[str, Tensor] | None) -> None:
        """Begin to write a checkpoint, once the one before is written.

        Parameters
        ----------
        content
            What the checkpoint holds: numbers, texts and tensors in mappings and lists.
        best_epoch
            Number of the best epoch so far.
        best
            Its weights; None where they have been written before.

        Raises
        ------
        LensvitError
            If the one before could not be written.
        """
        self.wait()
        copied = on_host(content)
        self.writing = self.pool.submit(self._write, copied, best_epoch, None if best is None else dict(best))

    def wait(self) -> None:
        """Wait until all is written.

        Raises
        ------
        LensvitError
            If it cannot be written.
        """
        if self.writing is not None:
            self.writing.result()

    def _write(self, content: Mapping[str, Any], best_epoch: int, best: dict[str, Tensor] | None) -> None:
        if best is not None:
            save_weights(best, self._best(best_epoch))
        with atomic(self.path) as path:
            torch.save(content, path)
        for other in self.folder.glob("best-*.safetensors"):
            if other != self._best(best_epoch):
                other.unlink()
        self.written = time.monotonic()

    def _best(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch}.safetensors"

    def read(self, device: str) -> dict[str, Any]:
        """What the checkpoint holds, with its tensors on a device.

        Raises
        ------
        LensvitError
            If it is broken.
        """
        with reading(self.path, "checkpoint", FRESH.format(folder=self.folder)):
            return torch.load(self.path, map_location=device, weights_only=True)

    def read_best(self, epoch: int) -> dict[str, Tensor]:
        """The weights of the best epoch, on the CPU.

        Raises
        ------
        LensvitError
            If the file is absent or broken.
        """
        path = self._best(epoch)
        with reading(path, "weights file", FRESH.format(folder=self.folder)):
            return load_file(path)


def on_host(content: Any) -> Any:
    """A copy of something made of mappings, lists and tensors, whose tensors lie in the computer's memory."""
    return mapped(content, lambda tensor: tensor.detach().to("cpu", copy=True))
