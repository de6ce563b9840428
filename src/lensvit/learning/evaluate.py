"""The evaluation stage: from a trained network to draws of the parameters of a split's systems.

Each pass of Monte-Carlo dropout runs the network once over the systems with dropout on and draws once from
the Gaussian that it predicts (Perreault Levasseur, Hezaveh & Wechsler 2017). Every pass over
a batch has a seed of its own, so the draws do not depend on how many passes there are, nor on
how they are shared among devices.

Beside the draws the summary has what the network without dropout predicts in the mean over all views of an image, by
the symmetries of its training (:mod:`lensvit.learning.symmetries`). Views err in part independently. They err alike, or
worse, where the PSF is not symmetric, which shows in the lens's centre: whoever uses them has to weigh them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.files import atomic, write_manifest
from lensvit.io.scaler import Scaler
from lensvit.io.settings import read_settings
from lensvit.jobs.devices import memory_advice
from lensvit.jobs.fabric import arithmetic, gathered, launch
from lensvit.jobs.seeds import derive
from lensvit.learning import gaussian
from lensvit.learning.architectures import load_network, memory_format
from lensvit.learning.inputs import Inputs
from lensvit.learning.mc_dropout import before_dropout, monte_carlo, remembering
from lensvit.learning.settings import Architecture, EvaluateSettings
from lensvit.learning.symmetries import GROUPS, target_matrices, turn_image
from lensvit.parameters import TARGET_NAMES

CHUNK_PASSES = 64  # passes in one chunk of the HDF5 file


def evaluate(
    settings: Path,
    catalog: Path,
    images: Path,
    model: Path,
    output: Path,
    split: str = "test",
    device: str = "cpu",
    threads: int = 1,
    processes: int = 1,
) -> None:
    """Predict a split with MC dropout: draws in ``output`` (.h5), their summary beside it (.parquet).

    Parameters
    ----------
    settings
        The stage's settings: seed, passes, batch_size, batch_norm, precision, compile.
    catalog
        The run's catalogue.
    images
        The run's folder of images.
    model
        Folder with weights.safetensors and config.json.
    output
        predictions/{model}.h5.
    split
        Split of the catalogue that is predicted: test or validation.
    device
        "cpu" or "gpu".
    threads
        Threads of the CPU for each process.
    processes
        Processes, one for each device. They share the passes, and the draws are those of one process.

    Raises
    ------
    LensvitError
        If files are broken, no GPU is there, or its memory is too small.
    """
    torch.set_num_threads(threads)
    choice = read_settings(settings, EvaluateSettings)
    rows = tables.read_catalog(catalog)
    rows = rows[rows["split"] == split].reset_index(drop=True)
    advice = memory_advice(f"evaluation.batch_size ({choice.batch_size})")
    with launch(device, processes, arithmetic(choice.precision, device)) as fabric, advice:
        network, norm, config = load_network(model)
        inputs = Inputs(rows, images, config.recipe, config.network.image_size, device=str(fabric.device))
        inputs.normalised(None if norm is None else norm.to(fabric.device))
        scale, network = TargetScale(config.scaler), network.to(fabric.device).eval()
        # before the passes, which may change the statistics of batch normalisation
        if fabric.is_global_zero:
            views = view_means(network, inputs, config.recipe.symmetries, choice.batch_size, scale, fabric)
        network = monte_carlo(network, choice.batch_norm)
        batches = varying(predict(network, inputs, choice, fabric), config.network)
        if not fabric.is_global_zero:
            for _ in batches:
                pass
            return
        with atomic(Path(output)) as path:
            moments = write_draws(path, batches, choice, scale, rows["id"])
    with atomic(Path(output).with_suffix(".parquet")) as path:
        _summary(rows, *moments, views).to_parquet(path, index=False)
    write_manifest(Path(output))
    write_manifest(Path(output).with_suffix(".parquet"))


class NetworkInputs(Protocol):
    """Inputs of n systems; :class:`lensvit.learning.inputs.Inputs` reads them from files."""

    def __len__(self) -> int: ...

    def batch(self, rows: Tensor) -> Tensor:
        """The inputs (B, 3, S, S) of the systems ``rows`` (B,)."""


class TargetScale:
    """Means and standard deviations (K,) that bring standardised targets to their own units.

    Parameters
    ----------
    scaler
        The same by name.
    """

    def __init__(self, scaler: Scaler) -> None:
        self.mean = np.array([scaler.mean[name] for name in TARGET_NAMES])
        self.sd = np.array([scaler.sd[name] for name in TARGET_NAMES])


Moments = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def write_draws(
    path: Path,
    batches: Iterator[tuple[Tensor, Tensor]],
    settings: EvaluateSettings,
    scale: TargetScale,
    ids: pd.Series,
) -> Moments:
    """Draw targets for one batch of outputs after the other, and write the draws into an HDF5 file.

    Parameters
    ----------
    path
        The file, with ``draws`` (passes, n, K), ``id`` (n,) and the names of the targets.
    batches
        What :func:`predict` yields.
    settings
        Settings of the stage.
    scale
        Scale of the targets.
    ids
        Names of the n systems.

    Returns
    -------
    mean : ndarray
        Mean of the draws (n, K), as all of these in the targets' own units.
    sigma : ndarray
        Standard deviation of the draws (n, K).
    aleatoric : ndarray
        Standard deviation that the network predicts, as the root of the mean variance over the passes (n, K).
    epistemic : ndarray
        Standard deviation of the predicted means over the passes (n, K).
    """
    shape = (settings.passes, len(ids), len(TARGET_NAMES))
    chunks = (min(CHUNK_PASSES, settings.passes), min(settings.batch_size, len(ids)), len(TARGET_NAMES))
    moments: list[Moments] = []
    with h5py.File(path, "w") as file:
        file["id"] = ids.to_list()
        file.attrs["targets"] = json.dumps(TARGET_NAMES)
        draws = file.create_dataset("draws", shape, "f4", chunks=chunks)
        for number, (rows, output) in enumerate(batches):
            normal = [
                np.random.default_rng(derive(settings.seed, "draw", one, number)).standard_normal((len(rows), shape[2]))
                for one in range(settings.passes)
            ]
            mean, variance, draw = gaussian.draw_targets(output, np.stack(normal))  # (passes, B, K) each, standardised
            draws[:, rows[0] : rows[-1] + 1] = scale.mean + scale.sd * draw
            moments.append(
                (
                    scale.mean + scale.sd * draw.mean(0),
                    scale.sd * draw.std(0),
                    scale.sd * np.sqrt(variance.mean(0)),
                    scale.sd * mean.std(0),
                )
            )
    mean, sigma, aleatoric, epistemic = (np.concatenate(part) for part in zip(*moments, strict=True))
    return mean, sigma, aleatoric, epistemic


@torch.no_grad()
def view_means(
    network: nn.Module, inputs: NetworkInputs, symmetries: str, batch_size: int, scale: TargetScale, fabric: Fabric
) -> np.ndarray:
    """The mean over all views of an image of what a network predicts, (n, K) in the targets' own units.

    Parameters
    ----------
    network
        The network in its mode of evaluation: without dropout, with the training's statistics of batch normalisation.
    inputs
        Inputs of the n systems, which are turned after they are normalised: the statistics are those of all views.
    symmetries
        The symmetries of the network's training, a key of :data:`lensvit.learning.symmetries.GROUPS`.
    batch_size
        Images that the network sees at once.
    scale
        Scale of the targets.
    fabric
        The process's device.
    """
    back = np.linalg.inv(target_matrices(TARGET_NAMES).numpy())
    parts = []
    for rows in torch.arange(len(inputs)).split(batch_size):
        images, found = inputs.batch(rows), []
        for symmetry in GROUPS[symmetries]:
            with fabric.autocast():
                output = network(turn_image(images, symmetry).contiguous(memory_format=memory_format(network)))
            mean = gaussian.split_output(output.double().cpu(), len(TARGET_NAMES))[0].numpy()
            found.append((scale.mean + scale.sd * mean) @ back[symmetry].T)
        parts.append(np.mean(found, axis=0))
    return np.concatenate(parts)


def varying(batches: Iterator[tuple[Tensor, Tensor]], network: Architecture) -> Iterator[tuple[Tensor, Tensor]]:
    """Hand on the outputs of all passes, if the passes differ where there is dropout.

    Parameters
    ----------
    batches
        What :func:`predict` yields.
    network
        Settings of the network.

    Raises
    ------
    LensvitError
        If there is dropout, and all passes over the first batch are the same.
    """
    for number, (rows, output) in enumerate(batches):
        asked = network.dropout > 0 or network.attention_dropout > 0
        if asked and number == 0 and torch.equal(output, output[:1].expand_as(output)):
            raise LensvitError(
                f"all {len(output)} passes of Monte-Carlo dropout through {network.architecture} are the same: its "
                "dropout drops nothing that its outputs see; choose another network, or set its dropout: 0"
            )
        yield rows, output


@torch.no_grad()  # in inference mode autocast would cast the weights again in every pass
def predict(
    network: nn.Module, inputs: NetworkInputs, settings: EvaluateSettings, fabric: Fabric
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the outputs of all passes, one batch of systems after the other.

    Of n processes each runs every n-th pass, and all run equally many; passes beyond those that are asked for are left
    out of the result. What the network computes before its first dropout is the same in all passes. It is computed
    once, if the first batch shows that this changes no bit.

    Parameters
    ----------
    network
        The network with dropout on.
    inputs
        Inputs of the systems.
    settings
        Settings of the stage.
    fabric
        The process's device, and the other processes.

    Yields
    ------
    rows : Tensor
        Places (B,) of the batch's systems among all.
    output : Tensor
        Outputs (passes, B, O), float64 on the CPU.
    """
    form = memory_format(network)
    network.to(memory_format=form)
    forward = torch.compile(network, dynamic=False) if settings.compile else network
    everything = torch.arange(len(inputs)).split(settings.batch_size)
    share = range(fabric.global_rank, -(-settings.passes // fabric.world_size) * fabric.world_size, fabric.world_size)
    remember = None
    bar = _bar(len(everything) * settings.passes, fabric)
    for number, rows in enumerate(everything):
        with fabric.autocast():
            batch = inputs.batch(rows).contiguous(memory_format=form)
            if remember is None:
                remember = not settings.compile and _safe_to_remember(network, batch)
            mine: list[Tensor] = []
            known: dict[nn.Module, Tensor] = {}
            for one in share:
                torch.manual_seed(derive(settings.seed, "pass", one, number))
                if remember and not mine:
                    output, known = before_dropout(network, batch)
                else:
                    with remembering(known):
                        output = forward(batch)
                mine.append(output.float())
                bar.update(fabric.world_size)
        yield rows, gathered(fabric, torch.stack(mine))[: settings.passes].double().cpu()
    bar.close()


def _safe_to_remember(network: nn.Module, batch: Tensor) -> bool:
    """Whether remembered outputs of modules change no bit of the network's output.

    It is tried twice, since the network may write into what it remembers.
    """
    few = batch[:2]

    def output() -> Tensor:
        torch.manual_seed(0)
        return network(few)

    plain = output()
    _, known = before_dropout(network, few)
    with remembering(known):
        return torch.equal(output(), plain) and torch.equal(output(), plain)


def _bar(total: int, fabric: Fabric) -> tqdm:
    """A progress bar over the passes of all batches, shown by one process."""
    interval = 0.1 if sys.stderr.isatty() else 20
    return tqdm(total=total, desc="passes", mininterval=interval, leave=False, disable=not fabric.is_global_zero)


def _summary(
    rows: pd.DataFrame,
    mean: np.ndarray,
    sigma: np.ndarray,
    aleatoric: np.ndarray,
    epistemic: np.ndarray,
    views: np.ndarray,
) -> pd.DataFrame:
    """A table with a row for each system and six columns for each target."""
    columns: dict[str, object] = {"id": rows["id"], "psf": rows["psf"]}
    for number, name in enumerate(TARGET_NAMES):
        columns[f"{name}_truth"] = rows[name]
        columns[f"{name}_mean"] = mean[:, number]
        columns[f"{name}_sigma"] = sigma[:, number]
        columns[f"{name}_aleatoric"] = aleatoric[:, number]
        columns[f"{name}_epistemic"] = epistemic[:, number]
        columns[f"{name}_views"] = views[:, number]
    return pd.DataFrame(columns)
