"""Machines that are not there: programs by small scripts, runs by overlays, GPUs by their properties."""

import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from lensvit.config.run import validate
from lensvit.doctor import slurm
from lensvit.doctor.answers import Case
from lensvit.jobs import devices
from tests.config.configs import changed

SMALL_RESNET = {  # for the smoke run
    "architecture": "ResNet", "options": {"block": "BasicBlock", "layers": [1]}, "image_size": 16,
}  # fmt: skip


@pytest.fixture
def case(tmp_path):
    """What is asked of the paper's run; keywords are keys of the config that differ."""

    def make(steps=1, **changes):
        return Case(validate(changed(changes)), steps, tmp_path / "results")

    return make


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH with nothing on it but the scripts that are installed by name."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in (*devices.SCHEDULERS, "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)

    def install(name, script):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return install


@pytest.fixture
def gpus(monkeypatch, tmp_path):
    """GPUs that torch sees, by their UUIDs."""
    import torch

    def install(*uuids, major=9, cuda="13.2"):
        card = {"name": "a card", "total_memory": 80e9, "major": major, "minor": 0}
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(uuids))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(uuids))
        monkeypatch.setattr(
            torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=uuids[number], **card)
        )
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(devices, "lock_folder", lambda: tmp_path)

    return install


@pytest.fixture
def login_node(monkeypatch):
    """Whether this is a login node of SLURM, which it is not until it is said."""

    def install(is_one):
        monkeypatch.setattr(slurm, "is_login_node", lambda: is_one)

    install(False)
    return install


@pytest.fixture
def root(monkeypatch):
    """The clone as the working folder, where the profiles lie."""
    monkeypatch.chdir(Path(__file__).parents[2])
