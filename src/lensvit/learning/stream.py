"""Training on the fly: every epoch shows new systems, drawn and rendered while the network trains.

The systems are those that ``lensvit simulate`` would add to a larger training split: of each PSF,
epoch e has the n indices from n (e + 1) on, where n systems of the split are stored. So none recurs, none
is of another split, and a system follows from the epoch and its place in it alone.

That is two steps. Systems are drawn, and their lens equations solved, on the CPU; then the torch engine makes their
images on the device that trains, where they stay. Other processes work ahead. On a CPU they do both steps. On a GPU
they do the first, and the training's own process the second, which the GPU does while the process goes on.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lensvit.errors import LensvitError
from lensvit.io.files import manifest_path
from lensvit.io.scaler import read_scaler
from lensvit.io.settings import read_settings
from lensvit.jobs.parcels import Parcel
from lensvit.learning.examples import SAMPLE, Batch, StoredImages, epoch_order, share_of
from lensvit.learning.inputs import Inputs
from lensvit.learning.preprocessing import add_noise, brightness_factor, stretch, to_input_scale
from lensvit.learning.settings import Recipe, TrainSettings
from lensvit.learning.train import checkpoint_key, machine, read_splits
from lensvit.learning.trainer import Trainer
from lensvit.lensing.batched_lens_equation import solve
from lensvit.lensing.noise import LEAST_SHARE, variance
from lensvit.lensing.renderer import BatchedRenderer, Setup
from lensvit.lensing.system import System
from lensvit.parameters import TARGET_NAMES
from lensvit.simulation.engines import torch_renderer
from lensvit.simulation.sampler import Sampler
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
        Threads of the CPU for each process. On a CPU so many processes more draw and render, if there are two or more;
        on a GPU one fewer draw, at least one.
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
    workers = max(1, threads - 1) if device == "gpu" else threads if threads > 1 else 0
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
    by_psf = settings.recipe.normalises_by_camera
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
        what = "rendered" if self.systems.device == "cpu" else f"rendered on {self.systems.device}, drawn"
        where = f"by {self.workers} processes beside" if self.workers else "in between"
        return f"{len(self)} new systems an epoch, {what} {where}"

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
        recipe = self.systems.recipe
        return stretch(images, recipe.stretch, recipe.unit), targets


class Drawn(NamedTuple):
    """Systems of one PSF, and all that their images follow from.

    Parameters
    ----------
    indices
        Indices of n systems in the training split.
    redraws
        The number of draws before, of each, that could not be imaged.
    places
        Their places (n,) in the portion.
    targets
        Targets (n, K) in their own units, float64.
    sigma
        Standard deviations (n, 1, 1) of the background noise [counts/s per pixel].
    exposure
        Exposure times (n, 1, 1) [s].
    setup
        What their images are made of.
    """

    indices: list[int]
    redraws: list[int]
    places: Tensor
    targets: Tensor
    sigma: Tensor
    exposure: Tensor
    setup: Setup


class Portion(NamedTuple):
    """Some batches whose systems are drawn.

    Parameters
    ----------
    counts
        The number of systems of each batch.
    drawn
        The systems of all batches by their PSF.
    """

    counts: list[int]
    drawn: dict[str, Drawn]


class Rendering(NamedTuple):
    """A portion whose images a device computes, or has computed.

    Parameters
    ----------
    portion
        The portion.
    images
        Noisy images (n, S, S) in the recipe's brightness, on the device.
    targets
        Targets (n, K) in their own units, float64 on the device.
    finite
        Whether each image is finite, PSF by PSF, on the CPU once it is ``done``.
    done
        What a GPU has done when it has computed all of this; None on a CPU.
    """

    portion: Portion
    images: Tensor
    targets: Tensor
    finite: Tensor
    done: torch.cuda.Event | None


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

    def __getitem__(self, number: int) -> list[Batch] | Parcel[Portion]:
        """The batches of a portion on a CPU; for a GPU the portion, packed so that one copy brings it there."""
        portion = self.drawn(number)
        return self.finished(self.begun(portion)) if self.device == "cpu" else Parcel(portion)

    def batches(self, first: int, workers: int) -> Iterator[Batch]:
        """Images (b, S, S) and targets (b, K) of one batch after the other, see :meth:`finished`.

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
            pin_memory=self.device != "cpu",
        )
        for portion in loader if self.device == "cpu" else self._rendered(loader):
            yield from portion[skipped:]
            skipped = 0

    def _rendered(self, parcels: Iterable[Parcel[Portion]]) -> Iterator[list[Batch]]:
        """The batches of portions. A GPU begins each portion before the one before it is used."""
        before: Rendering | None = None
        for parcel in parcels:
            portion = parcel.opened(self.device)
            for name, drawn in portion.drawn.items():
                # by another process, which counts for itself
                self.cameras[name].sampler.draw_count += len(drawn.indices)
            begun = self.begun(portion)
            if before is not None:
                yield self.finished(before)
            before = begun
        if before is not None:
            yield self.finished(before)

    def wanted(self, batch: int) -> list[tuple[str, int]]:
        """PSF and index of each system of this process's share of a batch."""
        epoch, step = divmod(batch, self.steps)
        size = self.recipe.batch_size
        rows = epoch_order(self.settings.seed, epoch, self.count)[step * size : (step + 1) * size]
        share = rows[share_of(len(rows), self.rank, self.size)].tolist()
        return [(self.names[row], self.stored[self.names[row]] * (epoch + 1) + int(self.place[row])) for row in share]

    def drawn(self, number: int) -> Portion:
        """The first step for the portion of a number: what is done on the CPU."""
        first = number * self.portion
        batches = range(first, min(first + self.portion, self.steps * self.recipe.epochs))
        wanted = [self.wanted(batch) for batch in batches]
        systems = [system for batch in wanted for system in batch]
        drawn = {}
        for name in sorted({name for name, _ in systems}):
            rows = [row for row, (psf, _) in enumerate(systems) if psf == name]
            drawn[name] = self.cameras[name].draw(rows, [systems[row][1] for row in rows])
        return Portion([len(batch) for batch in wanted], drawn)

    def begun(self, portion: Portion) -> Rendering:
        """Begin the second step: take the images of a portion whose tensors are on the device."""
        count, size = sum(portion.counts), self.settings.network.image_size
        images = torch.empty(count, size, size, device=self.device)
        targets = torch.empty(count, len(TARGET_NAMES), dtype=torch.float64, device=self.device)
        finite = torch.cat([self._take(name, drawn, images, targets) for name, drawn in portion.drawn.items()])
        finite = finite.to("cpu", non_blocking=True)
        done = None if self.device == "cpu" else torch.cuda.Event()
        if done is not None:
            done.record()
        return Rendering(portion, images, targets, finite, done)

    def finished(self, rendering: Rendering) -> list[Batch]:
        """Images (b, S, S) in the recipe's brightness and targets (b, K) of each batch of a portion, on the device.

        This waits for the GPU until it has computed them. A system whose image is not finite is drawn again.

        Raises
        ------
        LensvitError
            If the priors allow no system that can be imaged.
        """
        portion, images, targets, finite, done = rendering
        if done is not None:
            done.synchronize()
        if not bool(finite.all()):
            parts = finite.split([len(drawn.indices) for drawn in portion.drawn.values()])
            for (name, drawn), good in zip(portion.drawn.items(), parts, strict=True):
                while not bool(good.all()):
                    drawn = self.cameras[name].drawn_again(drawn, torch.nonzero(~good)[:, 0].tolist())
                    good = self._take(name, Parcel(drawn).opened(self.device), images, targets).cpu()
        return list(zip(images.split(portion.counts), targets.split(portion.counts), strict=True))

    def _take(self, name: str, drawn: Drawn, images: Tensor, targets: Tensor) -> Tensor:
        """Put images and targets of systems of one PSF at their places; whether each image is finite, (n,)."""
        images[drawn.places], finite = self.cameras[name].photographed(drawn)
        targets[drawn.places] = drawn.targets
        return finite

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
        self.settings, self.psf, self.recipe, self.size, self.device = settings, psf, recipe, size, device
        self.sampler = Sampler(settings, SPLIT, solve)
        self.cpu_renderer = torch_renderer(settings, psf)

    @cached_property
    def renderer(self) -> BatchedRenderer:
        """The renderer on the device, which processes that only draw do without."""
        return self.cpu_renderer if self.device == "cpu" else torch_renderer(self.settings, self.psf, self.device)

    def draw(self, places: list[int], indices: list[int]) -> Drawn:
        """Draw systems.

        Parameters
        ----------
        places
            Places of n systems in their portion.
        indices
            Their indices in the training split.

        Raises
        ------
        LensvitError
            If the priors allow no system that can be imaged.
        """
        return self._drawn(places, indices, self.sampler.draws(indices))

    def drawn_again(self, drawn: Drawn, which: list[int]) -> Drawn:
        """Draw some of the systems again, whose images are not finite.

        Parameters
        ----------
        drawn
            The systems.
        which
            Which of them.

        Raises
        ------
        LensvitError
            If the priors allow no system that can be imaged.
        """
        places, indices = ([numbers[number] for number in which] for numbers in (drawn.places.tolist(), drawn.indices))
        redraws = [drawn.redraws[number] for number in which]
        systems = [self.sampler.draw_again(*one) for one in zip(indices, redraws, strict=True)]
        return self._drawn(places, indices, systems)

    def _drawn(self, places: list[int], indices: list[int], systems: list[System]) -> Drawn:
        targets = [[system.parameters[name] for name in TARGET_NAMES] for system in systems]
        return Drawn(
            indices,
            [system.redraws for system in systems],
            torch.tensor(places),
            torch.tensor(targets, dtype=torch.float64),
            torch.tensor([self.sampler.sigma_bkg(index) for index in indices])[:, None, None],
            torch.tensor([self.sampler.exposure(index) for index in indices])[:, None, None],
            self.cpu_renderer.setup(systems),
        )

    def photographed(self, drawn: Drawn) -> tuple[Tensor, Tensor]:
        """Take images, each with the one realisation of the noise that its system ever has.

        Parameters
        ----------
        drawn
            The n systems, with their tensors on the device.

        Returns
        -------
        images : Tensor
            Noisy images (n, S, S) in the recipe's brightness.
        finite : Tensor
            Whether each was finite before the noise, (n,).
        """
        images = self.renderer.exposed(drawn.setup)  # (n, ny, nx)
        normal, generator = torch.empty_like(images), torch.Generator(self.device)
        for image, index in zip(normal, drawn.indices, strict=True):
            image.normal_(generator=generator.manual_seed(self.sampler.noise_seed(index)))
        mapped = self.renderer.exposure_map
        if mapped is None:
            noisy = add_noise(images, normal, variance(images, drawn.sigma, drawn.exposure))
        else:
            share = torch.as_tensor(mapped, device=self.device)
            spread = variance(images, drawn.sigma, drawn.exposure, share.clamp_min(LEAST_SHARE))
            noisy = add_noise(images, normal, spread) * (share > 0)
        factor = brightness_factor(self.recipe, self.settings.instrument.pixel_scale)
        finite = torch.isfinite(images).flatten(1).all(1)
        return to_input_scale(noisy, self.size, self.recipe.resize, factor), finite


def _ignore_stop_signals(worker: int) -> None:
    """Leave the signals that a scheduler sends to all processes of a job to the training's own."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
