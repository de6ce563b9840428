"""What made a result: versions, hardware, date."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("lensvit", "snakemake", "lenstronomy", "torch", "torchvision", "transformers", "numpy", "pandas")


def provenance(device: str, seconds: float) -> str:
    """A JSON document: versions of the packages, the machine, the date, the seconds that the work took."""
    content = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "hardware": _hardware(device),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "seconds": round(seconds, 1),
        "versions": {name: _version(name) for name in PACKAGES},
    }
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a job may run in an environment without it
        return "absent"


def _hardware(device: str) -> str:
    if device == "cpu":
        return _cpu()
    import torch

    return torch.cuda.get_device_name()


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
