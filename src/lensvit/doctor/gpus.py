"""GPUs: torch and the driver, what each card is, and what ``device: gpu`` takes here."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from lensvit.doctor import slurm
from lensvit.doctor.answers import Answer, Case, right, unknown, wrong
from lensvit.doctor.programs import NoAnswerError, ask
from lensvit.jobs import devices
from lensvit.jobs.fabric import arithmetic

SECONDS = 60.0  # for nvidia-smi, which wakes the driver where nobody has
FIRST_BF16 = 8  # compute capability, its first number, from which on a GPU has bfloat16


class Card(NamedTuple):
    """A GPU as nvidia-smi shows it.

    Parameters
    ----------
    driver
        Version of the driver.
    used
        Memory in use [MB].
    """

    driver: str
    used: float


def libraries(case: Case) -> Iterator[Answer]:
    """The version of torch, and the CUDA that it is built for."""
    cuda = torch.version.cuda
    said = f"torch {torch.__version__}, " + ("not built for CUDA" if cuda is None else f"built for CUDA {cuda}")
    if cuda is None and case.run.device == "gpu":
        yield wrong("torch", f"{said}: install one that is (docs/paper-scale.md)")
    else:
        yield right("torch", said)


def driver(case: Case) -> Iterator[Answer]:
    """Whether the driver is as new as torch's CUDA needs it."""
    needed = case.run.device == "gpu"
    try:
        cards = _cards()
    except NoAnswerError as reason:
        if _available():
            yield right("driver", f"{reason}; torch sees GPUs all the same")
        elif needed:
            yield unknown("driver", f"{reason}: no driver of NVIDIA, or its programs are not on the PATH")
        else:
            yield right("driver", f"{reason}, and the CPU needs none")
        return
    versions = sorted({card.driver for card in cards.values()})
    if not versions or torch.version.cuda is None:
        yield unknown("driver", f"{', '.join(versions) or 'nvidia-smi shows no GPU'}; this torch has no use for it")
        return
    least = devices.LEAST_DRIVER.get(torch.version.cuda.partition(".")[0])
    said = f"{versions[0]}, and CUDA {torch.version.cuda} of this torch needs {least or 'one of its own time'} or newer"
    if least is None or _number(versions[0].partition(".")[0]) is None:
        yield unknown("driver", said)
    elif int(versions[0].partition(".")[0]) >= int(least):
        yield right("driver", said)
    elif _available():
        yield right("driver", f"{said}; torch sees GPUs all the same, by a package of compatibility")
    else:
        yield wrong(
            "driver",
            f"{said}: renew the driver, or install torch for an older CUDA (docs/paper-scale.md, An older driver)",
            stops=needed,
        )


def cards(case: Case) -> Iterator[Answer]:
    """A line for each GPU that torch sees."""
    try:
        used = {uuid: card.used for uuid, card in _cards().items()}
    except NoAnswerError:
        used = {}
    asked = (case.run.evaluation.precision, *(case.run.recipe(name).precision for name in case.run.networks))
    wants_bf16 = case.run.device == "gpu" and "bf16-mixed" in {arithmetic(precision, "gpu") for precision in asked}
    for number in range(_count()):
        card = torch.cuda.get_device_properties(number)
        busy = used.get(str(card.uuid))
        memory = f"{card.total_memory / 1e9:.1f} GB of memory" + ("" if busy is None else f", {busy / 1e3:.1f} in use")
        said = f"{card.name}, {memory}, compute capability {card.major}.{card.minor}"
        if wants_bf16 and card.major < FIRST_BF16:
            yield wrong(
                f"GPU {number}",
                f"{said}, which has no bfloat16: set precision: 32-true in the recipes and in evaluation",
                stops=False,
            )
        else:
            yield right(f"GPU {number}", said)


def device(case: Case) -> Iterator[Answer]:
    """What ``device: gpu`` would do here: which GPUs it would take, and who has the others."""
    visible, is_asked = _count(), case.run.device == "gpu"
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    around = f"CUDA_VISIBLE_DEVICES is {'not set' if shown is None else repr(shown)}"
    if visible == 0:
        reason = devices.no_gpu()
        if not is_asked:
            yield right("device", f"cpu, as asked; device: gpu would stop here: {reason.partition(';')[0]}")
        elif slurm.is_login_node():
            yield unknown("device", f"gpu: none on this node, from which SLURM sends jobs to others: {slurm.ON_A_NODE}")
        else:
            yield wrong("device", f"gpu is asked for and {reason}; {around}")
        return
    model = max(case.run.networks, key=lambda name: case.run.networks[name].gpus)
    wanted = case.run.networks[model].gpus
    said = f"{'gpu' if is_asked else 'cpu, as asked; device: gpu'} sees {visible}; {around}"
    if visible < wanted:
        yield wrong(
            "device",
            f"{said}; models.{model} asks for {wanted}: lower its gpus, or start where there are as many",
            stops=is_asked,
        )
    elif devices.given(wanted):
        yield right("device", f"{said}; a model with gpus: {wanted} takes those that the scheduler has given")
    else:
        yield _taken(said, visible, wanted)


def _taken(said: str, visible: int, wanted: int) -> Answer:
    """The line of GPUs that jobs lock."""
    taken = devices.holders(devices.visible_names(), devices.lock_folder())
    free = [number for number in range(visible) if number not in taken]
    others = ", ".join(f"GPU {number} is taken by process {process}" for number, process in taken.items())
    said = f"{said}; {others or 'no job has taken any'}"
    if len(free) < wanted:
        return wrong("device", f"{said}: a model with gpus: {wanted} waits until {wanted} are free", stops=False)
    first = free[:wanted]
    said = f"{said}; a model with gpus: {wanted} takes GPU {', '.join(map(str, first))}"
    strangers = _strangers(first)
    if strangers:
        return wrong(
            "device",
            f"{said}, where {', '.join(strangers)} computes too, which no lock shows: end it, or export "
            "CUDA_VISIBLE_DEVICES with the others",
            stops=False,
        )
    return right("device", said + ("; for several at a time: profiles/gpu" if visible > 1 else ""))


def _strangers(numbers: Sequence[int]) -> list[str]:
    """The processes that compute on GPUs, by their numbers; none where nvidia-smi does not tell."""
    uuids = {str(torch.cuda.get_device_properties(number).uuid) for number in numbers}
    try:
        lines = ask(_query("compute-apps", "gpu_uuid,pid,process_name,used_memory"), SECONDS)
    except NoAnswerError:
        return []
    rows = (_words(line) for line in lines)
    return [
        f"process {row[1]} ({row[2]}, {row[3]} MB)"
        for row in rows
        if len(row) == 4 and row[0].removeprefix("GPU-") in uuids and row[1] != str(os.getpid())
    ]


def _cards() -> dict[str, Card]:
    """UUID to what nvidia-smi shows of a GPU."""
    found = {}
    for row in map(_words, ask(_query("gpu", "uuid,driver_version,memory.used"), SECONDS)):
        if len(row) == 3:  # not where it says in words that there are none
            found[row[0].removeprefix("GPU-")] = Card(row[1], _number(row[2]) or 0.0)
    return found


def _words(line: str) -> list[str]:
    return [word.strip() for word in line.split(",")]


def _query(what: str, fields: str) -> list[str]:
    return ["nvidia-smi", f"--query-{what}={fields}", "--format=csv,noheader,nounits"]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # [N/A]
        return None


def _available() -> bool:
    with warnings.catch_warnings(action="ignore"):  # the line of the device says why there is none
        return torch.cuda.is_available()


def _count() -> int:
    return torch.cuda.device_count() if _available() else 0
