# predictions/{model}.h5 and posteriors -> fermat.parquet -> tables/fermat.csv, figures/figure6

FERMAT = f"{RUN}/fermat.parquet"
FERMAT_TABLE = [f"{RUN}/tables/fermat.csv"] if CONFIG.fermat.enabled else []
FERMAT_FIGURE = ["figure6"] if CONFIG.fermat.enabled else []

# posteriors of all pixels, where the run has them: option -> file; a table has an .h5 beside it
FERMAT_POSTERIORS = {}
if CONFIG.limit.enabled:
    FERMAT_POSTERIORS["limit"] = LIMIT
if REFINED_MODELS:
    FERMAT_POSTERIORS["refined"] = f"{RUN}/refined/{REFINED_MODELS[0]}.parquet"
if CONFIG.mcmc.enabled:
    FERMAT_POSTERIORS["mcmc"] = MCMC_SAMPLES
FERMAT_FILES = sorted(
    {path for file in FERMAT_POSTERIORS.values() for path in (file, str(Path(file).with_suffix(".h5")))}
)


rule fermat:
    message: "the longest delay of each test system, by every method's draws"
    input:
        modules=modules("lensvit.chapters.fermat.compute"),
        settings=f"{RUN}/settings/fermat.yaml",
        catalog=ancient(f"{RUN}/catalog.parquet"),
        catalog_manifest=manifest(f"{RUN}/catalog.parquet"),
        draws=ancient(expand(f"{RUN}/predictions/{{model}}.h5", model=CONFIG.models)),
        draws_manifests=expand(manifest(f"{RUN}/predictions/{{model}}.h5"), model=CONFIG.models),
        posteriors=ancient(FERMAT_FILES),
        posterior_manifests=[manifest(path) for path in FERMAT_FILES],
    output:
        table=FERMAT,
        manifest=manifest(FERMAT),
    params:
        posteriors=" ".join(f"--{option} {path}" for option, path in FERMAT_POSTERIORS.items()),
        amplitudes=CONFIG.limit.amplitudes,
    log:
        f"{RUN}/logs/fermat.log",
    benchmark:
        f"{RUN}/benchmarks/fermat.tsv"
    threads: 1
    resources:
        mem_mb=6000,
        runtime=60,
    conda:
        "../envs/simulate.yaml"
    shell:
        "OMP_NUM_THREADS={threads} OPENBLAS_NUM_THREADS={threads} python -m lensvit fermat"
        " --settings {input.settings} --catalog {input.catalog} --draws {input.draws} {params.posteriors}"
        " --amplitudes {params.amplitudes} --output {output.table} > {log} 2>&1"


rule fermat_table:
    message: "what the delays of all test systems say of H0"
    input:
        modules=modules("lensvit.chapters.fermat.table"),
        fermat=ancient(FERMAT),
        manifest=manifest(FERMAT),
    output:
        report(f"{RUN}/tables/fermat.csv", caption="../paper/captions/fermat.rst", category="Results"),
    params:
        goal=CONFIG.fermat.goal,
    log:
        f"{RUN}/logs/fermat_table.log",
    benchmark:
        f"{RUN}/benchmarks/fermat_table.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit fermat_table --fermat {input.fermat} --goal {params.goal} --output {output} > {log} 2>&1"


rule figure6:
    message: "Figure 6: what the errors mean for H0"
    input:
        modules=modules("lensvit.chapters.fermat.figure"),
        settings=f"{RUN}/settings/figure6.yaml",
        fermat=ancient(FERMAT),
        manifest=manifest(FERMAT),
    output:
        report(
            expand(f"{RUN}/figures/figure6.{{suffix}}", suffix=["pdf", "png"]),
            caption="../paper/captions/figure6.rst",
            category="Results",
        ),
    log:
        f"{RUN}/logs/figure6.log",
    benchmark:
        f"{RUN}/benchmarks/figure6.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit figure6 --settings {input.settings} --fermat {input.fermat} --output {output} > {log} 2>&1"
