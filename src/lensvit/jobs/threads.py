"""Work on one image after the other, shared among threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch


def for_each(work: Callable[[int], object], count: int) -> None:
    """Call ``work(0)`` to ``work(count - 1)`` in as many threads as torch has.

    It is worth while for what leaves Python's lock to others: NumPy's random numbers and arithmetic, compiled loops.
    """
    threads = min(torch.get_num_threads(), count)
    if threads < 2:
        for number in range(count):
            work(number)
        return
    shares = [range(first, count, threads) for first in range(threads)]
    list(_pool(threads).map(lambda share: [work(number) for number in share], shares))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "images")
