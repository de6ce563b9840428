"""Work on many items, shared among the threads of one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import torch


def for_each(work: Callable[[int], object], count: int) -> None:
    """Call ``work(0)`` to ``work(count - 1)`` in as many threads as torch has.

    This saves time for work that releases Python's lock: NumPy's random numbers and arithmetic, compiled loops.

    Parameters
    ----------
    work
        A function of the item's number.
    count
        The number of items.
    """
    threads = min(torch.get_num_threads(), count)
    if threads < 2:
        for number in range(count):
            work(number)
        return
    shares = [range(first, count, threads) for first in range(threads)]
    list(_pool(threads).map(lambda share: [work(number) for number in share], shares))


@contextmanager
def one_thread() -> Iterator[int]:
    """Hold torch to one thread, and give the number that it had.

    This is for work on small arrays, which more threads make no faster, and whose last digits they change.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """The threads of this process; starting new ones for each call would cost more than some calls do."""
    return ThreadPoolExecutor(threads, "images")
