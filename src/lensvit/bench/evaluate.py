"""Monte-Carlo dropout of every model of a config against the bare forward passes of the same network, in turn."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from lensvit.bench.device import forget_memory, operations, row, timed
from lensvit.bench.table import publish
from lensvit.config.schema import Run
from lensvit.config.stages import stage_settings as cut
from lensvit.io.scaler import Scaler
from lensvit.jobs.fabric import arithmetic, launch
from lensvit.learning import gaussian
from lensvit.learning.architectures import build_network
from lensvit.learning.evaluate import TargetScale, predict, write_draws
from lensvit.learning.mc_dropout import monte_carlo
from lensvit.learning.settings import EvaluateSettings, TrainSettings
from lensvit.parameters import TARGET_NAMES

PASSES = 20
ROUNDS = 5


class _Prepared:
    """Inputs (n, 3, S, S) that are on the device already, so that both ways measure the passes alone."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Tensor) -> Tensor:
        """The inputs (B, 3, S, S) of some rows (B,)."""
        return self.images[rows]


def run(images: int, output: Path | None, config: Run, device: str) -> None:
    """Measure passes over random images, in a table with two rows for each model and the ratio in the second.

    Parameters
    ----------
    images
        Number of images.
    output
        The CSV file; nothing is written without it.
    config
        The config whose models are measured.
    device
        "cpu" or "gpu".
    """
    table: list[dict[str, object]] = []
    for model in config.models:
        table += _model(config, model, images, device)
    publish(table, output)


def _model(config: Run, model: str, images: int, device: str) -> list[dict[str, object]]:
    """The two rows of one model."""
    settings = TrainSettings(**cut(config, f"train/{model}")).network
    choice = EvaluateSettings(**{**cut(config, f"evaluate/{model}"), "passes": PASSES})
    precision = arithmetic(choice.precision, device)
    with launch(device, 1, precision) as fabric:
        place = str(fabric.device)
        forget_memory(place)  # of the model before
        outputs = gaussian.output_count(settings.posterior, len(TARGET_NAMES))
        network = monte_carlo(build_network(settings, outputs).to(place), choice.batch_norm)
        inputs = torch.randn(images, 3, settings.image_size, settings.image_size, device=place)
        pairs = [_pair(network, inputs, choice, fabric) for _ in range(ROUNDS + 1)][1:]  # the first warms up
        flop = operations(network, inputs[:1])
        bare, ours = (float(np.median(column)) for column in zip(*pairs, strict=True))
        case = f"{model}, batch {choice.batch_size}, {settings.image_size} px, {precision}"
        rows = [
            row(f"{way} {case}", PASSES * images, seconds, flop, place, precision)
            for way, seconds in (("bare passes of", bare), ("evaluating", ours))
        ]
    rows[1]["ratio"] = float(np.median([forward / evaluation for forward, evaluation in pairs]))
    return rows


def _pair(network: nn.Module, inputs: Tensor, choice: EvaluateSettings, fabric: Fabric) -> tuple[float, float]:
    """Time of the bare passes and of the evaluation, one after the other [s]."""
    place = str(fabric.device)
    bare = timed(lambda: _bare(network, inputs, choice, fabric), place)
    return bare, timed(lambda: _evaluated(network, inputs, choice, fabric), place)


@torch.inference_mode()
def _bare(network: nn.Module, inputs: Tensor, choice: EvaluateSettings, fabric: Fabric) -> None:
    """Run all passes, and leave their outputs alone."""
    with fabric.autocast():
        for _ in range(choice.passes):
            for batch in inputs.split(choice.batch_size):
                network(batch)


def _evaluated(network: nn.Module, inputs: Tensor, choice: EvaluateSettings, fabric: Fabric) -> None:
    """Do all that the stage does once the inputs are on the device, the file of draws included."""
    scale = TargetScale(Scaler(mean=dict.fromkeys(TARGET_NAMES, 0.0), sd=dict.fromkeys(TARGET_NAMES, 1.0)))
    ids = pd.Series([str(number) for number in range(len(inputs))])
    with tempfile.TemporaryDirectory() as folder:
        batches = predict(network, _Prepared(inputs), choice, fabric)
        write_draws(Path(folder) / "draws.h5", batches, choice, scale, ids)
