"""Where training images come from: the interface that the trainer asks, and images that are stored.

The other source, systems that are rendered while training, is :mod:`lensvit.learning.stream`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensvit.jobs.devices import send
from lensvit.jobs.seeds import derive
from lensvit.learning.inputs import Inputs
from lensvit.learning.settings import TrainSettings
from lensvit.parameters import TARGET_NAMES

SAMPLE = 1000  # training images, at most, that each group of a PixelNorm is fitted to

Batch = tuple[Tensor, Tensor]  # inputs (b, 3, S, S) and targets (b, K) in their own units


class Examples(Protocol):
    """Training images with their targets; ``len`` is the number of images in an epoch."""

    @property
    def stored(self) -> Inputs:
        """Inputs of stored training images, of which statistics of the pixels are taken."""

    @property
    def psfs(self) -> Sequence[str]:
        """The PSF of each system of an epoch, (n,)."""

    def __len__(self) -> int: ...

    def __str__(self) -> str:
        """What the training images are, for the log."""

    def systems_seen(self, epochs: int) -> int:
        """How many different systems a training shows in so many epochs."""

    def batch(self, epoch: int, step: int, rows: Tensor, share: slice) -> Batch:
        """The part of a batch that one process trains on, on its device.

        Parameters
        ----------
        epoch
            Number of the epoch, from 0.
        step
            Number of the batch in the epoch, from 0.
        rows
            Places (B,) in the training split of the whole batch, on the CPU.
        share
            The part of ``rows`` that is asked for.
        """


class StoredImages:
    """Examples of one split from the image files, all of them in memory.

    Parameters
    ----------
    settings
        Settings of the training.
    rows
        Rows of the catalogue.
    images
        The run's folder of images.
    device
        Where batches go.
    fresh
        Whether noise is drawn anew for each batch.

    Attributes
    ----------
    targets : Tensor
        Targets (n, K) in their own units, float64 on the device.

    Raises
    ------
    LensvitError
        If an image file is absent or broken.
    """

    def __init__(
        self, settings: TrainSettings, rows: pd.DataFrame, images: Path, device: str, *, fresh: bool = False
    ) -> None:
        self.seed, self.device = settings.seed, device
        self.stored = Inputs(rows, images, settings.recipe, settings.network.image_size, fresh=fresh, device=device)
        self.targets = torch.tensor(rows[list(TARGET_NAMES)].to_numpy(np.float64), device=device)

    @property
    def psfs(self) -> Sequence[str]:
        """The PSF of each system, (n,)."""
        return self.stored.psfs

    def __len__(self) -> int:
        return len(self.stored)

    def __str__(self) -> str:
        return str(self.stored)

    def systems_seen(self, epochs: int) -> int:
        """The number of images, since every epoch shows the same."""
        return len(self)

    def batch(self, epoch: int, step: int, rows: Tensor, share: slice) -> Batch:
        """Inputs (b, 3, S, S) and targets (b, K), see :class:`Examples`.

        Noise is drawn for the whole batch, so that it does not depend on which process takes which share.
        """
        generator = torch.Generator(self.device).manual_seed(derive(self.seed, "noise", epoch, step))
        images = self.stored.batch(rows, generator)
        return images[share], self.targets[send(self.device, rows[share])[0]]


def epoch_order(seed: int, epoch: int, count: int) -> Tensor:
    """The order (count,) in which an epoch goes through the training split."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(derive(seed, "order", epoch)))


def share_of(count: int, rank: int, size: int) -> slice:
    """The share of a batch that one process takes.

    Parameters
    ----------
    count
        Images in the batch.
    rank
        Number of the process, from 0. One for which no image is left takes the first image, at no weight.
    size
        Number of processes.
    """
    return slice(rank, None, size) if rank < count else slice(0, 1)
