# The validated config and what the rules share. No rule stands here.

import json
import os
import sys
from pathlib import Path

SOURCE = Path(workflow.basedir, "src")
sys.path.insert(0, str(SOURCE))

from lensvit.config.run import validate
from lensvit.config.schema import SPLITS, chunks
from lensvit.config.stages import stage_settings
from lensvit.errors import LensvitError
from lensvit.workflow.locks import free_stale
from lensvit.jobs.sources import closure

try:
    CONFIG = validate(config)
except LensvitError as error:
    sys.exit(str(error))

RUN = f"results/{CONFIG.run}"

# glibc keeps freed memory for the next array: page faults are a fifth of a simulation's time.
MALLOC = {
    "MALLOC_TOP_PAD_": str(2**28),
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
}

# Jobs find this Python and this source, in whatever way snakemake itself was started.
os.environ.update(
    MALLOC,
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    PYTHONPATH=os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH", "")])),
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


wildcard_constraints:
    psf="|".join(CONFIG.psfs),
    model="|".join(CONFIG.networks),
    chunk=r"(train|validation|test)-\d+",
    figure="[23]",
    part=r"[\w/-]+",
    case="|".join(CONFIG.shift.cases) or "-",
    sample="|".join(["ordinary", "left_out", *CONFIG.shift.cases]),


def modules(name):
    """The package's files that a stage imports: inputs of its rule."""
    return [os.path.relpath(path) for path in closure(name)]


def manifest(path):
    """The small file on which rules depend in place of a large one."""
    return f"{path}.sha256"


def chunk_files(splits, psfs=CONFIG.psfs, run=CONFIG, folder=RUN):
    """The image files of some splits; ``run`` has other ones in another ``folder``."""
    return [
        f"{folder}/images/{psf}/{chunk}.h5"
        for psf in psfs
        for split in splits
        for chunk, first, count in chunks(run, psf, split)
    ]


def chunk_range(wildcards):
    """(first index, count) of a simulation job, of the run or of a case out of distribution."""
    run = SHIFTED[wildcards.case] if "case" in wildcards.keys() else CONFIG
    split = wildcards.chunk.split("-")[0]
    for chunk, first, count in chunks(run, wildcards.psf, split):
        if chunk == wildcards.chunk:
            return first, count
    raise LensvitError(f"the config has no chunk {wildcards.chunk} of {wildcards.psf}")


def stage_content(wildcards):
    """A stage's part of the config, one canonical line."""
    return json.dumps(stage_settings(CONFIG, wildcards.part), sort_keys=True)


def network_threads(fewest):
    """CPU threads of a job that runs a network: the cores shared by the models on a CPU, some on a GPU."""
    cores = workflow.resource_settings.cores  # None on a cluster
    if CONFIG.device == "gpu" or cores is None:
        return fewest
    return max(1, cores // len(CONFIG.models))


def gpus(model):
    """GPUs of one machine that a model's jobs ask for."""
    return CONFIG.networks[model].gpus if CONFIG.device == "gpu" else 0


def model_files(model):
    """A trained model as inputs of a rule; nothing for no model."""
    if model is None:
        return []
    weights = f"{RUN}/models/{model}/weights.safetensors"
    return [f"{RUN}/models/{model}/config.json", manifest(weights), ancient(weights)]


def processes(wildcards):
    """Processes of a job on each node: one a GPU."""
    return max(1, gpus(wildcards.model))


def over_nodes(name):
    """A resource that only trainings over several nodes have.

    `mpi` leaves the start of the processes, which snakemake's plugin takes on itself else, to the
    shell command: there `start` is srun inside of a SLURM job and nothing outside, where lensvit
    says what is missing.
    """

    def value(wildcards, threads):
        nodes, each = CONFIG.networks[wildcards.model].nodes, processes(wildcards)
        if nodes == 1:
            return "" if name == "start" else None
        srun = f"srun --kill-on-bad-exit=1 --nodes={nodes} --ntasks-per-node={each} --cpus-per-task={threads}"
        return {
            "mpi": "srun",
            # the plugin takes the first for more than one process a node alone
            "tasks_per_node": each if each > 1 else None,
            "tasks": nodes if each == 1 else None,
            "tasks_per_gpu": 0 if each == 1 else None,
            "start": f"${{SLURM_JOB_ID:+{srun}}} ",
        }[name]

    return value


# ---------------------------------------------------------------- out of distribution

# case -> the run whose test systems are shifted as the case says; nothing where the test is switched off
SHIFTED = {case: CONFIG.shift.shifted(CONFIG, case) for case in CONFIG.shift.cases} if CONFIG.shift.enabled else {}
UNSEEN = CONFIG.shift.left_out if CONFIG.shift.enabled else None
SEEN = [psf for psf in CONFIG.psfs if psf != UNSEEN]


def scored_folder(sample):
    """Where the catalogue and the predictions of some systems lie: ordinary, left_out or a case's."""
    return RUN if sample == "ordinary" else f"{RUN}/shift/{sample}"


def scored_images(sample):
    """Their image files; a case has its own."""
    if sample not in SHIFTED:
        return chunk_files(["test"])
    return chunk_files(["test"], run=SHIFTED[sample], folder=f"{RUN}/shift/{sample}")


def scored_model(sample):
    """The network that predicts them."""
    root = f"{RUN}/shift/left_out" if sample == "left_out" else RUN
    return f"{root}/models/{CONFIG.shift.tested(CONFIG)}"
