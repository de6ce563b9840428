"""Pretrained weights: whether the cache or the hub has those that the config asks for. Nothing is downloaded."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from lensvit.doctor import slurm
from lensvit.doctor.answers import Answer, Case, right, unknown, wrong
from lensvit.errors import LensvitError
from lensvit.io.files import first_line
from lensvit.learning.settings import Architecture

SECONDS = 10.0  # for an answer from afar
# files of weights of a model of the hub, of which one is enough
FILES = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "pytorch_model.bin.index.json")
VARIABLES = ("HF_HOME", "TORCH_HOME", "HF_HUB_OFFLINE")
FILL = "fill the cache where there is a connection (docs/slurm.md), give the path of a folder, or set weights: scratch"


def weights(case: Case) -> Iterator[Answer]:
    """A line for each model's weights."""
    shown = ", ".join(f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ)
    for name, network in case.run.models.items():
        what = f"weights of {name}"
        if network.weights == "scratch":
            yield right(what, "random ones, which need no hub")
        elif network.weights != "pretrained":
            if Path(network.weights).exists():
                yield right(what, f"{network.weights} is there")
            else:
                yield wrong(what, f"there is no file or folder {network.weights}: mend models.{name}.weights")
        else:
            look = _of_transformers if network.library == "transformers" else _of_torchvision
            try:
                answer = look(what, network, shown or f"none of {', '.join(VARIABLES)} is set")
            except (LensvitError, ValueError) as error:  # HFValidationError, for what is no name of the hub, is one
                answer = wrong(what, first_line(error))
            yield answer


def _of_transformers(what: str, network: Architecture, shown: str) -> Answer:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

    source = network.architecture
    if Path(source).is_dir():
        return right(what, f"the folder {source} is there")
    cached = [name for name in ("config.json", *FILES) if isinstance(try_to_load_from_cache(source, name), str)]
    if "config.json" in cached and len(cached) > 1:
        return right(what, f"{source} is in the cache {constants.HF_HUB_CACHE} ({shown})")
    absent = f"{source} is not in the cache {constants.HF_HUB_CACHE} ({shown})"
    if constants.HF_HUB_OFFLINE:
        return wrong(what, f"{absent}, and the hub is not to be asked: {FILL}")
    try:
        for name in FILES:
            try:
                get_hf_file_metadata(hf_hub_url(source, name), timeout=SECONDS)
            except EntryNotFoundError:
                continue
            return _far(right(what, f"{absent}; the hub has it, and a training fetches it"))
    except (RepositoryNotFoundError, GatedRepoError) as error:
        return wrong(what, f"{absent}, and the hub does not give it ({first_line(error)}): {FILL}")
    except Exception as error:  # of whichever library makes the connection
        return _far(wrong(what, f"{absent}, and the hub does not answer ({first_line(error)}): {FILL}"))
    return wrong(what, f"{absent}, and the hub has no weights of it: set weights: scratch, or another architecture")


def _of_torchvision(what: str, network: Architecture, shown: str) -> Answer:
    import torch

    from lensvit.learning.from_torchvision import best_weights

    url = best_weights(network).url
    folder = Path(torch.hub.get_dir(), "checkpoints")
    name = url.rpartition("/")[2]
    if (folder / name).is_file():
        return right(what, f"{folder / name} is there ({shown})")
    absent = f"{name} is not in {folder} ({shown})"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=SECONDS):
            return _far(right(what, f"{absent}; torchvision's server has it, and a training fetches it"))
    except OSError as error:
        return _far(wrong(what, f"{absent}, and torchvision's server does not give it ({first_line(error)}): {FILL}"))


def _far(answer: Answer) -> Answer:
    """A line on what is fetched, of which a login node knows nothing for the nodes where trainings run."""
    if not slurm.is_login_node():
        return answer
    there = f"this is a login node; what the others reach shows there: {slurm.ON_A_NODE}"
    return unknown(answer.what, f"{answer.said}; {there}")
