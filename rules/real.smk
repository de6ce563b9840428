# models/{model}/, files of the user's own lenses, observations/{lens}.json
# -> observations/networks/{model}.csv -> tables/real.csv, population.csv -> figures/figure11, 12


rule predict_observed:
    input:
        **large(weights=f"{RUN}/models/{{model}}/weights.safetensors"),
        settings=settings_file("predict_observed"),
        config=f"{RUN}/models/{{model}}/config.json",
        reference=rules.reference.output.reference,
        features=rules.reference.output.features,
        files=[path for lens in CONFIG.observations.values() for path in lens.images[:1] + lens.paths("mask")[:1]],
    output:
        f"{RUN}/observations/networks/{{model}}.csv",
    log:
        log_file("predict_observed/{model}"),
    benchmark:
        benchmark_file("predict_observed/{model}")
    conda:
        "../envs/network.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        code=code("lensvit.prediction.run"),
        model=model_folder,
    message:
        "what {wildcards.model} says of the observed lenses"
    shell:
        "python -m lensvit predict_observed --settings {input.settings} --model {params.model} --output {output}"
        " --threads {threads} > {log} 2>&1"


rule real_table:
    input:
        settings=settings_file("real_table"),
        results=expand(f"{RUN}/observations/{{lens}}.json", lens=CONFIG.observations),
        predictions=of_models(rules.predict_observed.output),
    output:
        table=reported_table("real"),
        population=table_file("population"),
    log:
        log_file("real_table"),
    benchmark:
        benchmark_file("real_table")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.real.table"),
    message:
        "the observed lenses by every method, and their population"
    shell:
        "python -m lensvit real_table --settings {input.settings} --results {input.results}"
        " --predictions {input.predictions} --output {output.table} --summary {output.population} > {log} 2>&1"


rule figure11:
    input:
        settings=settings_file("figure11"),
        table=rules.real_table.output.table,
    output:
        reported_figure("figure11"),
    log:
        log_file("figure11"),
    benchmark:
        benchmark_file("figure11")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.real.figure"),
    message:
        "Figure 11: the observed lenses by every method"
    shell:
        "python -m lensvit figure11 --settings {input.settings} --table {input.table} --output {output} > {log} 2>&1"


rule figure12:
    input:
        models=expand(f"{RUN}/observations/{{lens}}_model.fits", lens=CONFIG.observations),
    output:
        reported_figure("figure12"),
    log:
        log_file("figure12"),
    benchmark:
        benchmark_file("figure12")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.real.figure"),
    message:
        "Figure 12: images of the observed lenses"
    shell:
        "python -m lensvit figure12 --models {input.models} --output {output} > {log} 2>&1"
