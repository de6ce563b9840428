# lensvit: settings -> PSFs -> images -> catalogue -> weights -> draws -> table and figures -> paper.pdf
# Each arrow is one rule, one `lensvit` command, one module, one kind of file (README.md).

from snakemake.utils import min_version

min_version("9.11")

configfile: "config.yaml"

include: "rules/common.smk"
include: "rules/psf.smk"
include: "rules/simulate.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/calibrate.smk"
include: "rules/limit.smk"
include: "rules/refine.smk"
include: "rules/ablation.smk"
include: "rules/shift.smk"
include: "rules/mcmc.smk"
include: "rules/fermat.smk"
include: "rules/paper.smk"


localrules: all, data, models, restore


rule all:
    default_target: True
    input:
        f"{RUN}/paper/paper.pdf",
        f"{RUN}/paper/paper-source.tar.gz",


rule data:
    input:
        f"{RUN}/catalog.parquet",


rule models:
    input:
        expand(f"{RUN}/models/{{model}}/weights.safetensors", model=CONFIG.models),


# What a release leaves out and the settings give again, byte for byte: run this by itself before
# a change that needs them, else snakemake takes what follows from them as new (docs/releases.md).
rule restore:
    input:
        expand(f"{RUN}/psf/{{psf}}.fits", psf=CONFIG.psfs),
        chunk_files(SPLITS),
        [scored_images(case) for case in SHIFTED],
