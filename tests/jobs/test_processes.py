"""Processes share work without a trace in its results, and leave none of themselves."""

import multiprocessing
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
from lensvit.jobs.processes import copies, share_work
from lensvit.jobs.threads import one_thread

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


def refuse(number):
    raise LensvitError(f"no {number}")


@pytest.mark.parametrize("processes", [1, 3])
def test_copies_know_what_the_process_knew_and_give_results_in_order(processes):
    known = {"ten": 10}
    with copies(lambda number: (known["ten"] * number, os.getpid(), torch.get_num_threads()), processes) as each:
        known["ten"] = 0 if sys.platform == "linux" and processes > 1 else 10  # what happens later is not known
        results = each(range(40)) + each([40])
    assert [result[0] for result in results] == [10 * number for number in range(41)]
    own = {pid for _, pid, _ in results}
    if sys.platform == "linux" and processes > 1:
        assert os.getpid() not in own and len(own) <= processes and {threads for *_, threads in results} == {1}
        _until(lambda: not any(Path("/proc", str(pid)).exists() for pid in own))
    else:
        assert own == {os.getpid()}


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_a_copy_is_that_of_the_work(processes):
    with pytest.raises(LensvitError, match="no 3"), copies(refuse, processes) as each:
        each([3, 4, 5])


def touch_and_wait(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(0.3)


@pytest.mark.skipif(sys.platform != "linux", reason="no copies")
def test_an_interrupted_job_ends_with_one_traceback_and_leaves_no_copy(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(
        "from lensvit.jobs.processes import copies; from tests.jobs.test_processes import touch_and_wait\n"
        f"with copies(touch_and_wait, 2) as each: each([{str(tmp_path)!r}] * 200)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    job = subprocess.Popen(
        [sys.executable, script], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        _until(lambda: len(list(tmp_path.glob("[0-9]*"))) == 2)
        time.sleep(1)  # all work is handed out
        os.killpg(job.pid, signal.SIGINT)  # as Ctrl-C does
        said = job.communicate(timeout=60)[1]
    finally:
        job.kill()
    assert job.returncode != 0 and said.count("Traceback") == 1 and "KeyboardInterrupt" in said, said
    _until(lambda: not any(Path("/proc", path.name).exists() for path in tmp_path.glob("[0-9]*")))


def copies_of_a_daemon(found):
    with copies(lambda number: number + 1, 2) as each:
        found.put(each([1, 2]))


def test_a_daemon_works_alone():
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    daemon = context.Process(target=copies_of_a_daemon, args=(found,), daemon=True)
    daemon.start()
    assert found.get(timeout=120) == [2, 3]
    daemon.join()


def test_torch_has_one_thread_for_a_while():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(LensvitError), one_thread() as threads:
            assert threads == 3 and torch.get_num_threads() == 1
            raise LensvitError("it ends")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


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
