"""Locks of a dead snakemake go, those of a living one and of another host stay."""

import signal
import subprocess
import sys

import pytest

from lensvit.workflow.locks import free_stale


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "locks").mkdir()
    return tmp_path


@pytest.fixture
def other(folder):
    """Another process that has marked itself as alive."""
    code = "import sys; from pathlib import Path; from lensvit.workflow.locks import free_stale\n"
    code += "free_stale(Path(sys.argv[1])); print('alive', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "alive\n"
    yield process
    process.kill()
    process.wait()


def write(folder):
    for name in ("0.input.lock", "0.output.lock"):
        (folder / "locks" / name).write_text("results/x\n")


def test_a_living_snakemake_keeps_its_locks_and_a_killed_one_does_not(folder, other):
    write(folder)
    assert free_stale(folder) == 0 and len(list((folder / "locks").iterdir())) == 2
    other.send_signal(signal.SIGKILL)
    other.wait()
    # this process, too, has marked itself; a third one sees that it is alive
    code = "import sys; from pathlib import Path; from lensvit.workflow.locks import free_stale\n"
    code += "print(free_stale(Path(sys.argv[1])))"
    third = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert third.stdout == "0\n"


def test_locks_of_a_killed_snakemake_are_removed(folder, other):
    write(folder)
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert free_stale(folder) == 2 and not list((folder / "locks").iterdir())


def test_locks_of_another_host_stay(folder):
    (folder / "alive").write_text("elsewhere")
    write(folder)
    assert free_stale(folder, host="here") == 0
    assert len(list((folder / "locks").iterdir())) == 2 and (folder / "alive").read_text() == "elsewhere"


def test_an_unknown_host_is_another_host(folder):
    write(folder)
    assert free_stale(folder, host="here") == 0
