# What a run finds on its machine: the environment of the jobs, Snakemake's records, locks. No rule stands here.

import os
import sys
from pathlib import Path

SOURCE = Path(workflow.basedir, "src")
sys.path.insert(0, str(SOURCE))

from lensvit.workflow.locks import free_stale

# Jobs find this Python and this source, in whatever way snakemake itself was started.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    PYTHONPATH=os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH", "")])),
    # glibc keeps freed memory for the next array: page faults are a fifth of a simulation's time.
    MALLOC_TOP_PAD_=str(2**28),
    MALLOC_MMAP_THRESHOLD_=str(2**30),
    MALLOC_TRIM_THRESHOLD_=str(2**32),
)

# Snakemake's records of what made each file lie with the results, so that a copy of
# results/ in another clone is known there and re-runs nothing.
Path("results/.metadata").mkdir(parents=True, exist_ok=True)
if not Path(".snakemake/metadata").exists():
    Path(".snakemake").mkdir(exist_ok=True)
    Path(".snakemake/metadata").symlink_to("../results/.metadata")

# A snakemake that was killed holds no locks: the same command goes on.
if workflow.is_main_process:
    free_stale(Path(".snakemake"))
