"""What jobs with a network ask a machine or a scheduler for."""

from __future__ import annotations

from lensvit.config.schema import Run, systems_of
from lensvit.errors import LensvitError
from lensvit.learning.settings import Recipe, kept_bytes, prepared_as

# MB for a process without its images: torch, its libraries and CUDA's; on a CPU activations too
PROCESS = {"gpu": 7000, "cpu": 6000}
# MB for processes that draw systems ahead where a training streams, one a thread (eight in profiles/slurm): an estimate
DRAWING = 8 * 500


def check_gpus(run: Run, at_once: int | None) -> None:
    """Check that no training asks for more GPUs than Snakemake may use at once.

    Snakemake starts such a job all the same and tells it of fewer.

    Parameters
    ----------
    run
        The whole config.
    at_once
        Snakemake's resource ``gpu``; None if it has no bound.

    Raises
    ------
    LensvitError
        If one does.
    """
    if run.device == "cpu" or at_once is None:
        return
    for name, network in run.networks.items():
        wanted = network.gpus * network.nodes
        if wanted > at_once:
            raise LensvitError(
                f"config: models.{name} is trained by {wanted} GPUs, and Snakemake may use {at_once} at once: "
                f"--resources gpu={wanted} (in profiles/default and profiles/gpu too), or lower its gpus or nodes"
            )


def training_memory(run: Run, name: str) -> int:
    """Memory [MB] of the computer that a training takes on one node.

    Each process may have to keep all images where they do not fit on its GPU.

    Parameters
    ----------
    run
        The whole config.
    name
        Key of the network in ``run.networks``.
    """
    network = run.networks[name]
    splits = ("validation",) if run.training.stream else ("train", "validation")
    images = sum(_images(run, name, split) for split in splits)
    processes = network.gpus if run.device == "gpu" else 1
    # on one node its processes share the job's threads; on several, each has as many
    drawing = DRAWING * (processes if network.nodes > 1 else 1) if run.training.stream else 0
    return processes * (PROCESS[run.device] + round(images / 1e6)) + drawing


def _images(run: Run, name: str, split: str) -> int:
    """Memory of the images of a split as a training keeps them [byte]."""
    recipe, size = run.recipe(name), run.networks[name].image_size
    return sum(
        systems_of(run, psf, split) * _image(recipe, run.instruments[entry.instrument].pixels, size, split)
        for psf, entry in run.psfs.items()
    )


def _image(recipe: Recipe, pixels: int, size: int, split: str) -> int:
    fresh = split == "train" and recipe.noise == "fresh"
    kept = prepared_as(recipe, pixels, size, fresh=fresh)
    return kept_bytes(kept, pixels if kept == "native" else size)
