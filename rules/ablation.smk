# models/{network}/, predictions/{network}.parquet -> tables/ablation.csv; or paper/ablation.csv of an earlier run

ABLATED = [network for group in CONFIG.ablation.groups() for network in group[-1]]

# what the numbers ask for: nothing where it is switched off, or where there is no earlier table to show
ABLATION_TABLE = []
if CONFIG.ablation.enabled:
    folder = f"{RUN}/tables" if ABLATED else "paper"
    ABLATION_TABLE = [f"{folder}/ablation.csv", f"{folder}/ablation.json"]
    if not ABLATED and not all(Path(path).exists() for path in ABLATION_TABLE):
        ABLATION_TABLE = []


rule ablation_table:
    message: "what each part of the recipe brings"
    input:
        modules=modules("lensvit.chapters.ablation.table"),
        settings=f"{RUN}/settings/ablation_table.yaml",
        predictions=ancient(expand(f"{RUN}/predictions/{{network}}.parquet", network=ABLATED)),
        manifests=expand(manifest(f"{RUN}/predictions/{{network}}.parquet"), network=ABLATED),
        models=expand(f"{RUN}/models/{{network}}/config.json", network=ABLATED),
        histories=expand(f"{RUN}/models/{{network}}/history.csv", network=ABLATED),
        provenance=expand(f"{RUN}/models/{{network}}/provenance.json", network=ABLATED),
    output:
        table=report(f"{RUN}/tables/ablation.csv", caption="../paper/captions/ablation.rst", category="Results"),
        provenance=f"{RUN}/tables/ablation.json",
    params:
        models=lambda wildcards, input: str(Path(input.models[0]).parent.parent),
        predictions=lambda wildcards, input: str(Path(input.predictions[0]).parent),
    log:
        f"{RUN}/logs/ablation_table.log",
    benchmark:
        f"{RUN}/benchmarks/ablation_table.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit ablation_table --settings {input.settings} --models {params.models}"
        " --predictions {params.predictions} --output {output.table} --provenance {output.provenance} > {log} 2>&1"
