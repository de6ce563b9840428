# predictions/{model}.h5, images -> mcmc.parquet, mcmc.h5 -> tables/mcmc.csv, chains.csv, figures/figure5

# from whose draws the second chain of a system starts
STARTING = CONFIG.mcmc.model or list(CONFIG.models)[0]
CHAINS = products.chains_file(CONFIG)
EXACT_STARTS = products.chain_starts(CONFIG)


rule mcmc:
    input:
        **image_inputs(
            "mcmc",
            draws=expand(rules.evaluate.output.draws, model=STARTING),
            importance=EXACT_STARTS.with_arrays,
        ),
    output:
        **with_manifests(table=CHAINS, samples=products.arrays_file(CHAINS)),
    log:
        log_file("mcmc"),
    benchmark:
        benchmark_file("mcmc")
    priority: 1  # the longest job, on which others wait
    conda:
        "../envs/simulate.yaml"
    threads: min(2 * CONFIG.mcmc.systems, 4)  # a process each, for one chain after the other
    resources:
        mem_mb=memory_of_processes,
        runtime=600,
    params:
        code=code("lensvit.chapters.mcmc.compute"),
        images=images_folder,
        importance=EXACT_STARTS.options,
    message:
        "Markov chains of some test systems"
    shell:
        "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m lensvit mcmc"
        " --settings {input.settings} --catalog {input.catalog} --images {params.images} --psfs {input.psfs}"
        " --draws {input.draws} {params.importance} --threads {threads} --output {output.table} > {log} 2>&1"


rule mcmc_table:
    input:
        **large(
            mcmc=rules.mcmc.output.table,
            predictions=of_models(rules.evaluate.output.summary),
            others=LIMIT.files + FITS.files + EXACT.files,
        ),
    output:
        table=reported_table("mcmc"),
        chains=table_file("chains"),
    log:
        log_file("mcmc_table"),
    benchmark:
        benchmark_file("mcmc_table")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.mcmc.table"),
        limit=LIMIT.options,
        refined=FITS.options,
        importance=EXACT.options,
    message:
        "Markov chains beside the networks, the limit and the refinement"
    shell:
        "python -m lensvit mcmc_table --mcmc {input.mcmc} --predictions {input.predictions} {params.limit}"
        " {params.refined} {params.importance} --output {output.table} --chains {output.chains} > {log} 2>&1"


rule figure5:
    input:
        **large(
            mcmc=rules.mcmc.output.table,
            samples=rules.mcmc.output.samples,
            draws=of_models(rules.evaluate.output.draws),
            refined=FITS.with_arrays,
            importance=EXACT.with_arrays,
        ),
        settings=settings_file("figure5"),
    output:
        reported_figure("figure5"),
    log:
        log_file("figure5"),
    benchmark:
        benchmark_file("figure5")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.mcmc.figure"),
        refined=FITS.options,
        importance=EXACT.options,
    message:
        "Figure 5: a posterior by every method"
    shell:
        "python -m lensvit figure5 --settings {input.settings} --mcmc {input.mcmc} --draws {input.draws}"
        " {params.refined} {params.importance} --output {output} > {log} 2>&1"
