"""Work on many items, shared among processes.

This saves time for work that takes seconds an item and holds Python's lock. For anything shorter see
:mod:`lensvit.jobs.threads`.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from threading import Thread
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT = 2**25  # bytes of the largest arrays whose memory is kept, the most that glibc lets one choose


def share_work(
    work: Callable[..., Result],
    items: Iterable[tuple],
    processes: int,
    size: Callable[..., float] | None = None,
) -> list[Result]:
    """The results of ``work(*item)`` for all items, in the order of the items.

    Each process has one thread of torch, so that no result depends on the number
    of processes. Where one process is enough, it is this one.

    Parameters
    ----------
    work
        A function of a module, with arguments and results that can be pickled.
    items
        Arguments of ``work``.
    processes
        The largest number of processes.
    size
        How long an item takes, in any unit, by a function of the arguments of ``work``. Items that take longest are
        begun first, so that no process is left with them at the end; without it they are begun in their order.
    """
    items = list(items)
    if size is not None:
        order = sorted(range(len(items)), key=lambda place: -size(*items[place]))
        results = dict(zip(order, share_work(work, [items[place] for place in order], processes), strict=True))
        return [results[place] for place in range(len(items))]
    processes = min(processes, len(items))
    if processes < 2:
        _settle()
        return [work(*item) for item in items]
    with _pool(processes, "spawn", _begin) as pool:
        futures = [pool.submit(work, *item) for item in items]
        return [future.result() for future in futures]


@contextmanager
def copies(work: Callable[[Item], Result], processes: int) -> Iterator[Callable[[Sequence[Item]], list[Result]]]:
    """A context with a function that gives the results of ``work`` for many items, from copies of this process.

    Results are in the order of the items. A copy knows what this process knows when the context begins, so that
    ``work`` may be any function, and only items and results need to be pickled. Only Linux copies processes safely, and
    a daemon cannot have any: elsewhere, and for one process, this one does all the work.

    Parameters
    ----------
    work
        A function, whose result depends on its item alone.
    processes
        The number of copies.
    """
    if processes < 2 or sys.platform != "linux" or multiprocessing.current_process().daemon:
        yield lambda items: [work(item) for item in items]
        return
    with _pool(processes, "fork", _begin_copy, work) as pool:
        with warnings.catch_warnings():
            # Python warns of locks that other threads may hold; a copy uses one thread of torch, which takes none
            warnings.simplefilter("ignore", DeprecationWarning)
            pool.submit(int).result()  # all copies are made by the first call
        yield lambda items: list(pool.map(_work_of_copy, items))


@contextmanager
def _pool(processes: int, method: str, begin: Callable[..., None], *arguments: object) -> Iterator[ProcessPoolExecutor]:
    """Processes that begin by ``begin(*arguments)``; after an error, what has not begun is left undone."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context(method), begin, arguments) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_copied: list[Callable[[Any], Any]] = []  # the work of this copy


def _begin_copy(work: Callable[[Any], Any]) -> None:
    """Prepare a copy of a process. After Ctrl-C, which reaches both, the process alone says so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _copied[:] = [work]
    _begin()


def _work_of_copy(item: Any) -> Any:
    return _copied[0](item)


def _begin() -> None:
    """Prepare a new process."""
    _settle()
    Thread(target=_end_with_parent, daemon=True).start()


def _settle() -> None:
    """Give this process one thread of torch, and let it keep the memory that it frees.

    Otherwise glibc returns the memory of large arrays to the system and fetches it again for the next ones, page by
    page, which takes as long as arithmetic with them.
    """
    torch.set_num_threads(1)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other libraries have none
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT)
        mallopt(M_TRIM_THRESHOLD, 8 * KEPT)


def _end_with_parent() -> None:
    """End this process when its parent ends, so that a job that is killed leaves none behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
