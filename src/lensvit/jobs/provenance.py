"""Provenance of a result: versions, hardware and date."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("lensvit", "torch", "torchvision", "transformers", "numpy", "pandas")


def provenance(device: str, gpu: str | None, seconds: float) -> str:
    """A JSON document with the versions of the packages, the machine, the date and the time that the work took.

    Parameters
    ----------
    device
        The device that the work was done on, cpu or gpu.
    gpu
        Name of the GPU; None where the CPU did the work.
    seconds
        Time that the work took [s].
    """
    content = {
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "hardware": gpu or _cpu(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "seconds": round(seconds, 1),
        "versions": packages(PACKAGES),
    }
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def packages(names: Iterable[str]) -> dict[str, str]:
    """Package to version, of those of the packages ``names`` that are installed where this job runs."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a conda environment of a rule has only what the rule needs
            continue
    return found


def _commit() -> str | None:
    """The commit of the clone that the source lies in, marked if its files are changed; None outside of a clone."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _cpu() -> str:
    """Name of the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
