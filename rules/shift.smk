# systems unlike those of the training: shift/{case}/ -> shift/{sample}/scores.parquet -> tables/shift.csv, figure7
# A sample is what one network predicts: the ordinary test systems, them without a PSF (left_out), or a case.

SAMPLES = ["ordinary", *(["left_out"] if UNSEEN else []), *SHIFTED] if CONFIG.shift.enabled else []

# what a stage that shows the test asks for: nothing where it is switched off
SHIFT_TABLE = [f"{RUN}/tables/shift.csv"] if CONFIG.shift.enabled else []
SHIFT_FIGURE = ["figure7"] if CONFIG.shift.enabled else []


# ---------------------------------------------------------------- shifted systems, for the network as it is


use rule simulate as shift_simulate with:
    message: "simulating {params.systems} systems of the case {wildcards.case}: {wildcards.psf}, {wildcards.chunk}"
    input:
        modules=modules("lensvit.simulation.simulate"),
        settings=f"{RUN}/settings/shift_simulate/{{case}}/{{psf}}.yaml",
        psf=ancient(f"{RUN}/psf/{{psf}}.fits"),
        psf_manifest=manifest(f"{RUN}/psf/{{psf}}.fits"),
    output:
        images=f"{RUN}/shift/{{case}}/images/{{psf}}/{{chunk}}.h5",
        manifest=manifest(f"{RUN}/shift/{{case}}/images/{{psf}}/{{chunk}}.h5"),
    params:
        split="test",
        first=lambda wildcards: chunk_range(wildcards)[0],
        systems=lambda wildcards: chunk_range(wildcards)[1],
    log:
        f"{RUN}/logs/shift/simulate/{{case}}/{{psf}}/{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/shift/simulate/{{case}}/{{psf}}/{{chunk}}.tsv"


# beside the training systems, whose scale the targets keep
use rule catalog as shift_catalog with:
    message: "the catalogue of the case {wildcards.case}"
    input:
        modules=modules("lensvit.simulation.catalog"),
        images=lambda wildcards: ancient(scored_images(wildcards.case) + chunk_files(["train"])),
        manifests=lambda wildcards: [manifest(path) for path in scored_images(wildcards.case) + chunk_files(["train"])],
    output:
        catalog=f"{RUN}/shift/{{case}}/catalog.parquet",
        manifest=manifest(f"{RUN}/shift/{{case}}/catalog.parquet"),
        scaler=f"{RUN}/shift/{{case}}/scaler.json",
    log:
        f"{RUN}/logs/shift/catalog/{{case}}.log",
    benchmark:
        f"{RUN}/benchmarks/shift/catalog/{{case}}.tsv"


use rule evaluate as shift_evaluate with:
    message: "MC dropout with {wildcards.model} on the case {wildcards.case} ({resources.gpu} GPU)"
    input:
        modules=modules("lensvit.learning.evaluate"),
        settings=f"{RUN}/settings/evaluate/{{model}}.yaml",
        catalog=ancient(f"{RUN}/shift/{{case}}/catalog.parquet"),
        catalog_manifest=manifest(f"{RUN}/shift/{{case}}/catalog.parquet"),
        images=lambda wildcards: ancient(scored_images(wildcards.case)),
        manifests=lambda wildcards: [manifest(path) for path in scored_images(wildcards.case)],
        weights=ancient(f"{RUN}/models/{{model}}/weights.safetensors"),
        weights_manifest=manifest(f"{RUN}/models/{{model}}/weights.safetensors"),
        config=f"{RUN}/models/{{model}}/config.json",
    output:
        draws=f"{RUN}/shift/{{case}}/predictions/{{model}}.h5",
        draws_manifest=manifest(f"{RUN}/shift/{{case}}/predictions/{{model}}.h5"),
        summary=f"{RUN}/shift/{{case}}/predictions/{{model}}.parquet",
        summary_manifest=manifest(f"{RUN}/shift/{{case}}/predictions/{{model}}.parquet"),
    log:
        f"{RUN}/logs/shift/evaluate/{{case}}/{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/shift/evaluate/{{case}}/{{model}}.tsv"


# ---------------------------------------------------------------- a network that has not seen one PSF


# training and validation without the PSF; the test systems are all there
use rule catalog as left_out_catalog with:
    message: "the catalogue without one PSF"
    input:
        modules=modules("lensvit.simulation.catalog"),
        images=ancient(chunk_files(["train", "validation"], SEEN) + chunk_files(["test"])),
        manifests=[manifest(path) for path in chunk_files(["train", "validation"], SEEN) + chunk_files(["test"])],
    output:
        catalog=f"{RUN}/shift/left_out/catalog.parquet",
        manifest=manifest(f"{RUN}/shift/left_out/catalog.parquet"),
        scaler=f"{RUN}/shift/left_out/scaler.json",
    log:
        f"{RUN}/logs/shift/catalog/left_out.log",
    benchmark:
        f"{RUN}/benchmarks/shift/catalog/left_out.tsv"


use rule train as left_out_train with:
    message: "training {wildcards.model} without one PSF ({resources.gpu} GPU)"
    input:
        modules=modules("lensvit.learning.stream") if CONFIG.training.stream else modules("lensvit.learning.train"),
        settings=f"{RUN}/settings/train/{{model}}.yaml",
        catalog=ancient(f"{RUN}/shift/left_out/catalog.parquet"),
        catalog_manifest=manifest(f"{RUN}/shift/left_out/catalog.parquet"),
        scaler=f"{RUN}/shift/left_out/scaler.json",
        images=ancient(chunk_files(["train", "validation"], SEEN)),
        manifests=[manifest(path) for path in chunk_files(["train", "validation"], SEEN)],
        psfs=ancient(STREAM_PSFS),
        psf_manifests=[manifest(path) for path in STREAM_PSFS],
    output:
        weights=f"{RUN}/shift/left_out/models/{{model}}/weights.safetensors",
        manifest=manifest(f"{RUN}/shift/left_out/models/{{model}}/weights.safetensors"),
        config=f"{RUN}/shift/left_out/models/{{model}}/config.json",
        history=f"{RUN}/shift/left_out/models/{{model}}/history.csv",
        provenance=f"{RUN}/shift/left_out/models/{{model}}/provenance.json",
    params:
        stage="train_streaming" if CONFIG.training.stream else "train",
        psfs=lambda wildcards, input: f"--psfs {input.psfs}" if input.psfs else "",
        images=lambda wildcards, input: str(Path(input.images[0]).parent.parent),
        output=lambda wildcards, output: str(Path(output.weights).parent),
        state=lambda wildcards: f"{RUN}/state/left_out/{wildcards.model}",
    log:
        f"{RUN}/logs/shift/train/{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/shift/train/{{model}}.tsv"


use rule evaluate as left_out_evaluate with:
    message: "MC dropout with {wildcards.model}, trained without one PSF ({resources.gpu} GPU)"
    input:
        modules=modules("lensvit.learning.evaluate"),
        settings=f"{RUN}/settings/evaluate/{{model}}.yaml",
        catalog=ancient(f"{RUN}/shift/left_out/catalog.parquet"),
        catalog_manifest=manifest(f"{RUN}/shift/left_out/catalog.parquet"),
        images=ancient(chunk_files(["test"])),
        manifests=[manifest(path) for path in chunk_files(["test"])],
        weights=ancient(f"{RUN}/shift/left_out/models/{{model}}/weights.safetensors"),
        weights_manifest=manifest(f"{RUN}/shift/left_out/models/{{model}}/weights.safetensors"),
        config=f"{RUN}/shift/left_out/models/{{model}}/config.json",
    output:
        draws=f"{RUN}/shift/left_out/predictions/{{model}}.h5",
        draws_manifest=manifest(f"{RUN}/shift/left_out/predictions/{{model}}.h5"),
        summary=f"{RUN}/shift/left_out/predictions/{{model}}.parquet",
        summary_manifest=manifest(f"{RUN}/shift/left_out/predictions/{{model}}.parquet"),
    log:
        f"{RUN}/logs/shift/evaluate/left_out/{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/shift/evaluate/left_out/{{model}}.tsv"


# ---------------------------------------------------------------- what flags them


rule shift_scores:
    message: "scores of the systems {wildcards.sample}"
    input:
        modules=modules("lensvit.chapters.shift.compute"),
        settings=f"{RUN}/settings/shift_scores.yaml",
        catalog=lambda wildcards: ancient(f"{scored_folder(wildcards.sample)}/catalog.parquet"),
        catalog_manifest=lambda wildcards: manifest(f"{scored_folder(wildcards.sample)}/catalog.parquet"),
        images=lambda wildcards: ancient(scored_images(wildcards.sample)),
        manifests=lambda wildcards: [manifest(path) for path in scored_images(wildcards.sample)],
        psfs=ancient(expand(f"{RUN}/psf/{{psf}}.fits", psf=CONFIG.psfs)),
        psf_manifests=[manifest(f"{RUN}/psf/{psf}.fits") for psf in CONFIG.psfs],
        predictions=lambda wildcards: ancient(
            f"{scored_folder(wildcards.sample)}/predictions/{CONFIG.shift.tested(CONFIG)}.parquet"
        ),
        predictions_manifest=lambda wildcards: manifest(
            f"{scored_folder(wildcards.sample)}/predictions/{CONFIG.shift.tested(CONFIG)}.parquet"
        ),
        config=lambda wildcards: f"{scored_model(wildcards.sample)}/config.json",
    output:
        scores=f"{RUN}/shift/{{sample}}/scores.parquet",
        manifest=manifest(f"{RUN}/shift/{{sample}}/scores.parquet"),
    params:
        images=lambda wildcards, input: str(Path(input.images[0]).parent.parent),
        model=lambda wildcards, input: str(Path(input.config).parent),
    log:
        f"{RUN}/logs/shift/scores/{{sample}}.log",
    benchmark:
        f"{RUN}/benchmarks/shift/scores/{{sample}}.tsv"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=120,
    conda:
        "../envs/simulate.yaml"
    shell:
        "OMP_NUM_THREADS={threads} OPENBLAS_NUM_THREADS={threads} python -m lensvit shift_scores"
        " --settings {input.settings} --catalog {input.catalog} --images {params.images} --psfs {input.psfs}"
        " --predictions {input.predictions} --model {params.model} --output {output.scores} > {log} 2>&1"


rule shift_table:
    message: "errors and scores of systems out of distribution"
    input:
        modules=modules("lensvit.chapters.shift.table"),
        scores=ancient(expand(f"{RUN}/shift/{{sample}}/scores.parquet", sample=SAMPLES)),
        manifests=[manifest(f"{RUN}/shift/{sample}/scores.parquet") for sample in SAMPLES],
    output:
        table=report(f"{RUN}/tables/shift.csv", caption="../paper/captions/shift.rst", category="Results"),
        curves=f"{RUN}/tables/shift_roc.csv",
    params:
        left_out=f"--left-out {UNSEEN}" if UNSEEN else "",
    log:
        f"{RUN}/logs/shift_table.log",
    benchmark:
        f"{RUN}/benchmarks/shift_table.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit shift_table --scores {input.scores} {params.left_out}"
        " --output {output.table} --curves {output.curves} > {log} 2>&1"


rule figure7:
    message: "Figure 7: out of distribution"
    input:
        modules=modules("lensvit.chapters.shift.figure"),
        settings=f"{RUN}/settings/figure7.yaml",
        table=f"{RUN}/tables/shift.csv",
        curves=f"{RUN}/tables/shift_roc.csv",
    output:
        report(
            expand(f"{RUN}/figures/figure7.{{suffix}}", suffix=["pdf", "png"]),
            caption="../paper/captions/figure7.rst",
            category="Results",
        ),
    log:
        f"{RUN}/logs/figure7.log",
    benchmark:
        f"{RUN}/benchmarks/figure7.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit figure7 --settings {input.settings} --table {input.table} --curves {input.curves}"
        " --output {output} > {log} 2>&1"
