# predictions/, predictions/validation/ -> tables/calibration.csv, coverage.csv, pit.csv, joint.csv -> figures/figure4

PREDICTIONS = ["predictions", "predictions/validation"]


rule calibrate:
    message: "calibration before and after a scale of sigma from the validation split"
    input:
        modules=modules("lensvit.chapters.calibration.table"),
        draws=ancient(expand(f"{RUN}/predictions/{{model}}.h5", model=CONFIG.models)),
        validation=ancient(expand(f"{RUN}/predictions/validation/{{model}}.h5", model=CONFIG.models)),
        summaries=ancient(
            expand(f"{RUN}/{{folder}}/{{model}}.parquet", folder=PREDICTIONS, model=CONFIG.models)
        ),
        manifests=expand(
            manifest(f"{RUN}/{{folder}}/{{model}}.{{suffix}}"),
            folder=PREDICTIONS, model=CONFIG.models, suffix=["h5", "parquet"],
        ),
    output:
        table=report(
            f"{RUN}/tables/calibration.csv", caption="../paper/captions/calibration.rst", category="Results"
        ),
        coverage=f"{RUN}/tables/coverage.csv",
        pit=f"{RUN}/tables/pit.csv",
        joint=f"{RUN}/tables/joint.csv",
    log:
        f"{RUN}/logs/calibrate.log",
    benchmark:
        f"{RUN}/benchmarks/calibrate.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=15,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit calibrate --predictions {input.draws} --validation {input.validation}"
        " --output {output.table} --coverage {output.coverage} --pit {output.pit} --joint {output.joint} > {log} 2>&1"


rule figure4:
    message: "Figure 4: calibration"
    input:
        modules=modules("lensvit.chapters.calibration.figure"),
        settings=f"{RUN}/settings/figure4.yaml",
        coverage=f"{RUN}/tables/coverage.csv",
        pit=f"{RUN}/tables/pit.csv",
    output:
        report(
            expand(f"{RUN}/figures/figure4.{{suffix}}", suffix=["pdf", "png"]),
            caption="../paper/captions/figure4.rst",
            category="Results",
        ),
    log:
        f"{RUN}/logs/figure4.log",
    benchmark:
        f"{RUN}/benchmarks/figure4.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit figure4 --settings {input.settings} --coverage {input.coverage} --pit {input.pit}"
        " --output {output} > {log} 2>&1"
