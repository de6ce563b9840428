# lensvit: settings -> PSFs -> images -> catalogue -> weights -> draws -> table and figures -> paper.pdf
# Each arrow is one rule, one `lensvit` command, one module, one kind of file (docs/outputs.md).

import sys
from pathlib import Path

from snakemake.logging import logger
from snakemake.utils import min_version

min_version("9.11")

if not (Path("config.yaml").is_file() and Path("paper/references.bib").is_file()):
    sys.exit(
        f"no config.yaml and no paper/ in {Path.cwd()}: start in the clone, or give --directory {workflow.basedir}"
    )


configfile: "config.yaml"


include: "rules/machine.smk"
include: "rules/common.smk"
# the chain: a rule names outputs of the one before
include: "rules/psf.smk"
include: "rules/simulate.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/networks.smk"
include: "rules/shards.smk"
include: "rules/observations.smk"


# what is made of it, in any order
for chapter in CHAPTERS:

    include: f"rules/{chapter}.smk"


include: "rules/paper.smk"
include: "rules/page.smk"


MEMORY.save()


onsuccess:
    for line in finished([*rules.pdf.output, rules.page.output.page], table_file("table1")):
        logger.info(line)


localrules:
    all,
    data,
    models,
    networks,
    restore,


rule all:
    default_target: True
    input:
        rules.pdf.output,
        rules.archive.output,
        PAGE_BY_DEFAULT,
        rules.observations.input,
    message:
        "all is there"


rule data:
    input:
        rules.catalog.output.catalog,
    message:
        "the catalogue is there"


rule models:
    input:
        of_models(rules.train.output.weights),
    message:
        "the networks are there"


# the networks with what serves them on images of one's own (docs/predict.md)
rule networks:
    input:
        of_models(rules.reference.output.reference),
        of_models(rules.model_card.output),
    message:
        "the networks can be used on other images"


# What a release leaves out and the settings give again, byte for byte: run this by itself before
# a change that needs them, else snakemake takes what follows from them as new (docs/releases.md).
rule restore:
    input:
        RESTORED,
    message:
        "what the release leaves out is there"
