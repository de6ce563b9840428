# predictions/{model}.parquet -> tables/table1.csv, figures/figure2, figure3

TRAININGS = products.trainings_shown(CONFIG)
ENSEMBLE = products.ensemble_shown(CONFIG)
WEIGHTS = {"weights": products.weights_file(CONFIG)} if ENSEMBLE.files else {}


rule table:
    input:
        **large(
            predictions=of_models(rules.evaluate.output.summary),
            catalog=rules.catalog.output.catalog,
            validation=ENSEMBLE.files,
            others=LIMIT.files + FITS.files + EXACT.files + TRAININGS.files,
        ),
        scaler=rules.catalog.output.scaler,
    output:
        table=reported_table("table1"),
        errors=table_file("table1_errors"),
        differences=table_file("table1_differences"),
        **WEIGHTS,
    log:
        log_file("table"),
    benchmark:
        benchmark_file("table")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.accuracy.table"),
        limit=LIMIT.options,
        refined=FITS.options,
        importance=EXACT.options,
        trainings=TRAININGS.options,
        ensemble=ENSEMBLE.options,
    message:
        "Table 1"
    shell:
        "python -m lensvit table --predictions {input.predictions} --catalog {input.catalog}"
        " --scaler {input.scaler} {params.limit} {params.refined} {params.importance} {params.trainings}"
        " {params.ensemble}"
        " --output {output.table} --errors {output.errors} --differences {output.differences} > {log} 2>&1"


rule figure2:
    input:
        **large(predictions=of_models(rules.evaluate.output.summary)),
        settings=settings_file("figure2"),
    output:
        reported_figure("figure2"),
    log:
        log_file("figure2"),
    benchmark:
        benchmark_file("figure2")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.accuracy.scatter_figure"),
    message:
        "Figure 2: predictions against truth"
    shell:
        "python -m lensvit figure2 --settings {input.settings} --predictions {input.predictions}"
        " --output {output} > {log} 2>&1"


rule figure3:
    input:
        **large(predictions=of_models(rules.evaluate.output.summary), limit=LIMIT.files),
        settings=settings_file("figure3"),
    output:
        reported_figure("figure3"),
    log:
        log_file("figure3"),
    benchmark:
        benchmark_file("figure3")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.accuracy.error_figure"),
        limit=LIMIT.options,
    message:
        "Figure 3: errors of the predictions"
    shell:
        "python -m lensvit figure3 --settings {input.settings} --predictions {input.predictions}"
        " {params.limit} --output {output} > {log} 2>&1"
