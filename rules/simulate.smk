# psf/{psf}.fits -> images/{psf}/{chunk}.h5 -> catalog.parquet, scaler.json


rule simulate:
    message: "simulating {params.systems} systems: {wildcards.psf}, {wildcards.chunk}"
    input:
        modules=modules("lensvit.simulation.simulate"),
        settings=f"{RUN}/settings/simulate/{{psf}}.yaml",
        psf=ancient(f"{RUN}/psf/{{psf}}.fits"),
        psf_manifest=manifest(f"{RUN}/psf/{{psf}}.fits"),
    output:
        images=f"{RUN}/images/{{psf}}/{{chunk}}.h5",
        manifest=manifest(f"{RUN}/images/{{psf}}/{{chunk}}.h5"),
    params:
        split=lambda wildcards: wildcards.chunk.split("-")[0],
        first=lambda wildcards: chunk_range(wildcards)[0],
        systems=lambda wildcards: chunk_range(wildcards)[1],
    log:
        f"{RUN}/logs/simulate/{{psf}}/{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/simulate/{{psf}}/{{chunk}}.tsv"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    conda:
        "../envs/simulate.yaml"
    shell:
        "python -m lensvit simulate --settings {input.settings} --psf {input.psf} --split {params.split}"
        " --first {params.first} --count {params.systems} --output {output.images} > {log} 2>&1"


rule catalog:
    message: "the catalogue of all systems"
    input:
        modules=modules("lensvit.simulation.catalog"),
        images=ancient(chunk_files(SPLITS)),
        manifests=[manifest(path) for path in chunk_files(SPLITS)],
    output:
        catalog=f"{RUN}/catalog.parquet",
        manifest=manifest(f"{RUN}/catalog.parquet"),
        scaler=f"{RUN}/scaler.json",
    log:
        f"{RUN}/logs/catalog.log",
    benchmark:
        f"{RUN}/benchmarks/catalog.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    conda:
        "../envs/simulate.yaml"
    shell:
        "python -m lensvit catalog --images {input.images} --output {output.catalog}"
        " --scaler {output.scaler} > {log} 2>&1"
