"""Training on the fly: every epoch shows new systems, drawn and rendered while the network trains.

The systems are those that ``lensvit simulate`` would add to a larger training split: of each PSF,
epoch e has the n indices from n (e + 1) on, where n of the split are stored. So none recurs, none
is of another split, and a system follows from the epoch and its place in it alone. Rendering is
the torch engine's, on the device that trains; on a CPU processes of their own work ahead.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lensvit.errors import LensvitError
from lensvit.io.files import manifest_path
from lensvit.io.settings import read_settings
from lensvit.learning.inputs import Inputs
from lensvit.learning.preprocessing import brightness_factor, resize, stretch
from lensvit.learning.settings import Recipe, TrainSettings
from lensvit.learning.train import checkpoint_key, machine
from lensvit.learning.trainer import SAMPLE, Trainer, epoch_order, share_of
from lensvit.lensing.noise import variance
from lensvit.parameters import TARGET_NAMES
from lensvit.simulation.engines import torch_engine
from lensvit.simulation.sampler import Sampler, imaged
from lensvit.simulation.settings import SystemSettings

PORTION = 256  # systems that are drawn and rendered together, at least: fewer cost more each
SPLIT = "train"

Batch = tuple[Tensor, Tensor]  # images (b, S, S) and targets (b, K)


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
    settings : as there, with ``stream``: each PSF's settings of the simulation.
    psfs : psf/{name}.fits of all PSFs.
    images : of the stored splits: validation, and the training images that PixelNorm is fitted to.
    threads : of the CPU, for each process; on a CPU so many processes more render, if there are two or more.

    The other parameters are those of ``lensvit train``.

    Raises
    ------
    LensvitError
        As ``lensvit train``; if a PSF does not suit its settings, or the priors allow no image.
    """
    torch.set_num_threads(threads)
    choice = read_settings(settings, TrainSettings)
    workers = threads if device == "cpu" and threads > 1 else 0
    with machine(choice.recipe, device, processes, nodes) as fabric:
        trainer = StreamingTrainer(choice, catalog, scaler, images, fabric, psfs, workers)
        manifests = [manifest_path(path) for path in (catalog, *sorted(psfs))]
        trainer.state = Path(state) / checkpoint_key("lensvit.learning.stream", settings, scaler, *manifests)
        trainer.train(Path(output))


class StreamingTrainer(Trainer):
    """A trainer whose examples come from a stream; ``workers`` are the processes that make it, 0 for this one."""

    def __init__(
        self,
        settings: TrainSettings,
        catalog: Path,
        scaler: Path,
        images: Path,
        fabric: Fabric,
        psfs: list[Path],
        workers: int = 0,
    ) -> None:
        self.psfs, self.workers = psfs, workers
        super().__init__(settings, catalog, scaler, images, fabric)

    def _read(self, train: pd.DataFrame, images: Path) -> Inputs:
        rank, size = self.fabric.global_rank, self.fabric.world_size
        self.systems = NewSystems(self.settings, self.psfs, train["psf"], self.device, rank, size)
        self.batches: Iterator[Batch] | None = None
        return super()._read(train.iloc[epoch_order(self.seed, -1, len(train))[:SAMPLE].numpy()], images)

    def source(self) -> str:
        where = f"by {self.workers} processes beside" if self.workers else "in between"
        return f"{self.count} new systems an epoch, rendered {where}"

    def systems_seen(self) -> int:
        return self.count * len(self.progress.history)

    def examples(self, rows: Tensor, share: slice, step: int) -> Batch:
        """The next batch of the stream, which begins where the training does."""
        if self.batches is None:
            self.batches = self.systems.batches(self.progress.epoch * self.steps + step, self.workers)
        images, targets = next(self.batches)
        return stretch(images.to(self.device), self.recipe.stretch), targets.to(self.device)


class NewSystems(Dataset):
    """Portions of some batches each, as one of ``size`` processes needs them.

    Batches are counted over the whole training. A portion is the same whoever makes it, and in whatever order.

    Parameters
    ----------
    settings : of the training. psfs : the kernels' files.
    names : (N,) the PSF of each stored training system; an epoch has as many of each.
    device : where images are rendered. rank, size : this process among those that share a batch.
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
        """The batches from ``first`` on, made ahead by so many processes, or by this one when asked for."""
        start, skipped = divmod(first, self.portion)
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=range(start, len(self)),
            num_workers=workers,
            prefetch_factor=1 if workers else None,
            multiprocessing_context="spawn" if workers else None,
            worker_init_fn=_ignore_stop_signals,
            generator=torch.Generator(),  # else it takes numbers of the training's
        )
        for portion in loader:
            yield from portion[skipped:]
            skipped = 0

    def wanted(self, batch: int) -> list[tuple[str, int]]:
        """PSF and index of each system of this process's share of a batch."""
        epoch, step = divmod(batch, self.steps)
        size = self.recipe.batch_size
        rows = epoch_order(self.settings.seed, epoch, len(self.names))[step * size : (step + 1) * size]
        rows = rows[share_of(len(rows), self.rank, self.size)].tolist()
        return [(self.names[row], self.stored[self.names[row]] * (epoch + 1) + int(self.place[row])) for row in rows]

    def made(self, systems: list[tuple[str, int]]) -> Batch:
        """Small noisy images (n, S, S) in the recipe's brightness on the device, and targets (n, K) float64."""
        size = self.settings.network.image_size
        images = torch.empty(len(systems), size, size, device=self.device)
        targets = torch.empty(len(systems), len(TARGET_NAMES), dtype=torch.float64)
        for name in sorted({name for name, _ in systems}):
            rows = [row for row, (psf, _) in enumerate(systems) if psf == name]
            camera = self.cameras[name]
            images[rows], targets[rows] = camera.photographed([systems[row][1] for row in rows])
        return images, targets

    @cached_property
    def cameras(self) -> Mapping[str, CameraStream]:
        """One a PSF; each process has its own."""
        size, stream = self.settings.network.image_size, self.settings.stream
        if stream is None:
            raise LensvitError("these settings are of a training without a stream: set training.stream: true")
        return {
            name: CameraStream(systems, self.paths[name], self.recipe, size, self.device)
            for name, systems in stream.systems.items()
        }

    def __getstate__(self) -> dict:
        """For another process: without the cameras."""
        return {name: value for name, value in vars(self).items() if name != "cameras"}


class CameraStream:
    """Draws systems of one PSF and takes their images.

    Parameters
    ----------
    options : the simulation's settings of the PSF. psf : its file. recipe : of the training.
    size : S, the side of the network's input. device : where images are rendered.
    """

    def __init__(self, options: SystemSettings, psf: Path, recipe: Recipe, size: int, device: str) -> None:
        self.options, self.recipe, self.size, self.device = options, recipe, size, device
        self.engine = torch_engine(options, psf, device)
        self.sampler = Sampler(options, SPLIT, self.engine.solve)

    def photographed(self, indices: list[int]) -> Batch:
        """Images (n, S, S) with noise, as the network's input is before the stretch, and targets (n, K) float64.

        Each system has one realisation of the noise: nobody sees it twice.
        """
        systems, images = imaged(self.sampler, self.engine, indices)
        images = torch.as_tensor(images, device=self.device)  # (n, ny, nx)
        noisy = torch.stack([self._with_noise(image, index) for image, index in zip(images, indices, strict=True)])
        scale = brightness_factor(self.recipe, self.options.instrument.pixel_scale)
        targets = [[system.parameters[name] for name in TARGET_NAMES] for system in systems]
        return resize(noisy, self.size, self.recipe.resize) * scale, torch.tensor(targets, dtype=torch.float64)

    def _with_noise(self, image: Tensor, index: int) -> Tensor:
        generator = torch.Generator(self.device).manual_seed(self.sampler.noise_seed(index))
        normal = torch.randn(image.shape, generator=generator, device=self.device)
        return image + normal * variance(image, self.sampler.sigma_bkg(index), self.options.scene.exposure).sqrt()


def _ignore_stop_signals(worker: int) -> None:
    """A scheduler signals all processes of a job; the training's own answers, with a checkpoint."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
