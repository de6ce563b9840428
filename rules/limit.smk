# catalog.parquet, psf/{psf}.fits -> limit.parquet -> tables/limit.csv, and into Table 1 and figure 3

LIMITS = in_shards(products.limit_file(CONFIG), "limit")


rule limit:
    input:
        **large(catalog=rules.catalog.output.catalog, psfs=test_psfs("limit")),
        settings=settings_file("limit"),
    output:
        **with_manifests(limit=LIMITS, covariance=products.arrays_file(LIMITS)),
    log:
        log_file(in_shards("limit", "limit")),
    benchmark:
        benchmark_file(in_shards("limit", "limit"))
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        code=code("lensvit.chapters.limit.compute"),
        chunks=chunks_option("limit"),
    message:
        shard_message("the limit of information of the test systems", "limit")
    shell:
        "python -m lensvit limit --settings {input.settings} --catalog {input.catalog} --psfs {input.psfs}"
        " {params.chunks} --output {output.limit} > {log} 2>&1"


rule limit_table:
    input:
        **large(limit=products.limit_file(CONFIG), predictions=of_models(rules.evaluate.output.summary)),
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
        inputs=CONFIG.limit.inputs_of_models(CONFIG),
    message:
        "the models' errors beside the limit of information"
    shell:
        "python -m lensvit limit_table --limit {input.limit} --predictions {input.predictions}"
        " --amplitudes {params.amplitudes} --inputs {params.inputs} --output {output} > {log} 2>&1"
