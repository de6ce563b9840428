"""Every model of the run, tried at its real size on what is there (:mod:`lensvit.doctor.trial`)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from lensvit.config.stages import stage_settings as cut
from lensvit.doctor import slurm
from lensvit.doctor.answers import Answer, Case, right, unknown, wrong
from lensvit.doctor.machine import cores_allowed
from lensvit.doctor.storage import scratch
from lensvit.doctor.trial import Seen, Trial
from lensvit.io.settings import canonical
from lensvit.learning.checkpoints import SECONDS as BETWEEN
from lensvit.learning.settings import TrainSettings

MODULE = "lensvit.doctor.trial"
LONGEST = 600.0  # seconds after which a network's process is given up
KILL_WAIT = 30.0  # seconds that SLURM gives a job after SIGTERM, if the cluster has not changed it


def models(case: Case) -> Iterator[Answer]:
    """Speed and memory of every model, what it is given, and its checkpoint."""
    device = _place(case)
    if device == "cpu" and slurm.is_login_node():
        yield unknown("training", f"networks are not tried on a login node's CPU: {slurm.ON_A_NODE}")
        return
    for name in case.run.models:
        with scratch(case.results) as folder:
            trial = _trial(case, name, device, folder)
            found = _in_a_process(trial)
        what = f"training {name}"
        if "seen" not in found:
            if "error" in found:
                yield wrong(what, found["error"])
            else:
                yield unknown(what, found.get("unknown", "its process gave no answer"))
            continue
        seen = Seen(**found["seen"])
        case.written[name] = seen.size
        yield _speed(name, case, trial, seen)
        yield _inputs(f"inputs of {name}", seen)
        yield _layout(f"layout of {name}", seen)
        yield _checkpoint(f"checkpoint of {name}", seen)


def _place(case: Case) -> str:
    """Where networks are tried, cpu or gpu: where the run computes, as far as that is there."""
    import torch

    return "gpu" if case.run.device == "gpu" and torch.cuda.is_available() else "cpu"


def _trial(case: Case, name: str, device: str, folder: str) -> Trial:
    """What is tried of a model: all but compiling it and its weights of the hub, which no speed depends on."""
    run = case.run
    cameras = {entry.instrument: run.instruments[entry.instrument] for entry in run.psfs.values()}
    content = {**cut(run, f"train/{name}"), "stream": None}
    content["recipe"] = {**content["recipe"], "compile": False}
    if content["network"]["weights"] == "pretrained":
        content["network"] = {**content["network"], "weights": "scratch"}
    return Trial(
        training=TrainSettings(**content),
        device=device,
        threads=cores_allowed(),
        steps=case.steps,
        cameras={key: (camera.pixels, camera.pixel_scale) for key, camera in cameras.items()},
        folder=folder,
    )


def _in_a_process(trial: Trial) -> dict[str, Any]:
    """What another process answers."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", MODULE],
            input=json.dumps(canonical(trial)),
            capture_output=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"},
            timeout=LONGEST,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return {"unknown": f"it took longer than {LONGEST:.0f} s, and was given up"}
    if done.returncode == -signal.SIGKILL:
        return {"error": "its process was killed, as for lack of memory: take a machine with more, or a smaller model"}
    try:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, IndexError, TypeError):
        said = [line for line in done.stderr.splitlines() if line.strip()]
        return {"unknown": f"its process ended with status {done.returncode} ({said[-1] if said else 'no word'})"}


def _speed(name: str, case: Case, trial: Trial, seen: Seen) -> Answer:
    recipe, size = trial.training.recipe, trial.training.network.image_size
    gpus = case.run.models[name].gpus
    beside = [
        f"batch {seen.batch}" + ("" if seen.batch == recipe.batch_size else f" of {recipe.batch_size}"),
        f"{size} px",
        f"{seen.precision} on {seen.place}",
        f"{case.steps} steps after one",
        *(["one GPU"] if gpus > 1 and trial.device == "gpu" else []),
        *(["not compiled"] if case.run.recipe(name).compile else []),
        *(["stored images, not a stream"] if case.run.training.stream else []),
    ]
    return right(
        f"training {name}",
        f"{seen.images_per_second:.3g} images/s ({', '.join(beside)}), {seen.memory:.1f} GB of memory, "
        f"{seen.parameters:,} weights",
    )


def _inputs(what: str, seen: Seen) -> Answer:
    said = f"{' and '.join(seen.inputs)} in training and validation, arithmetic {seen.precision}"
    if seen.inputs != ["float32"]:
        return wrong(what, f"{said}, and should be float32: report it as a bug of this package", stops=False)
    return right(what, said)


def _layout(what: str, seen: Seen) -> Answer:
    said = f"channels are last in {seen.channels_last} of {seen.convolutions} outputs of convolutions"
    if not seen.wants_channels_last:
        return right(what, f"{said}; a transformer has no need of it")
    if seen.channels_last < seen.convolutions:
        return wrong(what, f"{said}; the others are slower: report it as a bug of this package", stops=False)
    return right(what, said)


def _checkpoint(what: str, seen: Seen) -> Answer:
    said = (
        f"{seen.size / 1e9:.2f} GB, written in {seen.written:.1f} s, of which the training waits {seen.waited:.1f} s; "
        f"one each {BETWEEN:.0f} s at most"
    )
    if seen.written > KILL_WAIT:
        return wrong(
            what,
            f"{said}: SLURM kills a job {KILL_WAIT:.0f} s after its signal, so let it come earlier "
            "(--signal=TERM@120, docs/slurm.md), or move results/ to a faster disk",
            stops=False,
        )
    return right(what, said)
