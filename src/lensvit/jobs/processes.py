"""Work on one item after the other, shared among processes of their own.

It is worth while for what takes seconds an item and holds Python's lock; for anything shorter see
:mod:`lensvit.jobs.threads`.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from threading import Thread
from typing import TypeVar

import torch

Result = TypeVar("Result")


def share_work(work: Callable[..., Result], items: Iterable[tuple], processes: int) -> list[Result]:
    """The results of ``work(*item)`` for each item, in their order; begun in it too.

    Each process has one thread of torch, so that a result does not depend on how many there are. One process
    is this one.

    Parameters
    ----------
    work : a function of a module, with arguments and results that can be pickled.
    """
    items = list(items)
    processes = min(processes, len(items))
    if processes < 2:
        torch.set_num_threads(1)
        return [work(*item) for item in items]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin) as pool:
        futures = [pool.submit(work, *item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin() -> None:
    torch.set_num_threads(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A job that is killed leaves no process behind."""
    multiprocessing.parent_process().join()
    os._exit(1)
