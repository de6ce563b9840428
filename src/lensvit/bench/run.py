"""``lensvit bench``: how fast this package is on this machine, and against the original's way of doing the same."""

from __future__ import annotations

import importlib
from pathlib import Path

from lensvit.config.run import load
from lensvit.errors import LensvitError
from lensvit.jobs.devices import known_device, memory_advice

# name -> the module whose `run(images, output)` measures it, or with models `run(images, output, config, device)`
BENCHMARKS = {
    "simulate": "lensvit.bench.simulation",
    "posterior": "lensvit.bench.posterior",
    "importance": "lensvit.bench.importance",
}
MODEL_BENCHMARKS = {"train": "lensvit.bench.train", "evaluate": "lensvit.bench.evaluate"}
DEMO = [Path("config.yaml"), Path("runs/demo.yaml")]


def main(
    what: str = "simulate", images: int = 400, output: Path | None = None, files: list[Path] = DEMO, device: str = "cpu"
) -> None:
    """Measure one stage: images/s, share of the device's peak where that is known, and memory.

    ``simulate`` and the input pipeline of ``train`` are compared with the original's way, Monte-Carlo dropout
    (``evaluate``) with the bare forward passes, a likelihood call near a maximum with one anywhere (``posterior``), and
    exact posteriors with Markov chains of equal effective size (``importance``, some minutes).
    Training and evaluation are measured for every model of a config.

    Parameters
    ----------
    what
        simulate, posterior, importance, train or evaluate.
    images
        Number of images that each way handles; of likelihood calls for posterior; of steps of the chains for
        importance.
    output
        The CSV file; nothing is written without it.
    files
        The config for train and evaluate, later files over earlier ones.
    device
        "cpu" or "gpu", for train and evaluate.

    Raises
    ------
    LensvitError
        If there is no benchmark of this name, too few images to measure, or no such device.
    """
    if what not in BENCHMARKS | MODEL_BENCHMARKS:
        raise LensvitError(f"no benchmark {what!r}; there are: {', '.join(BENCHMARKS | MODEL_BENCHMARKS)}")
    if images < 2:
        raise LensvitError(f"--images {images}: 2 is the least")
    if what in BENCHMARKS:
        importlib.import_module(BENCHMARKS[what]).run(images, output)
    else:
        known_device(device)  # before anything is measured
        with memory_advice("batch_size in the recipe (train) or evaluation (evaluate)"):
            importlib.import_module(MODEL_BENCHMARKS[what]).run(images, output, load(*files), device)
