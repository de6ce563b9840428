# catalog.parquet, psf/{psf}.fits -> limit.parquet -> tables/limit.csv, and into Table 1 and figure 3

LIMIT = f"{RUN}/limit.parquet"


# what a stage that shows the limit asks for: nothing where it is switched off
LIMIT_INPUTS = [ancient(LIMIT), manifest(LIMIT)] if CONFIG.limit.enabled else []
LIMIT_OPTIONS = f"--limit {LIMIT} --amplitudes {CONFIG.limit.amplitudes}" if CONFIG.limit.enabled else ""
LIMIT_TABLE = [f"{RUN}/tables/limit.csv"] if CONFIG.limit.enabled else []


rule limit:
    message: "the limit of information of the test systems"
    input:
        modules=modules("lensvit.chapters.limit.compute"),
        settings=f"{RUN}/settings/limit.yaml",
        catalog=ancient(f"{RUN}/catalog.parquet"),
        catalog_manifest=manifest(f"{RUN}/catalog.parquet"),
        psfs=ancient(expand(f"{RUN}/psf/{{psf}}.fits", psf=CONFIG.psfs)),
        psf_manifests=[manifest(f"{RUN}/psf/{psf}.fits") for psf in CONFIG.psfs],
    output:
        limit=LIMIT,
        manifest=manifest(LIMIT),
        covariance=f"{RUN}/limit.h5",
        covariance_manifest=manifest(f"{RUN}/limit.h5"),
    log:
        f"{RUN}/logs/limit.log",
    benchmark:
        f"{RUN}/benchmarks/limit.tsv"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    conda:
        "../envs/simulate.yaml"
    shell:
        "python -m lensvit limit --settings {input.settings} --catalog {input.catalog} --psfs {input.psfs}"
        " --output {output.limit} > {log} 2>&1"


rule limit_table:
    message: "the models' errors beside the limit of information"
    input:
        modules=modules("lensvit.chapters.limit.table"),
        limit=ancient(LIMIT),
        limit_manifest=manifest(LIMIT),
        predictions=ancient(expand(f"{RUN}/predictions/{{model}}.parquet", model=CONFIG.models)),
        manifests=expand(manifest(f"{RUN}/predictions/{{model}}.parquet"), model=CONFIG.models),
    output:
        report(f"{RUN}/tables/limit.csv", caption="../paper/captions/limit.rst", category="Results"),
    params:
        amplitudes=CONFIG.limit.amplitudes,
    log:
        f"{RUN}/logs/limit_table.log",
    benchmark:
        f"{RUN}/benchmarks/limit_table.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit limit_table --limit {input.limit} --predictions {input.predictions}"
        " --amplitudes {params.amplitudes} --output {output} > {log} 2>&1"
