"""``lensvit doctor``: whether this machine is as a run needs it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lensvit.config.run import load
from lensvit.doctor.answers import Answer, Case, right, unknown, wrong
from lensvit.errors import LensvitError
from lensvit.io.files import first_line

PAPER = [Path("config.yaml")]
DEVICES = ("auto", "cpu", "gpu")
# what is looked at, by which module and function, in this order; the last one wants the sizes of the checkpoints
CHECKS = {
    "cores": "machine:cores",
    "memory": "machine:memory",
    "torch": "gpus:libraries",
    "driver": "gpus:driver",
    "GPUs": "gpus:cards",
    "device": "gpus:device",
    "SLURM": "slurm:slurm",
    "weights": "weights:weights",
    "locks": "storage:locks",
    "training": "training:models",
    "disk": "storage:space",
}


def main(files: list[Path] = PAPER, device: str = "auto", steps: int = 2) -> None:
    """Say whether this machine is as a run needs it, one line for each thing that is looked at.

    A line begins with + for what is right, ! for what is wrong, and ? for what could not be seen. Every model is
    trained by a few steps at its real size. Nothing is downloaded, and results/ is left as it was. The exit status is
    1 if something is wrong that would stop the run.

    Parameters
    ----------
    files
        The config, later files over earlier ones.
    device
        cpu or gpu, as if the config had this ``device``; auto: the config's. Models are tried on a GPU if it is gpu and
        there is one.
    steps
        Training steps that are timed.

    Raises
    ------
    LensvitError
        If something would stop the run, or for wrong options.
    """
    if device not in DEVICES:
        raise LensvitError(f"no device {device!r}: {', '.join(DEVICES)}")
    if steps < 1:
        raise LensvitError(f"--steps {steps}: 1 is the least")
    found: list[Answer] = []
    try:
        for answer in answers(files, device, steps):
            print(answer, flush=True)
            found.append(answer)
    except BrokenPipeError:  # who reads the lines has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        raise LensvitError("interrupted") from None
    stopping = [answer.what for answer in found if answer.stops]
    if stopping:
        raise LensvitError(f"this would stop the run: {', '.join(stopping)}")


def answers(files: list[Path], device: str, steps: int) -> Iterator[Answer]:
    """All lines, of which none is an error."""
    try:
        run = load(*files)
    except LensvitError as error:
        yield wrong("config", f"{error}; all else waits for a config that can be read (start in the clone)")
        return
    chosen = run if device == "auto" else run.model_copy(update={"device": device})
    names = ", ".join(run.models)
    yield right("config", f"{' and '.join(map(str, files))}: run {run.run}, models {names}, device: {chosen.device}")
    case = Case(chosen, steps, Path("results"))
    for what, where in CHECKS.items():
        yield from guarded(what, where, case)


def guarded(what: str, where: str, case: Case) -> Iterator[Answer]:
    """The lines of a look; one that fails is a line too.

    Parameters
    ----------
    what
        What is looked at.
    where
        Module and function that look at it.
    case
        What is asked.
    """
    module, name = where.split(":")
    try:
        look: Callable[[Case], Iterable[Answer]] = getattr(importlib.import_module(f"lensvit.doctor.{module}"), name)
        yield from look(case)
    except LensvitError as error:
        yield wrong(what, str(error))
    except ImportError as error:
        yield wrong(what, f"a library cannot be imported ({first_line(error)}): make .venv/installed, or install it")
    except Exception as error:  # nobody has foreseen it, and the other lines do not wait for it
        yield unknown(what, f"{type(error).__name__}: {first_line(error)}")
