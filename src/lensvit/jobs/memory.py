"""The memory that processes have used."""

from __future__ import annotations

import resource
import sys


def most_memory(whose: int = resource.RUSAGE_SELF) -> int:
    """The most memory that this process, or the largest of those that it started, has had so far [byte].

    Parameters
    ----------
    whose
        ``resource.RUSAGE_SELF`` or ``resource.RUSAGE_CHILDREN``.
    """
    counted = resource.getrusage(whose).ru_maxrss
    return counted if sys.platform == "darwin" else 1024 * counted  # macOS counts bytes, all others kB
