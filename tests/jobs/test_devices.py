import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from lensvit.errors import LensvitError
from lensvit.jobs import devices

HOLD = """
import sys, time
from pathlib import Path
from lensvit.jobs import devices
devices.POLL_SECONDS = 0.05
names = [f"GPU-{number}" for number in range(int(sys.argv[1]))]
with devices.free_slots(names, int(sys.argv[3]), Path(sys.argv[2])) as places:
    print("got", *places, flush=True)
    sys.stdin.readline()
"""


@contextmanager
def job(count, folder, wanted=1):
    """Another process that holds some of ``count`` slots until it is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(count), str(folder), str(wanted)],
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
    """A machine of whose GPUs, by their UUIDs, this process sees some."""

    def install(*visible):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: len(visible) > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(visible))
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=visible[index]))
        monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
        monkeypatch.setattr(devices, "POLL_SECONDS", 0.05)
        for name in ("CUDA_VISIBLE_DEVICES", *devices.SCHEDULERS):
            monkeypatch.delenv(name, raising=False)

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


@pytest.mark.slow
def test_two_jobs_of_two_get_four_gpus_and_a_third_waits_for_two(tmp_path):
    with job(4, tmp_path, 2) as first, job(4, tmp_path, 2) as second:
        lines = {process.stdout.readline(): process for process in (first, second)}
        assert sorted(lines) == ["got 0 1\n", "got 2 3\n"]
        with job(4, tmp_path, 2) as third, job(4, tmp_path, 1) as fourth:
            assert third.stdout.readline().startswith("waiting for 2 GPUs of this machine: taken are GPU 0 by process")
            assert fourth.stdout.readline().startswith("waiting for a GPU of this machine")
            finish(lines["got 2 3\n"])
            finish(lines["got 0 1\n"])
            places = f"{third.stdout.readline()} {fourth.stdout.readline()}".replace("got", "").split()
            assert len(places) == len(set(places)) == 3
            finish(third)
            finish(fourth)


def test_a_job_that_cannot_have_all_its_slots_holds_none(tmp_path):
    with devices.free_slots(["a", "b", "c"], 2, tmp_path):
        assert devices._try(["a", "b", "c"], 2, tmp_path) is None
        with devices.free_slots(["a", "b", "c"], 1, tmp_path) as places:
            assert places == [2]


def test_slots_are_free_again_after_an_error(tmp_path):
    with pytest.raises(KeyError), devices.free_slots(["a", "b"], 2, tmp_path):
        raise KeyError
    with devices.free_slots(["a", "b"], 1, tmp_path) as places:
        assert places == [0]


def test_jobs_that_see_different_gpus_keep_off_the_same_one(gpus):
    gpus("A", "B")
    with devices.take(1) as first, devices.take(1) as second:
        assert (first, second) == ([0], [1])
    gpus("A", "B", "C", "D")
    with devices.take(2) as places:
        assert places == [0, 1]
        gpus("C", "B", "D")  # CUDA_VISIBLE_DEVICES=2,1,3
        with devices.take(2) as others:
            assert others == [0, 2]


def test_parts_of_one_gpu_are_different(gpus, monkeypatch, tmp_path):
    gpus("A")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1")
    with devices.take(1):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-2")
        with devices.take(1) as places:
            assert places == [0]
    assert {path.name for path in tmp_path.glob("*/gpu-*")} == {"gpu-MIG-1.lock", "gpu-MIG-2.lock"}


def test_the_environment_is_left_alone(gpus):
    gpus("A")
    before = dict(os.environ)
    with devices.take(1):
        assert dict(os.environ) == before


def test_the_choice_of_a_scheduler_is_taken_without_a_lock(gpus, monkeypatch, tmp_path):
    gpus("A", "B")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with devices.take(2) as first, devices.take(2) as second:
        assert first == second == [0, 1]
    assert not list(tmp_path.iterdir())
    with devices.take(1) as first, devices.take(1) as second:  # a session of salloc in which jobs share two
        assert (first, second) == ([0], [1])


def test_what_a_scheduler_has_given_is_just_as_many_gpus(gpus, monkeypatch):
    gpus("A", "B")
    assert not devices.given(2)
    monkeypatch.setenv("LSB_JOBID", "12")
    assert devices.given(2) and not devices.given(1) and not devices.given(3)


def test_fewer_gpus_than_are_asked_for(gpus):
    gpus("A", "B")
    with pytest.raises(LensvitError, match=r"4 GPUs are asked for and torch sees 2 here: .*--gpus-per-node"):
        devices.take(4).__enter__()


@pytest.mark.parametrize(
    ("version", "said", "words"),
    [
        (
            "13.2",
            "The NVIDIA driver on your system is too old (found version 12040). Please update",
            "12040.*torch.*580",
        ),
        ("12.8", "Found no NVIDIA driver on your system. Please check", "Found no NVIDIA driver on your system;.*525"),
        (None, "", "is not built for CUDA"),
    ],
)
def test_no_gpu_is_said_with_its_reason(gpus, monkeypatch, version, said, words):
    gpus()

    def init():
        raise RuntimeError(said)

    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.version, "cuda", version)
    with pytest.raises(LensvitError, match=f"device: gpu is asked for and .*{words}.*device: cpu"):
        devices.known_device("gpu")


def test_a_lock_folder_of_somebody_else_is_refused(gpus, monkeypatch):
    gpus("A")
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
    with pytest.raises(LensvitError, match="no device 'tpu': cpu or gpu"):
        devices.known_device("tpu")
