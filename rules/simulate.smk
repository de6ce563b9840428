# psf/{psf}.fits -> images/{psf}/{chunk}.h5 -> catalog.parquet, scaler.json

RESTORED += chunk_files(SPLITS)


rule simulate:
    input:
        **large(psf=rules.psf.output.kernel),
        settings=settings_file("simulate/{psf}"),
    output:
        **with_manifests(images=f"{RUN}/images/{{psf}}/{{chunk}}.h5"),
    log:
        log_file("simulate/{psf}/{chunk}"),
    benchmark:
        benchmark_file("simulate/{psf}/{chunk}")
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        code=code("lensvit.simulation.simulate"),
        split=lambda wildcards: wildcards.chunk.split("-")[0],
        first=lambda wildcards: chunk_range(wildcards)[0],
        systems=lambda wildcards: chunk_range(wildcards)[1],
    message:
        "simulating {params.systems} systems: {wildcards.psf}, {wildcards.chunk}"
    shell:
        "python -m lensvit simulate --settings {input.settings} --psf {input.psf} --split {params.split}"
        " --first {params.first} --count {params.systems} --output {output.images} > {log} 2>&1"


rule catalog:
    input:
        **large(images=chunk_files(SPLITS)),
    output:
        **catalog_files(RUN),
    log:
        log_file("catalog"),
    benchmark:
        benchmark_file("catalog")
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=code("lensvit.simulation.catalog"),
    message:
        "the catalogue of all systems"
    shell:
        "python -m lensvit catalog --images {input.images} --output {output.catalog}"
        " --scaler {output.scaler} > {log} 2>&1"
