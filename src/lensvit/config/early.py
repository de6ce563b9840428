"""What a run has tried before its first job: its networks, and PSF files of users (:mod:`lensvit.workflow.checks`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from lensvit.config.products import run_folder
from lensvit.config.run import load
from lensvit.config.schema import Run, Sample
from lensvit.config.stages import stage_settings
from lensvit.errors import LensvitError
from lensvit.io.settings import canonical
from lensvit.jobs.sources import code
from lensvit.learning.settings import Architecture
from lensvit.psf.settings import FitsKernel, FitsPsf, LibraryKernel, LibraryPsf
from lensvit.workflow.checks import Check, NetworkCheck, PsfCheck, check

MEMORY = Path(".snakemake/checked")  # what has passed


def check_early(
    run: Run, say: Callable[[str], object], memory: Path = MEMORY, code_of: Callable[[str], str] = code
) -> None:
    """Try what cannot be checked by reading the config alone.

    Parameters
    ----------
    run
        The whole config.
    say
        Shows a line to the user.
    memory
        File of what has passed.
    code_of
        The digest of a module's code, see :func:`lensvit.jobs.sources.code`.

    Raises
    ------
    LensvitError
        One line for each network and each PSF that cannot be used, and for each file of a lens that is not there.
    """
    # snakemake takes a lens whose files are gone as done, if its results are there
    gone = [
        f"config: observations.{name}: there is no file {path}"
        for name, lens in run.observations.items()
        for path in lens.files
        if not Path(path).is_file()
    ]
    if gone:
        raise LensvitError("\n".join(gone))
    check(wanted(run), memory, say, code_of)


def wanted(run: Run) -> dict[str, Check]:
    """Key in the config to what is tried, for every network that the run trains and every PSF of a file."""
    found: dict[str, Check] = {}
    for name in run.psfs:
        if isinstance(run.psfs[name], FitsPsf):
            kind = LibraryKernel if isinstance(run.psfs[name], LibraryPsf) else FitsKernel
            found[f"psfs.{name}"] = PsfCheck(psf=kind(**stage_settings(run, f"psf/{name}")))
    for name in run.networks:
        settings = stage_settings(run, f"train/{name}")["network"]
        attends = name == run.figures.attention_model
        found[f"models.{name}"] = NetworkCheck(
            network=Architecture(**settings | ({"weights": "scratch"} if _is_trained(run, name, settings) else {})),
            alone=next(_alone(run, name), None),
            layer=run.figures.attention_layer if attends else None,
        )
    return found


def _is_trained(run: Run, name: str, settings: dict[str, Any]) -> bool:
    """Whether the network is there with these settings, so that the weights that it started from are not needed."""
    path = Path(run_folder(run), "models", name, "config.json")
    try:
        return canonical(json.loads(path.read_text(encoding="utf-8"))["network"]) == settings
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _alone(run: Run, name: str) -> Iterator[str]:
    """Where a network is given one image alone in train mode, and what to do about it."""
    for sample in run.given_images():
        if sample.network == name and sample.is_trained_on:
            yield from _alone_in_training(run, sample)
        elif sample.network == name and run.evaluation.batch_norm == "batch":
            size = run.evaluation.batch_size
            if 1 in _batches(sample.images, size):
                yield (
                    f"{sample.key} makes {sample.images} images in batches of {size}, and so a batch of one: change "
                    "evaluation.batch_size, or set evaluation.batch_norm: frozen"
                )


def _alone_in_training(run: Run, sample: Sample) -> Iterator[str]:
    network, size = run.networks[sample.network], run.recipe(sample.network).batch_size
    processes = network.nodes * (network.gpus if run.device == "gpu" else 1)
    if run.device == "gpu" and processes > 1:
        return  # batch normalisation is over the images of all processes
    if any(count // processes <= 1 for count in _batches(sample.images, size)):
        among = f" on {processes} nodes" if processes > 1 else ""
        yield (
            f"{sample.key} makes {sample.images} images in batches of {size}{among}, and so a batch of one: change the "
            "recipe's batch_size"
        )


def _batches(images: int, size: int) -> set[int]:
    """The sizes of the batches of so many images."""
    return {min(size, images), images % size or min(size, images)}


def main(files: list[Path]) -> None:
    """Check config files (the later over the earlier) as a run does, and print the run as resolved."""
    run = load(*files)
    check_early(run, lambda line: print(line, file=sys.stderr))
    print(yaml.safe_dump(canonical(run), sort_keys=False), end="")
