import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch

from lensvit.errors import LensvitError
from lensvit.jobs import devices

HOLD = """
import sys, time
from pathlib import Path
from lensvit.jobs import devices
devices.POLL_SECONDS = 0.05
with devices.free_slot(range(int(sys.argv[1])), Path(sys.argv[2])) as slot:
    print("got", slot, flush=True)
    sys.stdin.readline()
"""


@contextmanager
def job(count, folder):
    """Another process that holds a slot until it is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(count), str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(process):
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.wait(timeout=20) == 0


@pytest.fixture
def gpus(monkeypatch, tmp_path):
    """A machine that has ``count`` GPUs as far as lensvit sees."""

    @contextmanager
    def current(index):
        yield

    def install(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "device", current)
        monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
        monkeypatch.setattr(devices, "POLL_SECONDS", 0.05)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return install


@pytest.mark.slow
def test_two_jobs_get_two_gpus_a_third_waits_and_a_killed_job_frees_its_own(tmp_path):
    with job(2, tmp_path) as first:
        assert first.stdout.readline() == "got 0\n"
        with job(2, tmp_path) as second, job(2, tmp_path) as third:
            lines = {process: process.stdout.readline() for process in (second, third)}
            if lines[second] != "got 1\n":
                second, third = third, second
            assert lines[second] == "got 1\n"
            assert lines[third] == (
                "waiting for a GPU of this machine: "
                f"taken are GPU 0 by process {first.pid}, GPU 1 by process {second.pid}\n"
            )
            first.send_signal(signal.SIGKILL)
            first.wait()
            assert third.stdout.readline() == "got 0\n"
            finish(third)
            finish(second)


@pytest.mark.slow
def test_jobs_queue_for_one_gpu(tmp_path):
    with job(1, tmp_path) as first:
        assert first.stdout.readline() == "got 0\n"
        with job(1, tmp_path) as second:
            assert second.stdout.readline().startswith("waiting for a GPU")
            finish(first)
            assert second.stdout.readline() == "got 0\n"


def test_a_slot_is_free_again_after_an_error(tmp_path):
    with pytest.raises(KeyError), devices.free_slot([3, 5], tmp_path):
        raise KeyError
    with devices.free_slot([3, 5], tmp_path) as slot:
        assert slot == 3


def test_two_picks_differ(gpus):
    gpus(2)
    with devices.pick("gpu") as first, devices.pick("gpu") as second:
        assert (first, second) == ("cuda:0", "cuda:1")


def test_the_environment_is_left_alone(gpus):
    gpus(1)
    before = dict(os.environ)
    with devices.pick("gpu"):
        assert dict(os.environ) == before


def test_the_choice_of_a_scheduler_is_taken_without_a_lock(gpus, monkeypatch, tmp_path):
    gpus(1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with devices.pick("gpu") as first, devices.pick("gpu") as second:
        assert first == second == "cuda"
    assert not list(tmp_path.iterdir())


def test_a_cpu_takes_no_lock(gpus, tmp_path):
    gpus(1)
    with devices.pick("cpu") as place:
        assert place == "cpu"
    assert not list(tmp_path.iterdir())


def test_no_gpu_is_said_even_where_a_scheduler_names_one(gpus, monkeypatch):
    gpus(0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(LensvitError, match=r"device: gpu .* no GPU .* device: cpu"), devices.pick("gpu"):
        pass


def test_a_lock_folder_of_somebody_else_is_refused(gpus, monkeypatch):
    gpus(1)
    owner = os.getuid()
    answers = iter([owner, owner + 1])  # one for the name, one for the comparison
    monkeypatch.setattr(os, "getuid", lambda: next(answers))
    with pytest.raises(LensvitError, match="another user: set TMPDIR"):
        devices.lock_folder()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_names_the_setting_to_lower(error):
    with (
        pytest.raises(LensvitError, match=r"out of memory: lower batch_size \(64\)"),
        devices.memory_advice("batch_size (64)"),
    ):
        raise error


def test_other_errors_stay_as_they_are():
    with pytest.raises(RuntimeError, match="a bug"), devices.memory_advice("batch_size"):
        raise RuntimeError("a bug")


def test_another_device_than_cpu_and_gpu():
    with pytest.raises(LensvitError, match="no device 'tpu': cpu or gpu"), devices.pick("tpu"):
        pass
