"""Snakemake's locks after a kill -9: freed by the next call, if no snakemake of this host is alive.

Snakemake locks the files of a run by notes in ``.snakemake/locks``, which a killed process
leaves behind. Here every snakemake holds, as long as it lives, a lock of the operating system
that the kernel frees; who finds nobody else holding it may clear the notes. On a file system
shared by hosts whose kernels do not see each other's locks, the host's name guards them.
"""

from __future__ import annotations

import fcntl
import platform
from pathlib import Path
from typing import TextIO

_alive: list[TextIO] = []  # open as long as the process lives


def free_stale(folder: Path, host: str = "") -> int:
    """Mark this process as alive and remove the locks of dead ones; how many were removed.

    Parameters
    ----------
    folder : ``.snakemake``.
    host : this machine's name, by default.
    """
    host = host or platform.node()
    folder.mkdir(exist_ok=True)
    stream = open(folder / "alive", "a+", encoding="utf-8")  # noqa: SIM115
    _alive.append(stream)
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # another snakemake lives here: its locks are its own
        fcntl.flock(stream, fcntl.LOCK_SH)
        return 0
    except OSError:  # a file system without such locks: as snakemake by itself
        return 0
    stale = sorted((folder / "locks").glob("*.lock"))
    stream.seek(0)
    if stale and stream.read() != host:
        stale = []
    else:
        stream.truncate(0)
        stream.write(host)
        stream.flush()
    for path in stale:
        path.unlink()
    fcntl.flock(stream, fcntl.LOCK_SH)
    return len(stale)
