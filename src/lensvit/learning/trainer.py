"""The training loop: one network, from batches of images to the weights of its best epoch.

What an undisturbed run does at a step depends on the seed, the epoch and the step alone,
never on what went before in the random stream; so a run that was killed goes on from its
last checkpoint and, on one machine's CPU, ends in the same weights.
"""

from __future__ import annotations

import copy
import json
import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed, nn
from tqdm import tqdm

from lensvit.errors import LensvitError
from lensvit.io.files import reading, write_manifest, write_text
from lensvit.io.scaler import Scaler
from lensvit.jobs.devices import send
from lensvit.jobs.fabric import agree, gathered
from lensvit.jobs.provenance import provenance
from lensvit.jobs.seeds import derive
from lensvit.learning import gaussian
from lensvit.learning.architectures import build_network, family, memory_format, trainable_parameters
from lensvit.learning.checkpoints import FRESH, Checkpoints, on_host
from lensvit.learning.dropout import places
from lensvit.learning.examples import SAMPLE, Examples, StoredImages, epoch_order, share_of
from lensvit.learning.gaussian import gaussian_nll, mean_squared_error
from lensvit.learning.libraries import load_weights, save_weights
from lensvit.learning.pixel_norm import PixelNorm, group_names, joined_state, members
from lensvit.learning.settings import Recipe, TrainedModel, TrainSettings
from lensvit.learning.symmetries import GROUPS, IDENTITY, augment, target_matrices, turn_image
from lensvit.parameters import TARGET_NAMES

DIVERGED_MSE = 100.0  # validation MSE of standardised targets; the prior's mean has 1
DIVERGED_EPOCHS = 3  # in a row
VALIDATION_BATCH = 256  # images that are validated together
LOSSES_PENDING = 20  # steps of a GPU before their losses are read


@dataclass
class Progress:
    """How far training has come: all of it goes into the checkpoint.

    Parameters
    ----------
    epoch
        Number of the present epoch, from 0.
    step
        Batches that are done in the present epoch.
    loss_sum
        Sum of the losses of the images in ``images``.
    images
        Images that the present epoch has shown.
    seconds
        Time that the present epoch has taken [s].
    best
        The best validation score so far, see the recipe's ``criterion``.
    best_epoch
        Number of the epoch that has it; -1 for none.
    history
        Rows of history.csv, one for each epoch that is done.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    images: int = 0
    seconds: float = 0.0
    best: float = math.inf
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """A network with its data, its optimiser and its progress.

    Parameters
    ----------
    settings
        Settings of the training.
    scaler
        Means and standard deviations by which targets are standardised.
    examples
        The source of training images.
    validation
        Images and targets of the validation split.
    fabric
        The process's device, and the other processes.
    state
        Folder of the checkpoint.

    Attributes
    ----------
    parallel : Module
        The network that is trained, whose gradients are averaged over all processes; its weights are those of
        ``network``.
    averaged : Module
        What is validated and kept: the average of the weights over the last steps, or ``network`` itself.
    """

    def __init__(
        self,
        settings: TrainSettings,
        scaler: Scaler,
        examples: Examples,
        validation: StoredImages,
        fabric: Fabric,
        state: Path,
    ) -> None:
        self.settings, self.recipe, self.seed = settings, settings.recipe, settings.seed
        self.fabric, self.device, self.checkpoints = fabric, str(fabric.device), Checkpoints(state)
        self.best: dict[str, Tensor] | None = None  # weights of the best epoch, until a checkpoint takes them
        self.scaler, self.examples, self.validation = scaler, examples, validation
        self.mean, self.sd = (
            torch.tensor([values[name] for name in TARGET_NAMES]).to(self.device, torch.float64)
            for values in (scaler.mean, scaler.sd)
        )
        self.validation_targets = self._standardised(validation.targets)

        torch.manual_seed(derive(self.seed, "weights"))
        outputs = gaussian.output_count(settings.network.posterior, len(TARGET_NAMES))
        self.network = build_network(settings.network, outputs).to(self.device)
        self.norm = self._fitted_norm()
        self.validation.stored.normalised(self.norm)
        self.format = memory_format(self.network)
        self.network.to(memory_format=self.format)
        if fabric.world_size > 1 and self.device != "cpu":
            self.network = nn.SyncBatchNorm.convert_sync_batchnorm(self.network)
        self.averaged = copy.deepcopy(self.network) if self.recipe.average > 0 else self.network
        self.followers = Followers(self.averaged, self.network)
        self.matrices = target_matrices(TARGET_NAMES).to(self.device, torch.float64)
        self.parallel, self.optimizer = self._set_up()
        self.steps = math.ceil(len(examples) / self.recipe.batch_size)  # an epoch
        self.progress = Progress()
        self.signals: list[int] = []  # that ask to stop
        self.pending: list[tuple[Tensor, int]] = []  # losses not yet read, and of how many images
        self.wait = 1 if self.device == "cpu" else LOSSES_PENDING

    def _set_up(self) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The network and its optimiser as Fabric runs them."""
        forward = cast(nn.Module, torch.compile(self.network, dynamic=False)) if self.recipe.compile else self.network
        return self.fabric.setup(forward, _optimizer(self.network, self.recipe))

    def _fitted_norm(self) -> PixelNorm | None:
        """The normalisation of the inputs by training images, if the recipe has one."""
        cameras = self.examples.stored.cameras
        names = group_names(self.recipe.normalise, cameras)
        if not names:
            return None
        norm = PixelNorm(self.settings.network.image_size, names).to(self.device)
        for name in names:
            norm.fit(name, self._sample(name))
        self.groups = norm.groups(self.examples.psfs, cameras).to(self.device)
        return norm

    def _sample(self, name: str) -> Tensor:
        """Training images (n, 3, S, S) of a group, symmetries included, from seeds of their own."""
        inputs = self.examples.stored
        generator = torch.Generator().manual_seed(derive(self.seed, "sample"))
        of = members(name, inputs.psfs, inputs.cameras)
        rows = of[torch.randperm(len(of), generator=generator)[:SAMPLE]]
        noise = torch.Generator(self.device).manual_seed(derive(self.seed, "sample noise"))
        images = torch.cat([inputs.batch(part, noise) for part in rows.split(VALIDATION_BATCH)])
        return torch.cat([turn_image(images, symmetry) for symmetry in GROUPS[self.recipe.symmetries]])

    def _standardised(self, targets: Tensor) -> Tensor:
        """Targets (B, K) in their own units to standardised ones, float32."""
        return ((targets - self.mean) / self.sd).float()

    def say(self, line: str) -> None:
        """Print a line, once for all processes (Fabric's own print does it once a node)."""
        if self.fabric.is_global_zero:
            print(line, flush=True)

    def train(self, output: Path) -> None:
        """Train, and write the model's files once for all processes.

        Parameters
        ----------
        output
            Folder of the model.

        Raises
        ------
        LensvitError
            If the loss is not finite or training diverges, and where a signal ends it.
        """
        self.run()
        if self.fabric.is_global_zero:
            self.write(output)

    def run(self) -> None:
        """Train to the last epoch, from the checkpoint where there is one."""
        self.resume()
        self.say(
            f"{self.settings.network.architecture}: {trainable_parameters(self.network):,} trainable parameters, "
            f"{self.recipe.precision} on {self.fabric.world_size} x {self.device}, training with {self.examples}, "
            f"from epoch {self.progress.epoch}"
        )
        try:
            with _stop_signals() as self.signals:
                while self.progress.epoch < self.recipe.epochs:
                    self.train_epoch()
                    self.end_epoch(*self.validate())
                    last = self.progress.epoch == self.recipe.epochs
                    if last or self.checkpoints.none_yet or self.checkpoints.due():
                        self.save()
        finally:
            self.checkpoints.wait()

    def train_epoch(self) -> None:
        """Do the remaining steps of the present epoch."""
        progress = self.progress
        order = epoch_order(self.seed, progress.epoch, len(self.examples))
        started = time.monotonic()
        before = progress.seconds
        self.parallel.train()
        bar = tqdm(
            range(progress.step, self.steps),
            initial=progress.step,
            total=self.steps,
            desc=f"epoch {progress.epoch + 1}/{self.recipe.epochs}",
            mininterval=0.1 if sys.stderr.isatty() else 20,
            leave=False,
            disable=not self.fabric.is_global_zero,
        )
        for step in bar:
            rows = order[step * self.recipe.batch_size : (step + 1) * self.recipe.batch_size]
            self.pending.append((self.train_step(rows, step), len(rows)))
            progress.step = step + 1
            if len(self.pending) >= self.wait:
                self.book_losses()
            progress.seconds = before + time.monotonic() - started
            due = self.fabric.is_global_zero and self.checkpoints.due()
            anyone_due, number = agree(self.fabric, due, self.signals[0] if self.signals else 0)
            if number:
                self.stop(signal.Signals(number))
            if anyone_due:
                self.save()
        self.book_losses()
        progress.seconds = before + time.monotonic() - started

    def book_losses(self) -> None:
        """Add the losses of the last steps to the epoch's; reading one waits for the device.

        Raises
        ------
        LensvitError
            If a loss is not finite.
        """
        progress = self.progress
        for number, (loss, count) in enumerate(self.pending, start=progress.step + 1 - len(self.pending)):
            value = cast(Tensor, self.fabric.all_reduce(loss, reduce_op="mean")).item()
            if not math.isfinite(value):
                raise LensvitError(
                    f"the loss is {value} at epoch {progress.epoch + 1}, step {number}: lower the recipe's "
                    f"learning_rate ({self.recipe.learning_rate}), set clip_norm, or choose another stretch than "
                    f"{self.recipe.stretch}"
                )
            progress.loss_sum += value * count
            progress.images += count
        self.pending.clear()

    def train_step(self, rows: Tensor, step: int) -> Tensor:
        """Do one step of the optimiser.

        Parameters
        ----------
        rows
            Places (B,) in the training split of the batch for all processes.
        step
            Number of the batch in the epoch, from 0.

        Returns
        -------
        Tensor
            This process's part of the loss before the step, a scalar on the device.
        """
        epoch, rank, size = self.progress.epoch, self.fabric.global_rank, self.fabric.world_size
        torch.manual_seed(derive(self.seed, "dropout", epoch, step * size + rank))
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(epoch * self.steps + step)
        share = share_of(len(rows), rank, size)
        weight = len(rows[rank::size]) * size / len(rows)
        images, targets = self.examples.batch(epoch, step, rows, share)
        images, targets = augment(images, targets, self._symmetries(len(rows), step)[share], self.matrices)
        if self.norm is not None:
            images = self.norm(images, self.groups[send(self.device, rows[share])[0]])
        images = images.contiguous(memory_format=self.format)
        loss = weight * gaussian_nll(self.parallel(images).float(), self._standardised(targets))
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        if self.recipe.average > 0:
            done = epoch * self.steps + step
            self.followers.follow(1 - min(self.recipe.average, (1 + done) / (10 + done)))
        return loss.detach()

    def _symmetries(self, count: int, step: int) -> Tensor:
        """The symmetry of each image of a batch, (count,)."""
        last = self.recipe.symmetries_until * self.recipe.epochs * self.steps
        if self.progress.epoch * self.steps + step >= last:
            return torch.full((count,), IDENTITY)
        group = torch.tensor(GROUPS[self.recipe.symmetries])
        generator = torch.Generator().manual_seed(derive(self.seed, "symmetry", self.progress.epoch, step))
        return group[torch.randint(len(group), (count,), generator=generator)]

    def learning_rate(self, step: int) -> float:
        """The learning rate at a step counted over the whole training."""
        total = self.recipe.epochs * self.steps
        warmup = self.recipe.warmup * total
        rise = min(1.0, (step + 1) / warmup) if warmup > 0 else 1.0
        if self.recipe.schedule == "constant":
            return self.recipe.learning_rate * rise
        share = max(0.0, (step - warmup) / max(1.0, total - warmup))
        return self.recipe.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * share))

    @torch.no_grad()
    def validate(self) -> tuple[float, float]:
        """The loss and the mean squared error on the validation split, with dropout off, the same for all processes.

        Each process predicts every n-th image, with the statistics that the first process has in its batch norms.
        """
        self.averaged.eval()
        inputs, rank, size = self.validation.stored, self.fabric.global_rank, self.fabric.world_size
        if size > 1:
            for buffer in self.averaged.buffers():
                distributed.broadcast(buffer, 0)
        share = torch.arange(rank, size * math.ceil(len(inputs) / size), size) % len(inputs)
        with self.fabric.autocast():
            batches = (
                inputs.batch(rows).contiguous(memory_format=self.format) for rows in share.split(VALIDATION_BATCH)
            )
            mine = torch.cat([self.averaged(batch).float() for batch in batches])
        output = gathered(self.fabric, mine)[: len(inputs)]
        scores = (
            gaussian_nll(output, self.validation_targets).item(),
            mean_squared_error(output, self.validation_targets).item(),
        )
        return self.fabric.broadcast(scores)  # so that no rounding lets processes decide differently

    def end_epoch(self, validation_loss: float, validation_mse: float) -> None:
        """Add the epoch to the history, keep its weights if they are the best, and go on to the next epoch.

        Parameters
        ----------
        validation_loss
            Negative log-likelihood on the validation split.
        validation_mse
            Mean squared error of the standardised targets there.

        Raises
        ------
        LensvitError
            If training diverges.
        """
        progress = self.progress
        progress.history.append(
            {
                "epoch": progress.epoch + 1,
                "train_loss": progress.loss_sum / progress.images,
                "validation_loss": validation_loss,
                "validation_mse": validation_mse,
                "lr": self.learning_rate((progress.epoch + 1) * self.steps - 1),
                "seconds": progress.seconds,
                "images_per_second": progress.images / max(progress.seconds, 1e-9),
            }
        )
        self.say(_line(progress.history[-1]))
        score = validation_mse if self.recipe.criterion == "mse" else validation_loss
        if score < progress.best:
            progress.best, progress.best_epoch = score, progress.epoch
            if self.fabric.is_global_zero:
                self.best = on_host(self.averaged.state_dict())
        _stop_if_diverged(progress.history, self.recipe)
        progress.epoch += 1
        progress.step, progress.loss_sum, progress.images, progress.seconds = 0, 0.0, 0, 0.0

    def save(self) -> None:
        """Begin to write the checkpoint; the first process does it for all."""
        self.book_losses()
        if not self.fabric.is_global_zero:
            return
        content = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
        }
        self.checkpoints.write(content, self.progress.best_epoch, self.best)
        self.best = None

    def stop(self, number: signal.Signals) -> NoReturn:
        """Write the checkpoint and end, as a scheduler's signal asks.

        Raises
        ------
        LensvitError
            Always.
        """
        self.save()
        self.checkpoints.wait()
        self.fabric.barrier()  # where one process ends, SLURM ends the others
        raise LensvitError(
            f"stopped by {number.name} in epoch {self.progress.epoch + 1} after step "
            f"{self.progress.step}; the checkpoint is written and the same command goes on from it"
        )

    def resume(self) -> None:
        """Take up the checkpoint of the same inputs, if there is one.

        Raises
        ------
        LensvitError
            If the checkpoint is broken, or the nodes do not see the same one.
        """
        path = self.checkpoints.path
        if path.exists():
            self._load()
        done = self.progress.epoch * self.steps + self.progress.step
        most, least = agree(self.fabric, done, -done)
        if most != -least:
            raise LensvitError(f"the nodes do not see the same {path}: their shared disk lags; start the job again")
        if done:
            self.say(f"resumed from {path}: epoch {self.progress.epoch + 1}, step {self.progress.step}")

    def _load(self) -> None:
        saved = self.checkpoints.read(self.device)
        with reading(self.checkpoints.path, "checkpoint", FRESH.format(folder=self.checkpoints.folder)):
            self.network.load_state_dict(saved["network"])
            self.averaged.load_state_dict(saved["averaged"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.progress = Progress(**saved["progress"])

    def write(self, output: Path) -> None:
        """Write the model's files: the best epoch's weights, what they are, and how they came about.

        Parameters
        ----------
        output
            Folder of the model.
        """
        progress = self.progress
        best = progress.history[progress.best_epoch]
        load_weights(self.network, self.checkpoints.read_best(progress.best_epoch))
        content = TrainedModel(
            network=self.settings.network,
            recipe=self.recipe,
            targets=list(TARGET_NAMES),
            scaler=self.scaler,
            normalised_by=[] if self.norm is None else self.norm.names,
            family=family(self.network),
            dropout_places=places(self.settings.network, self.network),
            parameters=trainable_parameters(self.network),
            systems_seen=self.examples.systems_seen(len(progress.history)),
            best_epoch=best["epoch"],
            best_validation_mse=best["validation_mse"],
        )
        state = self.network.state_dict() if self.norm is None else joined_state(self.network, self.norm)
        save_weights(state, output / "weights.safetensors")
        write_manifest(output / "weights.safetensors")
        write_text(output / "history.csv", pd.DataFrame(progress.history).to_csv(index=False, float_format="%.7g"))
        write_text(output / "provenance.json", self._provenance())
        write_text(output / "config.json", json.dumps(content.model_dump(), indent=1, sort_keys=True) + "\n")
        self.say(f"best epoch {best['epoch']}: validation MSE {best['validation_mse']:.4f}")

    def _provenance(self) -> str:
        gpu = None if self.device == "cpu" else torch.cuda.get_device_name(self.device)
        return provenance(self.device, gpu, sum(row["seconds"] for row in self.progress.history))


class Followers:
    """Weights that follow those of a network slowly, as an average over its last steps (Polyak & Juditsky 1992).

    Parameters
    ----------
    averaged
        A copy of the network, whose weights and statistics are changed.
    network
        The network.
    """

    def __init__(self, averaged: nn.Module, network: nn.Module) -> None:
        pairs = list(zip(averaged.state_dict().values(), network.state_dict().values(), strict=True))
        self.moved = [pair for pair in pairs if pair[0].dtype.is_floating_point]
        self.copied = [pair for pair in pairs if not pair[0].dtype.is_floating_point]

    @torch.no_grad()
    def follow(self, share: float) -> None:
        """Go a share of the way to the present weights; counts become the present ones."""
        if self.moved:
            averages, present = (list(one) for one in zip(*self.moved, strict=True))
            torch._foreach_lerp_(averages, present, share)
        for average, now in self.copied:
            average.copy_(now)


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Yield a list to which SIGTERM and SIGUSR1 are added when they arrive, instead of ending the process."""
    received: list[int] = []
    stop = (signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in stop}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        return torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, fused=True)
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    plain = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed, "weight_decay": recipe.weight_decay}]
    return torch.optim.AdamW([*groups, {"params": plain, "weight_decay": 0.0}], lr=recipe.learning_rate, fused=True)


def _line(row: dict[str, float]) -> str:
    return (
        f"epoch {row['epoch']}: train loss {row['train_loss']:.4f}, validation loss {row['validation_loss']:.4f}, "
        f"validation MSE {row['validation_mse']:.4f}, {row['images_per_second']:.0f} images/s"
    )


def _stop_if_diverged(history: Sequence[dict[str, float]], recipe: Recipe) -> None:
    last = [row["validation_mse"] for row in history[-DIVERGED_EPOCHS:]]
    if len(last) == DIVERGED_EPOCHS and not any(score < DIVERGED_MSE for score in last):
        raise LensvitError(
            f"training diverges: the validation MSE was {', '.join(f'{score:.3g}' for score in last)} in the last "
            f"epochs, where the prior's mean has 1: lower the recipe's learning_rate ({recipe.learning_rate}), set "
            f"clip_norm, or choose another stretch than {recipe.stretch}"
        )
