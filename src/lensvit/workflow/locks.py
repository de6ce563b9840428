"""Locks that a killed Snakemake leaves behind, which the next one removes if no other is alive on this host.

Snakemake locks the files of a run by notes in ``.snakemake/locks``, and a killed process leaves its notes behind.
Here every Snakemake holds a lock of the operating system for as long as it lives; the kernel frees it in any case. A
Snakemake that finds nobody else holding this lock may remove the notes. On a file system that is shared by hosts
whose kernels do not see each other's locks, the name of the host in the locked file guards the notes of the others.
"""

from __future__ import annotations

import fcntl
import platform
from pathlib import Path
from typing import TextIO

_alive: list[TextIO] = []  # open for as long as the process lives


def free_stale(folder: Path, host: str = "") -> int:
    """Mark this process as alive and remove the locks of dead ones.

    Parameters
    ----------
    folder
        ``.snakemake``.
    host
        Name of this machine; the empty string for the one that it has.

    Returns
    -------
    int
        How many locks were removed.
    """
    host = host or platform.node()
    folder.mkdir(exist_ok=True)
    stream = open(folder / "alive", "a+", encoding="utf-8")  # noqa: SIM115 - held open for as long as the process lives
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
