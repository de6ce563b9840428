# catalog.parquet, images, models/{model}/ -> figures/figure1, tables/attention.csv; psf/ -> preview.png


rule figure1:
    input:
        **large(
            catalog=rules.catalog.output.catalog,
            images=chunk_files(["test"]),
            weights=expand(rules.train.output.weights, model=ATTENDING),
        ),
        settings=settings_file("figure1"),
        model=expand(rules.train.output.config, model=ATTENDING),
    output:
        figures=reported_figure("figure1"),
        table=ATTENTION,
    log:
        log_file("figure1"),
    benchmark:
        benchmark_file("figure1")
    conda:
        "../envs/network.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        code=code("lensvit.chapters.data.figure"),
        images=images_folder,
        weights=lambda wildcards, input: f"--weights {Path(input.model[0]).parent}" if input.model else "",
        measures=[f"--measures {path}" for path in ATTENTION],
    message:
        "Figure 1: examples and attention"
    shell:
        "python -m lensvit figure1 --settings {input.settings} --catalog {input.catalog}"
        " --images {params.images} {params.weights} --output {output.figures} {params.measures} > {log} 2>&1"


# by itself, in seconds: what a run is going to see (make preview)
rule preview:
    input:
        **large(psfs=of_psfs(rules.psf.output.kernel)),
        settings=settings_file("preview"),
    output:
        f"{RUN}/preview.png",
    log:
        log_file("preview"),
    benchmark:
        benchmark_file("preview")
    conda:
        "../envs/network.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        code=code("lensvit.chapters.data.preview"),
    message:
        "the contact sheet: PSFs and a few systems"
    shell:
        "python -m lensvit preview --settings {input.settings} --psfs {input.psfs} --output {output} > {log} 2>&1"
