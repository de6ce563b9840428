"""Snakemake in processes that have imported it already, which saves the seconds that its start takes."""

import multiprocessing
import os
import sys
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["pytest", "snakemake.cli", "snakemake_executor_plugin_slurm"])


def snakemake(*arguments, folder, timeout, environment):
    """What ``python -m snakemake`` with these arguments does in a folder."""
    with TemporaryDirectory() as place:
        said = [Path(place, name) for name in ("stdout", "stderr")]
        process = _context.Process(target=_run, args=(arguments, folder, environment, said))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            raise TimeoutError(f"snakemake {' '.join(arguments)} takes more than {timeout} s")
        return CompletedProcess(arguments, process.exitcode, *(path.read_text() for path in said))


def _run(arguments, folder, environment, said):
    for number, path in enumerate(said, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    assert "lensvit" not in sys.modules  # which is to be that of the folder
    sys.argv = ["snakemake", *arguments]
    from snakemake.cli import main

    main()
