# predictions/{model}.h5, images -> refined/{model}.parquet -> tables/refined.csv

FROM_NETWORK = in_shards(products.refined_file(CONFIG, "{model}"), "refine")
FROM_PRIOR = in_shards(products.refined_file(CONFIG, "prior"), "refine_prior")


rule refine:
    input:
        **image_inputs("refine/{model}", "refine", draws=rules.evaluate.output.draws),
    output:
        **with_manifests(table=FROM_NETWORK, covariance=products.arrays_file(FROM_NETWORK)),
    log:
        log_file(in_shards("refine/{model}", "refine")),
    benchmark:
        benchmark_file(in_shards("refine/{model}", "refine"))
    conda:
        "../envs/simulate.yaml"
    threads: fit_threads(4)  # a process each
    resources:
        mem_mb=memory_of_processes,
        runtime=240,
    params:
        code=code("lensvit.chapters.refine.compute"),
        images=images_folder,
        chunks=chunks_option("refine"),
        draws=lambda wildcards, input: f"--draws {input.draws}",
    message:
        shard_message("refining the draws of {wildcards.model} with all pixels of the images", "refine")
    shell:
        "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m lensvit refine"
        " --settings {input.settings} --catalog {input.catalog} --images {params.images} --psfs {input.psfs}"
        " {params.draws} {params.chunks} --threads {threads} --output {output.table} > {log} 2>&1"


# the same without a network: what is its start worth?
use rule refine as refine_prior with:
    input:
        **image_inputs("refine_prior", "refine_prior"),
    output:
        **with_manifests(table=FROM_PRIOR, covariance=products.arrays_file(FROM_PRIOR)),
    log:
        log_file(in_shards("refine_prior", "refine_prior")),
    benchmark:
        benchmark_file(in_shards("refine_prior", "refine_prior"))
    params:
        chunks=chunks_option("refine_prior"),
        draws="",
    message:
        shard_message("refining the means of the priors with all pixels of the images", "refine_prior")


rule refined_table:
    input:
        **large(
            refined=[products.refined_file(CONFIG, start) for start in CONFIG.refine.starts_used(CONFIG)],
            predictions=expand(rules.evaluate.output.summary, model=CONFIG.refine.networks_used(CONFIG)),
        ),
    output:
        reported_table("refined"),
    log:
        log_file("refined_table"),
    benchmark:
        benchmark_file("refined_table")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.refine.table"),
    message:
        "what the refinement reaches"
    shell:
        "python -m lensvit refined_table --refined {input.refined} --predictions {input.predictions}"
        " --output {output} > {log} 2>&1"
