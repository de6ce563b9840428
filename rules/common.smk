# The validated config and what the rules share. No rule stands here.

import json
import re
from functools import partial

from lensvit.chapters.registry import CHAPTERS
from lensvit.config import products
from lensvit.config.early import check_early
from lensvit.config.resources import check_gpus, training_memory
from lensvit.config.run import read_config, validate
from lensvit.config.schema import SPLITS, chunks
from lensvit.config.shards import merged_tables, stage_shards
from lensvit.config.stages import stage_settings
from lensvit.errors import LensvitError
from lensvit.jobs import sources
from lensvit.page import assets
from lensvit.workflow.ending import finished

# The code of a stage, of which the last start has kept what files mean.
MEMORY = sources.Memory(Path(".snakemake/code.json"))
code = partial(sources.code, memory=MEMORY)


def gpus_at_once():
    """Snakemake's resource `gpu`; None if it has no bound."""
    bound = workflow.resource_settings.resources.get("gpu")
    bound = getattr(bound, "value", bound)  # newer versions of Snakemake wrap it
    return None if bound is None else int(bound)


try:
    for config_file in workflow.configfiles:  # again, as Snakemake takes the last of several equal keys without a word
        read_config(config_file)
    CONFIG = validate(config)
    if workflow.is_main_process:  # and not in the jobs of a cluster, which read the Snakefile again
        check_gpus(CONFIG, gpus_at_once())
        check_early(CONFIG, logger.info, code_of=code)
except LensvitError as error:
    sys.exit(str(error))

RUN = products.run_folder(CONFIG)
# Errors that stages of other chapters show beside those of the models, where the run has them.
LIMIT, FITS = products.limit_shown(CONFIG), products.refined_shown(CONFIG)
EXACT = products.importance_shown(CONFIG)

# Stages that several jobs share, and the tables that are merged from what these make.
SHARDS, MERGED = stage_shards(CONFIG), merged_tables(CONFIG)

# What a release leaves out and the settings give again, byte for byte; each file of rules adds its part.
RESTORED = []


wildcard_constraints:
    psf="|".join(CONFIG.psfs),
    model="|".join(CONFIG.networks),
    chunk=r"(train|validation|test)-\d+",
    shard=r"\d+",
    merged="|".join(MERGED) or "none",
    part=r"[\w/.+-]+",


# ---------------------------------------------------------------- files of a stage


def settings_file(part):
    """A stage's part of the config."""
    return f"{RUN}/settings/{part}.yaml"


def log_file(stage):
    """What a job says."""
    return f"{RUN}/logs/{stage}.log"


def benchmark_file(stage):
    """What a job takes; the same name as its log."""
    return f"{RUN}/benchmarks/{stage}.tsv"


def table_file(name):
    """A table of results."""
    return f"{RUN}/tables/{name}.csv"


# the network whose attention figure 1 shows, none or one, and what is measured of it
ATTENDING = [model for model in [CONFIG.figures.attention_model] if model is not None]
ATTENTION = [table_file("attention") for model in ATTENDING]


def figure_file(name, suffix="pdf"):
    """A figure of the paper."""
    return f"{RUN}/figures/{name}.{suffix}"


def reported(path, name, category, **labels):
    """A file that Snakemake's report shows under the caption of this name."""
    return report(path, caption=f"../paper/captions/{name}.rst", category=category, labels=labels)


REPORTED_TABLES = []  # names


def reported_table(name):
    """A table of Snakemake's report, which offers it for download; what the report shows of it is its page."""
    REPORTED_TABLES.append(name)
    return reported(table_file(name), name, "Tables", table=name, format="download (CSV)")


def reported_page(name):
    """A table of Snakemake's report as a page for a browser."""
    return reported(f"{RUN}/report/{name}.html", name, "Tables", table=name, format="browser (HTML)")


def reported_figure(name):
    """A figure that Snakemake's report shows: a row in the order of the numbers, first as PNG, which browsers show."""
    number, kinds = name.removeprefix("figure").zfill(2), {"pdf": "print (PDF)", "png": "image (PNG)"}
    return [
        reported(figure_file(name, suffix), name, "Figures", figure=f"figure {number}", format=kind)
        for suffix, kind in kinds.items()
    ]


# ---------------------------------------------------------------- large files


def manifest(paths):
    """The small files on which rules depend in place of large ones."""
    return f"{paths}.sha256" if isinstance(paths, str) else [f"{path}.sha256" for path in paths]


def with_manifests(**files):
    """Large files, by name, and the manifest that lies beside each of them."""
    return files | {f"{name}_manifest": manifest(paths) for name, paths in files.items()}


def large(**files):
    """Large files as inputs, by name: they count by their manifests and never by their dates.

    A value is a path, a list of paths, or a function of the wildcards that returns either.
    """

    def undated(paths):
        # ancient() marks the very object that it is given, which may be the output of a rule
        return ancient(str(paths) if isinstance(paths, str) else [str(path) for path in paths])

    def named(name, paths):
        if callable(paths):
            return {
                name: lambda wildcards: undated(paths(wildcards)),
                f"{name}_manifest": lambda wildcards: manifest(paths(wildcards)),
            }
        return {name: undated(paths), f"{name}_manifest": manifest(paths)}

    return {key: value for entry in files.items() for key, value in named(*entry).items()}


def left_out(paths):
    """Whether one of large files is not there any more, of which the manifest is: a release lacks some of them."""
    each = [paths] if isinstance(paths, str) else paths
    return any(Path(manifest(path)).exists() and not Path(path).exists() for path in each)


# ---------------------------------------------------------------- systems, models and PSFs


def of_models(pattern):
    """The file of every model that the run compares."""
    return expand(pattern, model=CONFIG.models)


def of_psfs(pattern):
    """The file of every PSF."""
    return expand(pattern, psf=CONFIG.psfs)


def chunk_files(splits, psfs=CONFIG.psfs, run=CONFIG, folder=RUN):
    """The image files of some splits; ``run`` has other ones in another ``folder``."""
    return [
        f"{folder}/images/{psf}/{chunk}.h5"
        for psf in psfs
        for split in splits
        for chunk, first, count in chunks(run, psf, split)
    ]


def chunk_range(wildcards, run=CONFIG):
    """(first index, count) of a simulation job."""
    split = wildcards.chunk.split("-")[0]
    for chunk, first, count in chunks(run, wildcards.psf, split):
        if chunk == wildcards.chunk:
            return first, count
    raise LensvitError(f"the config has no chunk {wildcards.chunk} of {wildcards.psf}")


def catalog_files(folder):
    """Outputs of a rule that makes a catalogue."""
    return with_manifests(catalog=f"{folder}/catalog.parquet") | {"scaler": f"{folder}/scaler.json"}


def training_inputs(folder, psfs):
    """Inputs of a training, whose catalogue lies in ``folder``, on the images of some PSFs."""
    return {
        "settings": settings_file("train/{model}"),
        "scaler": f"{folder}/scaler.json",
        **large(
            catalog=f"{folder}/catalog.parquet",
            images=chunk_files(["train", "validation"], psfs),
            psfs=of_psfs(rules.psf.output.kernel) if CONFIG.training.stream else [],
        ),
    }


def model_files(folder):
    """Outputs of a training."""
    return {
        **with_manifests(weights=f"{folder}/weights.safetensors"),
        "config": f"{folder}/config.json",
        "history": f"{folder}/history.csv",
        "provenance": f"{folder}/provenance.json",
    }


def evaluation_inputs(catalog, images, model=f"{RUN}/models/{{model}}", settings="evaluate"):
    """Inputs of an evaluation of the network in the folder ``model``."""
    return {
        "settings": settings_file(f"{settings}/{{model}}"),
        "config": f"{model}/config.json",
        **large(catalog=catalog, images=images, weights=f"{model}/weights.safetensors"),
    }


def prediction_files(folder):
    """Outputs of an evaluation."""
    return with_manifests(draws=f"{folder}/{{model}}.h5", summary=f"{folder}/{{model}}.parquet")


def image_inputs(settings, stage="", **more):
    """Inputs of a stage that computes the test images again, or a shard of them, and ``more`` large ones."""
    return {
        "settings": settings_file(settings),
        **large(catalog=rules.catalog.output.catalog, images=test_images(stage), psfs=test_psfs(stage), **more),
    }


# ---------------------------------------------------------------- stages that jobs share


def in_shards(path, stage):
    """A path, with or without a suffix; that of each shard, in a folder of this name, where jobs share the stage."""
    whole = Path(path)
    return str(whole.with_name(whole.stem) / f"{{shard}}{whole.suffix}") if SHARDS.get(stage) else str(path)


def shard_chunks(stage, wildcards):
    """The image files of a shard, as {psf}/{chunk}."""
    if wildcards.shard not in SHARDS[stage]:
        raise LensvitError(f"the config has no shard {wildcards.shard} of {stage}")
    return SHARDS[stage][wildcards.shard]


def chunks_option(stage):
    """The parameter by which a shard is told of its image files; empty where one job does all."""
    if not SHARDS.get(stage):
        return ""
    return lambda wildcards: f"--chunks {' '.join(shard_chunks(stage, wildcards))}"


def shard_message(text, stage):
    """The message of a stage that jobs may share."""
    return f"{text}, shard {{wildcards.shard}}" if SHARDS.get(stage) else text


def merged_files(suffix):
    """The files of all shards of a table."""
    return lambda wildcards: [f"{RUN}/{wildcards.merged}/{shard}{suffix}" for shard in MERGED[wildcards.merged]]


def test_images(stage):
    """The test images of a shard, or all of them where one job does all."""
    if not SHARDS.get(stage):
        return chunk_files(["test"])
    return lambda wildcards: [f"{RUN}/images/{chunk}.h5" for chunk in shard_chunks(stage, wildcards)]


def test_psfs(stage):
    """The kernels of a shard's test images, or all of them where one job does all."""
    if not SHARDS.get(stage):
        return of_psfs(rules.psf.output.kernel)

    def kernels(wildcards):
        psfs = dict.fromkeys(chunk.partition("/")[0] for chunk in shard_chunks(stage, wildcards))
        return expand(rules.psf.output.kernel, psf=psfs)

    return kernels


# ---------------------------------------------------------------- parameters


def stage_content(wildcards):
    """A stage's part of the config, one canonical line."""
    return json.dumps(stage_settings(CONFIG, wildcards.part), sort_keys=True)


def images_folder(wildcards, input):
    """The folder with the images of every PSF."""
    return str(Path(input.images[0]).parent.parent)


def model_folder(wildcards, input):
    """The folder of a network."""
    return str(Path(input.config).parent)


# ---------------------------------------------------------------- resources

SMALL_JOB = {"mem_mb": 2000, "runtime": 10}


def memory_of_processes(wildcards, threads):
    """Memory [MB] of a job with a process for each thread."""
    return 1500 + 1500 * threads


def network_threads(fewest):
    """CPU threads of a job that runs a network: the cores shared by the models on a CPU, some on a GPU."""
    cores = workflow.resource_settings.cores  # None on a cluster
    if CONFIG.device == "gpu" or cores is None:
        return fewest
    return max(1, cores // len(CONFIG.models))


def fit_threads(most):
    """CPU threads of a job that fits images: half of this machine's cores, so that it goes on beside a training."""
    cores = workflow.resource_settings.cores  # None on a cluster
    return most if cores is None else max(1, min(most, cores // 2))


def lens_threads(most):
    """CPU threads of a job that fits one of the user's lenses: this machine's cores shared by all of them."""
    cores = workflow.resource_settings.cores  # None on a cluster
    return most if cores is None else max(1, min(most, cores // max(1, len(CONFIG.observations))))


def gpus(wildcards):
    """GPUs of one machine that a network's jobs ask for."""
    return CONFIG.networks[wildcards.model].gpus if CONFIG.device == "gpu" else 0


def nodes(wildcards):
    """Machines on which a network is trained."""
    return CONFIG.networks[wildcards.model].nodes


def processes(wildcards):
    """Processes of a job on each node: one for each GPU."""
    return max(1, gpus(wildcards))


def shared_threads(wildcards, threads):
    """CPU threads of each process of a job on one node: its share of the job's."""
    return max(1, threads // processes(wildcards))


def training_threads(wildcards, threads):
    """CPU threads of each process of a training; on several nodes SLURM counts them for each task."""
    return threads if nodes(wildcards) > 1 else shared_threads(wildcards, threads)


def over_nodes(name):
    """A resource that only trainings over several nodes have.

    `mpi` leaves the start of the processes, which snakemake's plugin takes on itself else, to the
    shell command: there `start` is srun inside of a SLURM job and nothing outside, where lensvit
    says what is missing.
    """

    def value(wildcards, threads):
        each = processes(wildcards)
        if nodes(wildcards) == 1:
            return "" if name == "start" else None
        srun = (
            f"srun --kill-on-bad-exit=1 --nodes={nodes(wildcards)} --ntasks-per-node={each} --cpus-per-task={threads}"
        )
        return {
            "mpi": "srun",
            # the plugin takes the first for more than one process on a node alone
            "tasks_per_node": each if each > 1 else None,
            "tasks": nodes(wildcards) if each == 1 else None,
            "tasks_per_gpu": 0 if each == 1 else None,
            "start": f"${{SLURM_JOB_ID:+{srun}}} ",
        }[name]

    return value
