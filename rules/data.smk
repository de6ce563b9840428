# catalog.parquet, images, models/{model}/ -> figures/figure1

ATTENDING = [model for model in [CONFIG.figures.attention_model] if model is not None]


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
        reported_figure("figure1"),
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
    message:
        "Figure 1: examples and attention"
    shell:
        "python -m lensvit figure1 --settings {input.settings} --catalog {input.catalog}"
        " --images {params.images} {params.weights} --output {output} > {log} 2>&1"
