"""SLURM: whether its partitions, the profile, srun and this node's name are as a run needs them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lensvit.config.products import is_shown
from lensvit.doctor.answers import Answer, Case, right, unknown, wrong
from lensvit.doctor.programs import NoAnswerError, ask, found
from lensvit.errors import LensvitError
from lensvit.io.files import read_yaml

PROFILE = Path("profiles/slurm/config.yaml")
SECONDS = 30.0  # for sinfo
SRUN_SECONDS = 180.0  # for srun, with a Python that imports torch from a shared disk
GPUS = re.compile(r"gpu:(?:([^:,(]+):)?(\d+)")  # in a GRES: gpu:4, gpu:a100:4(S:0-1)
ON_A_NODE = "srun --gpus=1 --cpus-per-task=8 --mem=20G .venv/bin/lensvit doctor"
COUNT = "import torch; print(torch.cuda.device_count())"
# the rules that take a GPU under device: gpu; the second ones where there is a part `shift`
ON_GPUS = ("train", "evaluate", "evaluate_validation")
ON_GPUS_OF_SHIFT = ("left_out_train", "left_out_evaluate", "shift_evaluate")
LISTS = ("default-resources", "set-resources")  # which Snakemake takes as lists too


def is_login_node() -> bool:
    """Whether this is a node of a SLURM cluster, outside of an allocation."""
    if not found("sinfo") or "SLURM_JOB_ID" in os.environ:
        return False
    try:
        return bool(_partitions())
    except NoAnswerError:
        return False


def slurm(case: Case) -> Iterator[Answer]:
    """Partitions and the profile where there is SLURM, and srun and this node's name within an allocation."""
    inside = "SLURM_JOB_ID" in os.environ
    if not inside and not found("sinfo"):
        yield _absent(case)
        return
    try:
        partitions = _partitions()
    except NoAnswerError as reason:
        yield unknown("SLURM partitions", f"{reason}; a run on this machine alone needs none")
    else:
        yield _known(case, partitions)
        yield _profile(case, partitions, stops=not inside)  # within, a run of its own needs no profile
        if case.run.device == "gpu" and not inside:
            yield unknown("srun", f"whether it sees GPUs shows within an allocation: {ON_A_NODE}")
    if inside:
        if case.run.device == "gpu":
            yield _srun(case)
        yield _name(case)


def _over_nodes(case: Case) -> list[str]:
    return [name for name, network in case.run.networks.items() if network.nodes > 1]


def _absent(case: Case) -> Answer:
    models = _over_nodes(case)
    if models:
        return wrong("SLURM", f"there is none here (no sinfo), and models.{models[0]} has nodes above 1: set nodes: 1")
    return right("SLURM", "there is none here (no sinfo), and the run needs none")


def _partitions() -> dict[str, set[str]]:
    """Partition to the types of its GPUs, ``gpu`` for one without a name; the default partition has a star."""
    known: dict[str, set[str]] = {}
    for line in ask(["sinfo", "--noheader", "--format=%P %G"], SECONDS):
        name, _, resources = line.partition(" ")
        known.setdefault(name, set()).update(kind or "gpu" for kind, _ in GPUS.findall(resources))
    return known


def _known(case: Case, partitions: Mapping[str, set[str]]) -> Answer:
    said = "; ".join(f"{name}: {', '.join(sorted(kinds)) or 'no GPUs'}" for name, kinds in partitions.items())
    if case.run.device == "gpu" and not any(partitions.values()):
        return wrong(
            "SLURM partitions",
            f"{said or 'sinfo shows none'}: SLURM knows no GPUs (GresTypes=gpu, which the cluster's administrator "
            "sets): ask for it, or set device: cpu",
        )
    return right("SLURM partitions", said)


def _profile(case: Case, partitions: Mapping[str, set[str]], stops: bool) -> Answer:
    """Whether partitions and GPU models of the profile are those of the cluster; ``stops`` if they have to be."""
    what = f"{PROFILE}"
    try:
        content = read_yaml(PROFILE)
    except LensvitError as error:
        return unknown(what, str(error))
    if not all(isinstance(content.get(key) or {}, dict) for key in LISTS):
        return unknown(what, f"{' or '.join(LISTS)} is a list, which is not read: write key: value")
    common = _mapping(content.get("default-resources"))
    rules = {name: common | _mapping(values) for name, values in _mapping(content.get("set-resources")).items()}
    on_gpus = (*ON_GPUS, *(ON_GPUS_OF_SHIFT if is_shown(case.run, "shift") else ())) if case.run.device == "gpu" else ()
    kinds = {name.rstrip("*"): kinds for name, kinds in partitions.items()}
    default = next((name.rstrip("*") for name in partitions if name.endswith("*")), None)
    for rule, values in {"default-resources": common, **dict.fromkeys(on_gpus, common), **rules}.items():
        asked = str(values.get("slurm_partition") or default or "").split(",")
        strange = [name for name in asked if name and name not in kinds]
        if strange:
            return wrong(
                what,
                f"{rule} asks for the partition {strange[0]}; sinfo shows {', '.join(kinds)}: name one",
                stops=stops,
            )
        there = set().union(*(kinds.get(name, set()) for name in asked))
        model = values.get("gpu_model")
        if model is not None and str(model).lower() not in {kind.lower() for kind in there}:
            return wrong(
                what,
                f"{rule} asks for gpu_model: {model} of the partition {','.join(asked) or '?'}, which has "
                f"{', '.join(sorted(there)) or 'no GPUs'}: name one of these, or leave gpu_model out",
                stops=stops,
            )
        if rule in on_gpus and any(asked) and not there:
            return wrong(
                what,
                f"{rule} goes to the partition {','.join(asked)}, which has no GPUs: "
                f"set-resources: {{{rule}: {{slurm_partition: ...}}}}, and likewise the other rules that take a GPU",
                stops=stops,
            )
    return right(what, "its partitions and GPU models are there")


def _mapping(content: Any) -> dict[str, Any]:
    return content if isinstance(content, dict) else {}


def _srun(case: Case) -> Answer:
    """Whether a process that srun starts sees the GPUs of this allocation."""
    model = max(case.run.networks, key=lambda name: case.run.networks[name].gpus)
    wanted = case.run.networks[model].gpus
    try:
        lines = ask(["srun", "--nodes=1", "--ntasks=1", "--overlap", sys.executable, "-c", COUNT], SRUN_SECONDS)
        seen = int(lines[-1])
    except NoAnswerError as reason:
        models = _over_nodes(case)
        needed = f"models.{models[0]} needs it" if models else "a model with nodes above 1 would need it"
        return wrong(
            "srun",
            f"{reason}; {needed}: srun must start this Python on the allocation's nodes (a shared disk)",
            stops=bool(models),
        )
    except (IndexError, ValueError):
        return unknown("srun", "the process that it starts does not say how many GPUs it sees")
    if seen == 0:
        return wrong("srun", "torch sees no GPU in a process that it starts: ask for some (--gpus-per-node)")
    if seen < wanted:
        return wrong(
            "srun",
            f"a process that it starts sees {seen} GPUs, and models.{model} asks for {wanted}: ask for as many here "
            "too, to try them (the run's own jobs do)",
            stops=False,
        )
    return right("srun", f"a process that it starts sees {seen} of the allocation's GPUs")


def _name(case: Case) -> Answer:
    """Whether other nodes reach this one by its name."""
    from lensvit.jobs.fabric import check_address

    models = _over_nodes(case)
    try:
        check_address()
    except LensvitError as error:
        needed = f"models.{models[0]} needs it" if models else "a model with nodes above 1 would need it"
        return wrong("host name", f"{error}; {needed}", stops=bool(models))
    return right("host name", "it has an address that other nodes may reach")
