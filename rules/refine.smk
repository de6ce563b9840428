# predictions/{model}.h5, images -> refined/{model}.parquet -> tables/refined.csv

# what the fits start from: draws of these networks, and the priors
REFINED_MODELS = []
if CONFIG.refine.enabled:
    REFINED_MODELS = [CONFIG.refine.model] if CONFIG.refine.model else list(CONFIG.models)
REFINED = REFINED_MODELS + (["prior"] if REFINED_MODELS and CONFIG.refine.also_from_prior else [])

# what a stage that shows the refinement asks for: nothing where it is switched off
REFINED_TABLE = [f"{RUN}/tables/refined.csv"] if REFINED else []
REFINED_INPUTS = [
    part for model in REFINED_MODELS[:1]
    for part in (ancient(f"{RUN}/refined/{model}.parquet"), manifest(f"{RUN}/refined/{model}.parquet"))
]
REFINED_COVARIANCE = [
    part for model in REFINED_MODELS[:1]
    for part in (ancient(f"{RUN}/refined/{model}.h5"), manifest(f"{RUN}/refined/{model}.h5"))
]
REFINED_OPTIONS = f"--refined {RUN}/refined/{REFINED_MODELS[0]}.parquet" if REFINED_MODELS else ""


rule refine:
    message: "refining the draws of {wildcards.model} with all pixels of the images"
    input:
        modules=modules("lensvit.chapters.refine.compute"),
        settings=f"{RUN}/settings/refine/{{model}}.yaml",
        catalog=ancient(f"{RUN}/catalog.parquet"),
        catalog_manifest=manifest(f"{RUN}/catalog.parquet"),
        images=ancient(chunk_files(["test"])),
        manifests=[manifest(path) for path in chunk_files(["test"])],
        psfs=ancient(expand(f"{RUN}/psf/{{psf}}.fits", psf=CONFIG.psfs)),
        psf_manifests=[manifest(f"{RUN}/psf/{psf}.fits") for psf in CONFIG.psfs],
        draws=ancient(f"{RUN}/predictions/{{model}}.h5"),
        draws_manifest=manifest(f"{RUN}/predictions/{{model}}.h5"),
    output:
        table=f"{RUN}/refined/{{model}}.parquet",
        table_manifest=manifest(f"{RUN}/refined/{{model}}.parquet"),
        covariance=f"{RUN}/refined/{{model}}.h5",
        covariance_manifest=manifest(f"{RUN}/refined/{{model}}.h5"),
    params:
        images=lambda wildcards, input: str(Path(input.images[0]).parent.parent),
        draws=lambda wildcards, input: f"--draws {input.draws}",
    log:
        f"{RUN}/logs/refine/{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/refine/{{model}}.tsv"
    threads: 4  # a process each
    resources:
        mem_mb=lambda wildcards, threads: 1500 + 1500 * threads,
        runtime=240,
    conda:
        "../envs/simulate.yaml"
    shell:
        "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m lensvit refine"
        " --settings {input.settings} --catalog {input.catalog} --images {params.images} --psfs {input.psfs}"
        " {params.draws} --threads {threads} --output {output.table} > {log} 2>&1"


# the same without a network: what is its start worth?
use rule refine as refine_prior with:
    message: "refining the means of the priors with all pixels of the images"
    input:
        modules=modules("lensvit.chapters.refine.compute"),
        settings=f"{RUN}/settings/refine_prior.yaml",
        catalog=ancient(f"{RUN}/catalog.parquet"),
        catalog_manifest=manifest(f"{RUN}/catalog.parquet"),
        images=ancient(chunk_files(["test"])),
        manifests=[manifest(path) for path in chunk_files(["test"])],
        psfs=ancient(expand(f"{RUN}/psf/{{psf}}.fits", psf=CONFIG.psfs)),
        psf_manifests=[manifest(f"{RUN}/psf/{psf}.fits") for psf in CONFIG.psfs],
    output:
        table=f"{RUN}/refined/prior.parquet",
        table_manifest=manifest(f"{RUN}/refined/prior.parquet"),
        covariance=f"{RUN}/refined/prior.h5",
        covariance_manifest=manifest(f"{RUN}/refined/prior.h5"),
    params:
        images=lambda wildcards, input: str(Path(input.images[0]).parent.parent),
        draws="",
    log:
        f"{RUN}/logs/refine_prior.log",
    benchmark:
        f"{RUN}/benchmarks/refine_prior.tsv"


rule refined_table:
    message: "what the refinement reaches"
    input:
        modules=modules("lensvit.chapters.refine.table"),
        refined=ancient([f"{RUN}/refined/{start}.parquet" for start in REFINED]),
        manifests=[manifest(f"{RUN}/refined/{start}.parquet") for start in REFINED],
        predictions=ancient([f"{RUN}/predictions/{model}.parquet" for model in REFINED_MODELS]),
        prediction_manifests=[manifest(f"{RUN}/predictions/{model}.parquet") for model in REFINED_MODELS],
    output:
        report(f"{RUN}/tables/refined.csv", caption="../paper/captions/refined.rst", category="Results"),
    log:
        f"{RUN}/logs/refined_table.log",
    benchmark:
        f"{RUN}/benchmarks/refined_table.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit refined_table --refined {input.refined} --predictions {input.predictions}"
        " --output {output} > {log} 2>&1"
