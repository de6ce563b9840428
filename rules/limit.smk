# catalog.parquet, psf/{psf}.fits -> limit.parquet -> tables/limit.csv, and into Table 1 and figure 3


rule limit:
    input:
        **large(catalog=rules.catalog.output.catalog, psfs=of_psfs(rules.psf.output.kernel)),
        settings=settings_file("limit"),
    output:
        **with_manifests(
            limit=products.limit_file(CONFIG), covariance=products.covariance_file(products.limit_file(CONFIG))
        ),
    log:
        log_file("limit"),
    benchmark:
        benchmark_file("limit")
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        code=code("lensvit.chapters.limit.compute"),
    message:
        "the limit of information of the test systems"
    shell:
        "python -m lensvit limit --settings {input.settings} --catalog {input.catalog} --psfs {input.psfs}"
        " --output {output.limit} > {log} 2>&1"


rule limit_table:
    input:
        **large(limit=rules.limit.output.limit, predictions=of_models(rules.evaluate.output.summary)),
    output:
        reported_table("limit"),
    log:
        log_file("limit_table"),
    benchmark:
        benchmark_file("limit_table")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.limit.table"),
        amplitudes=CONFIG.limit.amplitudes,
    message:
        "the models' errors beside the limit of information"
    shell:
        "python -m lensvit limit_table --limit {input.limit} --predictions {input.predictions}"
        " --amplitudes {params.amplitudes} --output {output} > {log} 2>&1"
