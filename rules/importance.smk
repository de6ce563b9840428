# refined/{start}.h5, images -> importance.parquet, importance.h5 -> tables/importance.csv, figures 8 and 9

SAMPLED = in_shards(products.importance_file(CONFIG), "importance")
STARTED = [products.refined_file(CONFIG, start) for start in CONFIG.refine.starts_used(CONFIG)]


rule importance:
    input:
        **image_inputs("importance", "importance", refined=STARTED, maxima=[*map(products.arrays_file, STARTED)]),
    output:
        **with_manifests(table=SAMPLED, samples=products.arrays_file(SAMPLED)),
    log:
        log_file(in_shards("importance", "importance")),
    benchmark:
        benchmark_file(in_shards("importance", "importance"))
    conda:
        "../envs/simulate.yaml"
    threads: fit_threads(4)  # a process each
    resources:
        mem_mb=memory_of_processes,
        runtime=240,
    params:
        code=code("lensvit.chapters.importance.compute"),
        images=images_folder,
        chunks=chunks_option("importance"),
    message:
        shard_message("exact posteriors of refined systems by importance sampling", "importance")
    shell:
        "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m lensvit importance"
        " --settings {input.settings} --catalog {input.catalog} --images {params.images} --psfs {input.psfs}"
        " --refined {input.refined} {params.chunks} --threads {threads} --output {output.table} > {log} 2>&1"


rule importance_table:
    input:
        **large(
            importance=EXACT.with_arrays,
            others=LIMIT.files + FITS.files,
        ),
    output:
        reported_table("importance"),
    log:
        log_file("importance_table"),
    benchmark:
        benchmark_file("importance_table")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.importance.table"),
        importance=EXACT.options,
        limit=LIMIT.options,
        refined=FITS.options,
    message:
        "what the exact posteriors reach and cost"
    shell:
        "python -m lensvit importance_table {params.importance} {params.limit}"
        " {params.refined} --output {output} > {log} 2>&1"


rule figure8:
    input:
        **large(
            importance=EXACT.with_arrays,
            draws=of_models(rules.evaluate.output.draws),
            refined=FITS.with_arrays,
        ),
        settings=settings_file("figure8"),
    output:
        reported_figure("figure8"),
    log:
        log_file("figure8"),
    benchmark:
        benchmark_file("figure8")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.importance.figure"),
        importance=EXACT.options,
        refined=FITS.options,
    message:
        "Figure 8: the exact posterior of one system"
    shell:
        "python -m lensvit figure8 --settings {input.settings} {params.importance} --draws {input.draws}"
        " {params.refined} --output {output} > {log} 2>&1"


rule figure9:
    input:
        **large(
            importance=EXACT.with_arrays,
            draws=of_models(rules.evaluate.output.draws),
            refined=FITS.with_arrays,
        ),
        settings=settings_file("figure9"),
    output:
        reported_figure("figure9"),
    log:
        log_file("figure9"),
    benchmark:
        benchmark_file("figure9")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.importance.coverage_figure"),
        importance=EXACT.options,
        refined=FITS.options,
    message:
        "Figure 9: calibration of all methods on the same systems"
    shell:
        "python -m lensvit figure9 --settings {input.settings} {params.importance} --draws {input.draws}"
        " {params.refined} --output {output} > {log} 2>&1"
