# predictions/, predictions/validation/ -> tables/calibration.csv, coverage.csv, pit.csv, joint.csv -> figures/figure4


rule calibrate:
    input:
        **large(
            draws=of_models(rules.evaluate.output.draws),
            validation=of_models(rules.evaluate_validation.output.draws),
            summaries=[
                *of_models(rules.evaluate.output.summary),
                *of_models(rules.evaluate_validation.output.summary),
            ],
        ),
    output:
        table=reported_table("calibration"),
        coverage=table_file("coverage"),
        pit=table_file("pit"),
        joint=table_file("joint"),
    log:
        log_file("calibrate"),
    benchmark:
        benchmark_file("calibrate")
    conda:
        "../envs/paper.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        code=code("lensvit.chapters.calibration.table"),
    message:
        "calibration before and after a scale of sigma from the validation split"
    shell:
        "python -m lensvit calibrate --predictions {input.draws} --validation {input.validation}"
        " --output {output.table} --coverage {output.coverage} --pit {output.pit} --joint {output.joint} > {log} 2>&1"


rule figure4:
    input:
        settings=settings_file("figure4"),
        coverage=rules.calibrate.output.coverage,
        pit=rules.calibrate.output.pit,
    output:
        reported_figure("figure4"),
    log:
        log_file("figure4"),
    benchmark:
        benchmark_file("figure4")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.chapters.calibration.figure"),
    message:
        "Figure 4: calibration"
    shell:
        "python -m lensvit figure4 --settings {input.settings} --coverage {input.coverage} --pit {input.pit}"
        " --output {output} > {log} 2>&1"
