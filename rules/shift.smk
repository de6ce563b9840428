# systems unlike those of the training: shift/{case}/ -> shift/{sample}/scores.parquet -> tables/shift.csv, figure7
# A sample is what one network predicts: the ordinary test systems, them without a PSF (left_out), or a case.

# case -> the run whose test systems are shifted as the case says
SHIFTED = {case: CONFIG.shift.shifted(CONFIG, case) for case in CONFIG.shift.cases} if CONFIG.shift.enabled else {}
UNSEEN = CONFIG.shift.left_out if CONFIG.shift.enabled else None
SEEN = [psf for psf in CONFIG.psfs if psf != UNSEEN]
TESTED = CONFIG.shift.tested(CONFIG)
CASE, LEFT_OUT = f"{RUN}/shift/{{case}}", f"{RUN}/shift/left_out"

# sample -> folder of its catalogue and predictions; its images
FOLDERS = {"ordinary": RUN} | ({"left_out": LEFT_OUT} if UNSEEN else {})
IMAGES = {sample: chunk_files(["test"]) for sample in FOLDERS}
FOLDERS |= {case: CASE.format(case=case) for case in SHIFTED}
IMAGES |= {case: chunk_files(["test"], run=run, folder=FOLDERS[case]) for case, run in SHIFTED.items()}
RESTORED += [path for case in SHIFTED for path in IMAGES[case]]


wildcard_constraints:
    case="|".join(CONFIG.shift.cases) or "-",
    sample="|".join(["ordinary", "left_out", *CONFIG.shift.cases]),


# ---------------------------------------------------------------- shifted systems, for the network as it is


use rule simulate as shift_simulate with:
    input:
        **large(psf=rules.psf.output.kernel),
        settings=settings_file("shift_simulate/{case}/{psf}"),
    output:
        **with_manifests(images=f"{CASE}/images/{{psf}}/{{chunk}}.h5"),
    log:
        log_file("shift/simulate/{case}/{psf}/{chunk}"),
    benchmark:
        benchmark_file("shift/simulate/{case}/{psf}/{chunk}")
    params:
        first=lambda wildcards: chunk_range(wildcards, SHIFTED[wildcards.case])[0],
        systems=lambda wildcards: chunk_range(wildcards, SHIFTED[wildcards.case])[1],
    message:
        "simulating {params.systems} systems of the case {wildcards.case}: {wildcards.psf}, {wildcards.chunk}"


# beside the training systems, whose scale the targets keep
use rule catalog as shift_catalog with:
    input:
        **large(images=lambda wildcards: IMAGES[wildcards.case] + chunk_files(["train"])),
    output:
        **catalog_files(CASE),
    log:
        log_file("shift/catalog/{case}"),
    benchmark:
        benchmark_file("shift/catalog/{case}")
    message:
        "the catalogue of the case {wildcards.case}"


use rule evaluate as shift_evaluate with:
    input:
        **evaluation_inputs(rules.shift_catalog.output.catalog, lambda wildcards: IMAGES[wildcards.case]),
    output:
        **prediction_files(f"{CASE}/predictions"),
    log:
        log_file("shift/evaluate/{case}/{model}"),
    benchmark:
        benchmark_file("shift/evaluate/{case}/{model}")
    message:
        "MC dropout with {wildcards.model} on the case {wildcards.case} ({resources.gpu} GPU)"


# ---------------------------------------------------------------- a network that has not seen one PSF


# training and validation without the PSF; the test systems are all there
use rule catalog as left_out_catalog with:
    input:
        **large(images=chunk_files(["train", "validation"], SEEN) + chunk_files(["test"])),
    output:
        **catalog_files(LEFT_OUT),
    log:
        log_file("shift/catalog/left_out"),
    benchmark:
        benchmark_file("shift/catalog/left_out")
    message:
        "the catalogue without one PSF"


use rule train as left_out_train with:
    input:
        **training_inputs(LEFT_OUT, SEEN),
    output:
        **model_files(f"{LEFT_OUT}/models/{{model}}"),
    log:
        log_file("shift/train/{model}"),
    benchmark:
        benchmark_file("shift/train/{model}")
    params:
        state=lambda wildcards: f"{RUN}/state/left_out/{wildcards.model}",
    message:
        "training {wildcards.model} without one PSF ({resources.gpu} GPU)"


use rule evaluate as left_out_evaluate with:
    input:
        **evaluation_inputs(
            rules.left_out_catalog.output.catalog, chunk_files(["test"]), model=f"{LEFT_OUT}/models/{{model}}"
        ),
    output:
        **prediction_files(f"{LEFT_OUT}/predictions"),
    log:
        log_file("shift/evaluate/left_out/{model}"),
    benchmark:
        benchmark_file("shift/evaluate/left_out/{model}")
    message:
        "MC dropout with {wildcards.model}, trained without one PSF ({resources.gpu} GPU)"


# ---------------------------------------------------------------- what flags them


rule shift_scores:
    input:
        **large(
            catalog=lambda wildcards: f"{FOLDERS[wildcards.sample]}/catalog.parquet",
            images=lambda wildcards: IMAGES[wildcards.sample],
            psfs=of_psfs(rules.psf.output.kernel),
            predictions=lambda wildcards: f"{FOLDERS[wildcards.sample]}/predictions/{TESTED}.parquet",
        ),
        settings=settings_file("shift_scores"),
        config=lambda wildcards: "{}/models/{}/config.json".format(
            LEFT_OUT if wildcards.sample == "left_out" else RUN, TESTED
        ),
    output:
        **with_manifests(scores=f"{RUN}/shift/{{sample}}/scores.parquet"),
    log:
        log_file("shift/scores/{sample}"),
    benchmark:
        benchmark_file("shift/scores/{sample}")
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=3000,
        runtime=600 if CONFIG.scene.is_free else 120,
    params:
        code=code("lensvit.chapters.shift.compute"),
        images=images_folder,
        model=model_folder,
    message:
        "scores of the systems {wildcards.sample}"
    shell:
        "OMP_NUM_THREADS={threads} OPENBLAS_NUM_THREADS={threads} python -m lensvit shift_scores"
        " --settings {input.settings} --catalog {input.catalog} --images {params.images} --psfs {input.psfs}"
        " --predictions {input.predictions} --model {params.model} --output {output.scores} > {log} 2>&1"


rule shift_table:
    input:
        **large(scores=expand(rules.shift_scores.output.scores, sample=FOLDERS)),
    output:
        table=reported_table("shift"),
        curves=table_file("shift_roc"),
    log:
        log_file("shift_table"),
    benchmark:
        benchmark_file("shift_table")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.shift.table"),
        left_out=f"--left-out {UNSEEN}" if UNSEEN else "",
    message:
        "errors and scores of systems out of distribution"
    shell:
        "python -m lensvit shift_table --scores {input.scores} {params.left_out}"
        " --output {output.table} --curves {output.curves} > {log} 2>&1"


rule figure7:
    input:
        settings=settings_file("figure7"),
        table=rules.shift_table.output.table,
        curves=rules.shift_table.output.curves,
    output:
        reported_figure("figure7"),
    log:
        log_file("figure7"),
    benchmark:
        benchmark_file("figure7")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.shift.figure"),
    message:
        "Figure 7: out of distribution"
    shell:
        "python -m lensvit figure7 --settings {input.settings} --table {input.table} --curves {input.curves}"
        " --output {output} > {log} 2>&1"
