"""Processes share work without a trace in its results, and leave none of themselves."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lensvit.errors import LensvitError
from lensvit.jobs.processes import share_work

ITEMS = [(number, 10) for number in range(5)]


def work(number, size):
    if number == 7:
        raise LensvitError("seven")
    drawn = torch.randn(size, generator=torch.Generator().manual_seed(number))
    return number, drawn.numpy(), os.getpid(), torch.get_num_threads()


def write_and_wait(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(120)


def test_results_are_in_order_whatever_number_of_processes_makes_them():
    alone, together = (share_work(work, ITEMS, processes) for processes in (1, 2))
    assert [result[0] for result in alone] == [result[0] for result in together] == list(range(5))
    assert all((one[1] == other[1]).all() for one, other in zip(alone, together, strict=True))
    assert {result[2] for result in alone} == {os.getpid()}
    assert os.getpid() not in {result[2] for result in together} and len({result[2] for result in together}) <= 2
    assert {result[3] for result in together} == {1}


def test_the_largest_item_is_begun_first_and_results_keep_their_order():
    begun = []

    def noted(name, size):
        begun.append(name)
        return name

    items = [("a", 1), ("b", 3), ("c", 3), ("d", 2)]
    assert share_work(noted, items, 1, size=lambda name, size: size) == ["a", "b", "c", "d"]
    assert begun == ["b", "c", "d", "a"]
    begun.clear()
    assert share_work(noted, items, 1) == begun == ["a", "b", "c", "d"]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_is_that_of_the_work(processes):
    with pytest.raises(LensvitError, match="seven"):
        share_work(work, [(number, 1) for number in (6, 7, 8)], processes)


def test_a_job_that_is_killed_leaves_no_process(tmp_path):
    program = (
        "from lensvit.jobs.processes import share_work; from tests.jobs.test_processes import write_and_wait\n"
        f"if __name__ == '__main__': share_work(write_and_wait, [({str(tmp_path)!r},)] * 2, 2)\n"
    )
    script = tmp_path / "job.py"
    script.write_text(program)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    job = subprocess.Popen([sys.executable, str(script)], env=environment)
    try:
        _until(lambda: len(list(tmp_path.glob("[0-9]*"))) == 2)
    finally:
        job.send_signal(signal.SIGKILL)
        job.wait()
    _until(lambda: not any(Path("/proc", path.name).exists() for path in tmp_path.glob("[0-9]*")))


def faults(number):
    """Pages that the system fetches for arrays of 20 MB, made and freed again and again."""
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        del [torch.ones(2**20) for _ in range(5)][:]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_a_process_keeps_the_memory_that_it_frees():
    pages = 5 * 1024  # of all arrays once; a process that gives their memory back fetches them twenty times
    assert all(found < 5 * pages for found in share_work(faults, [(0,), (1,)], 2))


def _until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
