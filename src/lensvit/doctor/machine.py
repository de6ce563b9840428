"""The processor's cores and the computer's memory, as far as this process may use them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from lensvit.config.resources import training_memory
from lensvit.doctor import slurm
from lensvit.doctor.answers import Answer, Case, right, wrong

GROUPS = Path("/sys/fs/cgroup")
MINE = Path("/proc/self/cgroup")
FEWEST = 4  # cores for which a GPU does not wait


def cores(case: Case) -> Iterator[Answer]:
    """How many cores are really allowed."""
    there, bound, share = os.cpu_count() or 1, affinity(), cgroup_cores()
    allowed = cores_allowed()
    cut = "none by its control group" if share is None else f"{share:g} by its control group"
    said = f"{allowed} of {there} are allowed (affinity {bound}, bound {cut})"
    if allowed < bound:
        yield wrong(
            "cores",
            f"{said}, but snakemake --cores all would start jobs for {bound}: give it --cores {allowed}, and "
            f"export OMP_NUM_THREADS={allowed} before a command of its own",
            stops=False,
        )
    elif case.run.device == "gpu" and allowed < FEWEST:
        yield wrong("cores", f"{said}: a GPU may wait for its images; ask for {FEWEST} or more a GPU", stops=False)
    else:
        yield right("cores", said)


def memory(case: Case) -> Iterator[Answer]:
    """Whether the computer's memory carries the largest training."""
    there, free = psutil.virtual_memory().total, psutil.virtual_memory().available
    bound = cgroup_memory()
    most = there if bound is None else min(there, bound)
    cut = "" if most == there else f", of which its control group allows {most / 1e9:.1f}"
    need = {name: training_memory(case.run, name) * 1e6 for name in case.run.networks}
    largest = max(need, key=lambda name: need[name])
    said = (
        f"{there / 1e9:.1f} GB{cut}, {free / 1e9:.1f} free; the training of {largest} is given "
        f"{need[largest] / 1e9:.1f} GB of it"
    )
    if need[largest] > most:
        yield wrong(
            "memory",
            f"{said}, with all of its images: take a machine with more, or lower data.train or the model's gpus",
            # what is given is more than what is needed; and trainings are not for a login node
            stops=need[largest] > 2 * most and not slurm.is_login_node(),
        )
    else:
        yield right("memory", said)


def cores_allowed() -> int:
    """The number of cores that this process may keep busy, at least 1."""
    share = cgroup_cores()
    bound = affinity()
    return bound if share is None else max(1, min(bound, math.floor(share)))


def affinity() -> int:
    """The number of cores that this process is bound to: all of them on systems that bind none, such as macOS."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_cores() -> float | None:
    """The number of cores that the control groups of this process allow; None for no bound."""
    found = [quota / period for quota, period in _quotas() if quota > 0 and period > 0]
    return min(found, default=None)


def _quotas() -> Iterator[tuple[float, float]]:
    """Time of cores in each period of time, of each group."""
    for folder in _folders("cpu"):
        both = _numbers(folder / "cpu.max") or [
            *_numbers(folder / "cpu.cfs_quota_us"), *_numbers(folder / "cpu.cfs_period_us"),
        ]  # fmt: skip
        if len(both) == 2:
            yield both[0], both[1]


def cgroup_memory() -> int | None:
    """The memory that the control groups of this process allow [byte]; None for no bound."""
    names = ("memory.max", "memory.limit_in_bytes")
    found = [int(number) for folder in _folders("memory") for name in names for number in _numbers(folder / name)]
    return min((size for size in found if size > 0), default=None)


def _numbers(path: Path) -> list[float]:
    """The numbers in a small file; none for one that is absent or names no bound."""
    try:
        return [float(word) for word in path.read_text(encoding="ascii").split()]
    except (OSError, ValueError):  # "max" is no number
        return []


def _folders(controller: str) -> Iterator[Path]:
    """The folders of the groups of this process for a controller, and of the groups around them.

    Within a container the names of groups may be those outside of it, of which only the top is seen.
    """
    try:
        lines = MINE.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, place = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        top = GROUPS / controller if controllers else GROUPS  # a link to the folder of several, in their order
        own = top / place.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder == top or top in folder.parents)
