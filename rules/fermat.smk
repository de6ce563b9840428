# predictions/{model}.h5 and posteriors -> fermat.parquet -> tables/fermat.csv, figures/figure6

POSTERIORS = products.posteriors_shown(CONFIG)


rule fermat:
    input:
        **large(
            catalog=rules.catalog.output.catalog,
            draws=of_models(rules.evaluate.output.draws),
            posteriors=POSTERIORS.with_arrays,
        ),
        settings=settings_file("fermat"),
    output:
        **with_manifests(table=f"{RUN}/fermat.parquet"),
    log:
        log_file("fermat"),
    benchmark:
        benchmark_file("fermat")
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=6000,
        runtime=60,
    params:
        code=code("lensvit.chapters.fermat.compute"),
        posteriors=POSTERIORS.options,
    message:
        "the longest delay of each test system, by every method's draws"
    shell:
        "OMP_NUM_THREADS={threads} OPENBLAS_NUM_THREADS={threads} python -m lensvit fermat"
        " --settings {input.settings} --catalog {input.catalog} --draws {input.draws} {params.posteriors}"
        " --output {output.table} > {log} 2>&1"


rule fermat_table:
    input:
        **large(fermat=rules.fermat.output.table),
    output:
        reported_table("fermat"),
    log:
        log_file("fermat_table"),
    benchmark:
        benchmark_file("fermat_table")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.fermat.table"),
        goal=CONFIG.fermat.goal,
    message:
        "what the delays of all test systems say of H0"
    shell:
        "python -m lensvit fermat_table --fermat {input.fermat} --goal {params.goal} --output {output} > {log} 2>&1"


rule figure6:
    input:
        **large(fermat=rules.fermat.output.table),
        settings=settings_file("figure6"),
    output:
        reported_figure("figure6"),
    log:
        log_file("figure6"),
    benchmark:
        benchmark_file("figure6")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.fermat.figure"),
    message:
        "Figure 6: what the errors mean for H0"
    shell:
        "python -m lensvit figure6 --settings {input.settings} --fermat {input.fermat} --output {output} > {log} 2>&1"
