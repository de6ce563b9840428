# predictions/{model}.h5, images -> mcmc.parquet, mcmc.h5 -> tables/mcmc.csv, chains.csv, figures/figure5

MCMC = f"{RUN}/mcmc.parquet"
MCMC_SAMPLES = f"{RUN}/mcmc.h5"

# from whose draws the second chain of a system starts
MCMC_MODEL = CONFIG.mcmc.model or list(CONFIG.models)[0]

# what a stage that shows the chains asks for: nothing where they are switched off
MCMC_TABLES = [f"{RUN}/tables/mcmc.csv", f"{RUN}/tables/chains.csv"] if CONFIG.mcmc.enabled else []
MCMC_FIGURE = ["figure5"] if CONFIG.mcmc.enabled else []


rule mcmc:
    message: "Markov chains of some test systems"
    input:
        modules=modules("lensvit.chapters.mcmc.compute"),
        settings=f"{RUN}/settings/mcmc.yaml",
        catalog=ancient(f"{RUN}/catalog.parquet"),
        catalog_manifest=manifest(f"{RUN}/catalog.parquet"),
        images=ancient(chunk_files(["test"])),
        manifests=[manifest(path) for path in chunk_files(["test"])],
        psfs=ancient(expand(f"{RUN}/psf/{{psf}}.fits", psf=CONFIG.psfs)),
        psf_manifests=[manifest(f"{RUN}/psf/{psf}.fits") for psf in CONFIG.psfs],
        draws=ancient(f"{RUN}/predictions/{MCMC_MODEL}.h5"),
        draws_manifest=manifest(f"{RUN}/predictions/{MCMC_MODEL}.h5"),
    output:
        table=MCMC,
        table_manifest=manifest(MCMC),
        samples=MCMC_SAMPLES,
        samples_manifest=manifest(MCMC_SAMPLES),
    params:
        images=lambda wildcards, input: str(Path(input.images[0]).parent.parent),
    log:
        f"{RUN}/logs/mcmc.log",
    benchmark:
        f"{RUN}/benchmarks/mcmc.tsv"
    priority: 1  # the longest job, on which others wait
    threads: min(2 * CONFIG.mcmc.systems, 4)  # a process each, for one chain after the other
    resources:
        mem_mb=lambda wildcards, threads: 1500 + 1500 * threads,
        runtime=600,
    conda:
        "../envs/simulate.yaml"
    shell:
        "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m lensvit mcmc"
        " --settings {input.settings} --catalog {input.catalog} --images {params.images} --psfs {input.psfs}"
        " --draws {input.draws} --threads {threads} --output {output.table} > {log} 2>&1"


rule mcmc_table:
    message: "Markov chains beside the networks, the limit and the refinement"
    input:
        modules=modules("lensvit.chapters.mcmc.table"),
        mcmc=ancient(MCMC),
        manifest=manifest(MCMC),
        predictions=ancient(expand(f"{RUN}/predictions/{{model}}.parquet", model=CONFIG.models)),
        prediction_manifests=expand(manifest(f"{RUN}/predictions/{{model}}.parquet"), model=CONFIG.models),
        limit=LIMIT_INPUTS,
        refined=REFINED_INPUTS,
    output:
        table=report(f"{RUN}/tables/mcmc.csv", caption="../paper/captions/mcmc.rst", category="Results"),
        chains=f"{RUN}/tables/chains.csv",
    params:
        limit=LIMIT_OPTIONS,
        refined=REFINED_OPTIONS,
    log:
        f"{RUN}/logs/mcmc_table.log",
    benchmark:
        f"{RUN}/benchmarks/mcmc_table.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit mcmc_table --mcmc {input.mcmc} --predictions {input.predictions} {params.limit}"
        " {params.refined} --output {output.table} --chains {output.chains} > {log} 2>&1"


rule figure5:
    message: "Figure 5: a posterior by every method"
    input:
        modules=modules("lensvit.chapters.mcmc.figure"),
        settings=f"{RUN}/settings/figure5.yaml",
        mcmc=ancient([MCMC, MCMC_SAMPLES]),
        manifests=[manifest(MCMC), manifest(MCMC_SAMPLES)],
        draws=ancient(expand(f"{RUN}/predictions/{{model}}.h5", model=CONFIG.models)),
        draws_manifests=expand(manifest(f"{RUN}/predictions/{{model}}.h5"), model=CONFIG.models),
        refined=REFINED_INPUTS,
        covariance=REFINED_COVARIANCE,
    output:
        report(
            expand(f"{RUN}/figures/figure5.{{suffix}}", suffix=["pdf", "png"]),
            caption="../paper/captions/figure5.rst",
            category="Results",
        ),
    params:
        refined=REFINED_OPTIONS,
    log:
        f"{RUN}/logs/figure5.log",
    benchmark:
        f"{RUN}/benchmarks/figure5.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit figure5 --settings {input.settings} --mcmc {input.mcmc[0]} --draws {input.draws}"
        " {params.refined} --output {output} > {log} 2>&1"
