"""MC-dropout evaluation against the bare forward passes of the same network, in turn."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensvit.evaluate import _Scale, _write_draws
from lensvit.files import write_text
from lensvit.networks import build, monte_carlo
from lensvit.parameters import TARGET_NAMES

SIZE = 60
PASSES = 20
ROUNDS = 5
NETWORKS = {
    "vit": ("transformers", "vit", {"patch_size": 10, "hidden_size": 128, "num_hidden_layers": 4,
                                    "num_attention_heads": 4, "intermediate_size": 512}),
    "resnet": ("torchvision", "ResNet", {"block": "BasicBlock", "layers": [1, 1, 1, 1]}),
}  # fmt: skip


class _Prepared:
    """Inputs that are there already, so that both ways measure the passes alone."""

    device = "cpu"

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Tensor) -> Tensor:
        return self.images[rows]


def run(images: int, output: Path | None) -> None:
    """Print seconds of both ways and their ratio, the median over rounds."""
    lines = ["network,bare_seconds,evaluation_seconds,ratio"]
    for name, (library, architecture, options) in NETWORKS.items():
        network = monte_carlo(build(_settings(library, architecture, options), 2 * len(TARGET_NAMES)))
        pairs = [_pair(network, images) for _ in range(ROUNDS + 1)][1:]  # the first warms up
        bare, ours = (float(np.median(column)) for column in zip(*pairs, strict=True))
        ratio = float(np.median([evaluation / forward for forward, evaluation in pairs]))
        lines.append(f"{name},{bare:.3f},{ours:.3f},{ratio:.3f}")
    print("\n".join(lines))
    if output is not None:
        write_text(output, "\n".join(lines) + "\n")


def _settings(library: str, architecture: str, options: dict) -> SimpleNamespace:
    return SimpleNamespace(
        library=library, architecture=architecture, options=options, weights="scratch", dropout=0.1,
        attention_dropout=0.0, pool_grid=1, image_size=SIZE,
    )  # fmt: skip


def _pair(network: torch.nn.Module, count: int) -> tuple[float, float]:
    """Seconds of the bare passes and of the evaluation, one after the other."""
    images = torch.randn(count, 3, SIZE, SIZE)
    started = time.perf_counter()
    with torch.inference_mode():
        for _ in range(PASSES):
            network(images)
    middle = time.perf_counter()
    choice = SimpleNamespace(seed=1, passes=PASSES, batch_size=count)
    scale = _Scale(SimpleNamespace(mean=dict.fromkeys(TARGET_NAMES, 0.0), sd=dict.fromkeys(TARGET_NAMES, 1.0)))
    ids = pd.Series([str(number) for number in range(count)])
    with tempfile.TemporaryDirectory() as folder:
        _write_draws(Path(folder) / "draws.h5", network, _Prepared(images), choice, scale, ids)
    return middle - started, time.perf_counter() - middle
