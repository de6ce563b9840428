# models/{network}/, predictions/validation/{network}.parquet -> tables/ablation.csv; or paper/data/ablation.csv of an earlier run

ABLATED = [network for group in CONFIG.ablation.groups() for network in group.networks]


rule ablation_table:
    input:
        **large(predictions=expand(rules.evaluate_validation.output.summary, model=ABLATED)),
        settings=settings_file("ablation_table"),
        models=expand(rules.train.output.config, model=ABLATED),
        histories=expand(rules.train.output.history, model=ABLATED),
        provenance=expand(rules.train.output.provenance, model=ABLATED),
    output:
        table=reported_table("ablation"),
        provenance=f"{RUN}/tables/ablation.json",
    log:
        log_file("ablation_table"),
    benchmark:
        benchmark_file("ablation_table")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.ablation.table"),
        models=lambda wildcards, input: str(Path(input.models[0]).parent.parent),
        predictions=lambda wildcards, input: str(Path(input.predictions[0]).parent),
    message:
        "what each part of the recipe brings"
    shell:
        "python -m lensvit ablation_table --settings {input.settings} --models {params.models}"
        " --predictions {params.predictions} --output {output.table} --provenance {output.provenance} > {log} 2>&1"
