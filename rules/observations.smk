# files of the user's own lenses -> observations/{lens}.json and more -> tables/observations.csv

OBSERVED = f"{RUN}/observations/{{lens}}"


wildcard_constraints:
    lens="|".join(map(re.escape, CONFIG.observations)) or "none",


rule observe:
    input:
        settings=settings_file("observe/{lens}"),
        files=lambda wildcards: CONFIG.observations[wildcards.lens].files,
    output:
        result=f"{OBSERVED}.json",
        parameters=f"{OBSERVED}.csv",
        images=f"{OBSERVED}_images.csv",
        model=f"{OBSERVED}_model.fits",
        coolest=f"{OBSERVED}_coolest.json",
        coolest_planes=expand(f"{OBSERVED}_coolest_{{plane}}.fits", plane=["psf", "noise"], allow_missing=True),
        figures=expand(f"{OBSERVED}.{{suffix}}", suffix=["pdf", "png"], allow_missing=True),
    log:
        log_file("observe/{lens}"),
    benchmark:
        benchmark_file("observe/{lens}")
    conda:
        "../envs/simulate.yaml"
    threads: lens_threads(4)  # of which searches use one, and draws all
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("lensvit.observations.run"),
        folder=lambda wildcards, output: str(Path(output.result).parent),
    message:
        "the observed lens {wildcards.lens}"
    shell:
        "OMP_NUM_THREADS={threads} OPENBLAS_NUM_THREADS=1 python -m lensvit observe"
        " --settings {input.settings} --output {params.folder} --threads {threads} > {log} 2>&1"


rule observations_table:
    input:
        results=expand(rules.observe.output.result, lens=CONFIG.observations),
    output:
        reported_table("observations"),
    log:
        log_file("observations_table"),
    benchmark:
        benchmark_file("observations_table")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.observations.table"),
    message:
        "the observed lenses in one table"
    shell:
        "python -m lensvit observations_table --results {input.results} --output {output} > {log} 2>&1"


localrules:
    observations,


# The user's own lenses alone: snakemake observations --configfile mine.yaml
rule observations:
    input:
        rules.observations_table.output if CONFIG.observations else [],
    message:
        "the observed lenses are fitted"
