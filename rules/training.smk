# models/{model}/ -> figures/figure10


rule figure10:
    input:
        settings=settings_file("figure10"),
        models=of_models(rules.train.output.config),
        histories=of_models(rules.train.output.history),
    output:
        reported_figure("figure10"),
    log:
        log_file("figure10"),
    benchmark:
        benchmark_file("figure10")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.training.figure"),
    message:
        "Figure 10: learning curves"
    shell:
        "python -m lensvit figure10 --settings {input.settings} --models {input.models}"
        " --output {output} > {log} 2>&1"
