# lensvit: settings -> PSFs -> images -> catalogue -> weights -> draws -> table and figures -> paper.pdf
# Each arrow is one rule, one `lensvit` command, one module, one kind of file (README.md).

from snakemake.utils import min_version

min_version("9.11")


configfile: "config.yaml"


include: "rules/machine.smk"
include: "rules/common.smk"
# the chain: a rule names outputs of the one before
include: "rules/psf.smk"
include: "rules/simulate.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"


# what is made of it, in any order
for chapter in CHAPTERS:

    include: f"rules/{chapter}.smk"


include: "rules/paper.smk"


localrules:
    all,
    data,
    models,
    restore,


rule all:
    default_target: True
    input:
        rules.pdf.output,
        rules.archive.output,


rule data:
    input:
        rules.catalog.output.catalog,


rule models:
    input:
        of_models(rules.train.output.weights),


# What a release leaves out and the settings give again, byte for byte: run this by itself before
# a change that needs them, else snakemake takes what follows from them as new (docs/releases.md).
rule restore:
    input:
        RESTORED,
