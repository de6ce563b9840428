"""Training on the fly: every epoch shows new systems, drawn and rendered while the network trains.

The systems are those that ``lensvit simulate`` would add to a larger training split: of each PSF,
epoch e has the n indices from n (e + 1) on, where n systems of the split are stored. So none recurs, none
is of another split, and a system follows from the epoch and its place in it alone. The torch engine
renders them on the device that trains; on a CPU, other processes work ahead.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lensvit.errors import LensvitError
from lensvit.io.files import manifest_path
from lensvit.io.scaler import read_scaler
from lensvit.io.settings import read_settings
from lensvit.learning.examples import SAMPLE, Batch, StoredImages, epoch_order, share_of
from lensvit.learning.inputs import Inputs
from lensvit.learning.preprocessing import add_noise, brightness_factor, stretch, to_input_scale
from lensvit.learning.settings import Recipe, TrainSettings
from lensvit.learning.train import checkpoint_key, machine, read_splits
from lensvit.learning.trainer import Trainer
from lensvit.lensing.noise import variance
from lensvit.parameters import TARGET_NAMES
from lensvit.simulation.engines import torch_engine
from lensvit.simulation.sampler import Sampler, imaged
from lensvit.simulation.settings import SystemSettings

PORTION = 256  # systems that are drawn and rendered together, at least: fewer cost more each
SPLIT = "train"


def train_streaming(
    settings: Path,
    catalog: Path,
    scaler: Path,
    images: Path,
    psfs: list[Path],
    output: Path,
    state: Path,
    device: str = "cpu",
    threads: int = 1,
    processes: int = 1,
    nodes: int = 1,
) -> None:
    """Train one network as ``lensvit train`` does, with new systems in every epoch.

    Parameters
    ----------
    settings
        The stage's settings: seed, network, recipe, and ``stream``, each PSF's settings of the simulation.
    catalog
        The run's catalogue.
    scaler
        The run's scaler.json.
    images
        The run's folder of images: validation, and the training images that PixelNorm is fitted to.
    psfs
        psf/{name}.fits of all PSFs.
    output
        Folder of the model.
    state
        Folder for checkpoints; those of other inputs in it are left alone.
    device
        "cpu" or "gpu".
    threads
        Threads of the CPU for each process; on a CPU so many processes more render, if there are two or more.
    processes
        Processes on each node, one for each device. Each takes its share of every batch, so that batch and result are
        those of one device, but for dropout masks and rounding.
    nodes
        Machines of a SLURM job, on each of which srun has started so many processes.

    Raises
    ------
    LensvitError
        If the loss becomes NaN or diverges, if no GPU is there, if files are broken, if a PSF does not suit its
        settings, or the priors allow no image; and where SIGTERM or SIGUSR1 ends the training, once its checkpoint is
        written.
    """
    torch.set_num_threads(threads)
    choice = read_settings(settings, TrainSettings)
    workers = threads if device == "cpu" and threads > 1 else 0
    with machine(choice.recipe, device, processes, nodes) as fabric:
        manifests = [manifest_path(path) for path in (catalog, *sorted(psfs))]
        key = checkpoint_key("lensvit.learning.stream", settings, scaler, *manifests)
        place = str(fabric.device)
        training, validation = read_splits(catalog)
        systems = NewSystems(choice, psfs, training["psf"], place, fabric.global_rank, fabric.world_size)
        examples = StreamedSystems(systems, stored_sample(choice, training, images, place), workers)
        stored = StoredImages(choice, validation, images, place)
        Trainer(choice, read_scaler(scaler), examples, stored, fabric, Path(state) / key).train(Path(output))


def stored_sample(settings: TrainSettings, rows: pd.DataFrame, images: Path, device: str) -> Inputs:
    """Inputs of stored training images, chosen by lot, of which statistics of the pixels are taken.

    A thousand serve all images; where each camera or PSF has statistics of its own, a thousand of each PSF.

    Parameters
    ----------
    settings
        Settings of the training.
    rows
        Rows of the training split.
    images
        The run's folder of images.
    device
        Where batches go.
    """
    chosen = rows.iloc[epoch_order(settings.seed, -1, len(rows)).numpy()]
    by_psf = settings.recipe.normalise in ("camera", "psf")
    chosen = chosen.groupby("psf", observed=True).head(SAMPLE) if by_psf else chosen.head(SAMPLE)
    return StoredImages(settings, chosen, images, device, fresh=settings.recipe.noise == "fresh").stored


class StreamedSystems:
    """Examples that are drawn and rendered while the network trains, see :class:`lensvit.learning.examples.Examples`.

    Parameters
    ----------
    systems
        The batches of the whole training.
    stored
        Inputs of stored training images.
    workers
        Processes that make batches ahead; 0 if this one makes them when they are asked for.
    """

    def __init__(self, systems: NewSystems, stored: Inputs, workers: int = 0) -> None:
        self.systems, self.stored, self.workers = systems, stored, workers
        self.batches: Iterator[Batch] | None = None

    @property
    def psfs(self) -> Sequence[str]:
        """The PSF of each system of an epoch, (n,)."""
        return self.systems.names.tolist()

    def __len__(self) -> int:
        return self.systems.count

    def __str__(self) -> str:
        where = f"by {self.workers} processes beside" if self.workers else "in between"
        return f"{len(self)} new systems an epoch, rendered {where}"

    def systems_seen(self, epochs: int) -> int:
        """The systems of so many epochs, none of which recurs."""
        return len(self) * epochs

    def batch(self, epoch: int, step: int, rows: Tensor, share: slice) -> Batch:
        """Inputs (b, 3, S, S) and targets (b, K) of the next batch, see :class:`lensvit.learning.examples.Examples`.

        The stream begins at the first batch that is asked for. It knows by itself which rows and which share are this
        process's.
        """
        if self.batches is None:
            self.batches = self.systems.batches(epoch * self.systems.steps + step, self.workers)
        images, targets = next(self.batches)
        device = self.systems.device
        return stretch(images.to(device), self.systems.recipe.stretch), targets.to(device)


class NewSystems(Dataset):
    """Portions of some batches each, as one of ``size`` processes needs them.

    Batches are counted over the whole training. A portion is the same whoever makes it, and in whatever order.

    Parameters
    ----------
    settings
        Settings of the training.
    psfs
        psf/{name}.fits of all PSFs.
    names
        The PSF of each stored training system, (N,); an epoch has as many systems of each.
    device
        Where images are rendered.
    rank
        Number of this process among those that share a batch.
    size
        Number of these processes.
    """

    def __init__(
        self,
        settings: TrainSettings,
        psfs: list[Path],
        names: pd.Series,
        device: str = "cpu",
        rank: int = 0,
        size: int = 1,
    ) -> None:
        self.settings, self.recipe, self.device = settings, settings.recipe, device
        self.paths = {Path(path).stem: Path(path) for path in psfs}
        self.names = names.astype(str).to_numpy()
        self.count = len(names)  # systems of an epoch
        self.place = names.groupby(names, observed=True).cumcount().to_numpy()  # among the systems of its PSF
        self.stored = {str(name): count for name, count in names.value_counts().items()}
        self.rank, self.size = rank, size
        self.steps = -(-len(names) // self.recipe.batch_size)  # an epoch
        self.portion = max(1, PORTION * size // self.recipe.batch_size)  # batches

    def __len__(self) -> int:
        return -(-self.steps * self.recipe.epochs // self.portion)

    def __getitem__(self, number: int) -> list[Batch]:
        first = number * self.portion
        batches = range(first, min(first + self.portion, self.steps * self.recipe.epochs))
        wanted = [self.wanted(batch) for batch in batches]
        images, targets = self.made([system for systems in wanted for system in systems])
        counts = [len(systems) for systems in wanted]
        return list(zip(images.split(counts), targets.split(counts), strict=True))

    def batches(self, first: int, workers: int) -> Iterator[Batch]:
        """Images (b, S, S) and targets (b, K) of one batch after the other, see :meth:`made`.

        Parameters
        ----------
        first
            Number of the first batch, from 0.
        workers
            Processes that make batches ahead; 0 if this one makes them when they are asked for.
        """
        start, skipped = divmod(first, self.portion)
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=range(start, len(self)),
            num_workers=workers,
            prefetch_factor=1 if workers else None,
            multiprocessing_context="spawn" if workers else None,
            worker_init_fn=_ignore_stop_signals,
            generator=torch.Generator(),  # without one it takes random numbers of the training's
        )
        for portion in loader:
            yield from portion[skipped:]
            skipped = 0

    def wanted(self, batch: int) -> list[tuple[str, int]]:
        """PSF and index of each system of this process's share of a batch."""
        epoch, step = divmod(batch, self.steps)
        size = self.recipe.batch_size
        rows = epoch_order(self.settings.seed, epoch, self.count)[step * size : (step + 1) * size]
        share = rows[share_of(len(rows), self.rank, self.size)].tolist()
        return [(self.names[row], self.stored[self.names[row]] * (epoch + 1) + int(self.place[row])) for row in share]

    def made(self, systems: list[tuple[str, int]]) -> Batch:
        """Draw and render systems of any PSFs.

        Parameters
        ----------
        systems
            PSF and index of each of the n systems.

        Returns
        -------
        images : Tensor
            Noisy images (n, S, S) in the recipe's brightness, on the device.
        targets : Tensor
            Targets (n, K) in their own units, float64 on the CPU.
        """
        size = self.settings.network.image_size
        images = torch.empty(len(systems), size, size, device=self.device)
        targets = torch.empty(len(systems), len(TARGET_NAMES), dtype=torch.float64)
        for name in sorted({name for name, _ in systems}):
            rows = [row for row, (psf, _) in enumerate(systems) if psf == name]
            images[rows], targets[rows] = self.cameras[name].photographed([systems[row][1] for row in rows])
        return images, targets

    @cached_property
    def cameras(self) -> Mapping[str, CameraStream]:
        """The stream of each PSF; each process has its own.

        Raises
        ------
        LensvitError
            If the settings name no systems to stream, or a PSF does not suit its settings.
        """
        size, stream = self.settings.network.image_size, self.settings.stream
        if stream is None:
            raise LensvitError("these settings are of a training without a stream: set training.stream: true")
        return {
            name: CameraStream(systems, self.paths[name], self.recipe, size, self.device)
            for name, systems in stream.systems.items()
        }

    def __getstate__(self) -> dict[str, Any]:
        """All but the cameras, for another process."""
        return {name: value for name, value in vars(self).items() if name != "cameras"}


class CameraStream:
    """Draws systems of one PSF and takes their images.

    Parameters
    ----------
    settings
        Settings of the simulation for the PSF.
    psf
        The PSF's file.
    recipe
        Recipe of the training.
    size
        Side S of the network's input [pixel].
    device
        Where images are rendered.
    """

    def __init__(self, settings: SystemSettings, psf: Path, recipe: Recipe, size: int, device: str) -> None:
        self.settings, self.recipe, self.size, self.device = settings, recipe, size, device
        self.engine = torch_engine(settings, psf, device)
        self.sampler = Sampler(settings, SPLIT, self.engine.solve)

    def photographed(self, indices: list[int]) -> Batch:
        """The systems of some indices, each with the one realisation of the noise that it ever has.

        Parameters
        ----------
        indices
            Indices of n systems in the training split.

        Returns
        -------
        images : Tensor
            Noisy images (n, S, S) in the recipe's brightness, on the device.
        targets : Tensor
            Targets (n, K) in their own units, float64 on the CPU.
        """
        systems, rendered = imaged(self.sampler, self.engine, indices)
        images = torch.as_tensor(rendered, device=self.device)  # (n, ny, nx)
        noisy = torch.stack([self._noisy(image, index) for image, index in zip(images, indices, strict=True)])
        factor = brightness_factor(self.recipe, self.settings.instrument.pixel_scale)
        targets = [[system.parameters[name] for name in TARGET_NAMES] for system in systems]
        small = to_input_scale(noisy, self.size, self.recipe.resize, factor)  # (n, S, S)
        return small, torch.tensor(targets, dtype=torch.float64)

    def _noisy(self, image: Tensor, index: int) -> Tensor:
        generator = torch.Generator(self.device).manual_seed(self.sampler.noise_seed(index))
        normal = torch.randn(image.shape, generator=generator, device=self.device)
        spread = variance(image, self.sampler.sigma_bkg(index), self.settings.scene.exposure)
        return add_noise(image, normal, spread)


def _ignore_stop_signals(worker: int) -> None:
    """Leave the signals that a scheduler sends to all processes of a job to the training's own."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
