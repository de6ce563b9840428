# settings -> settings/*.yaml -> psf/{psf}.fits


localrules: settings


rule settings:
    message: "the settings of {wildcards.part}"
    output:
        f"{RUN}/settings/{{part}}.yaml",
    params:
        content=stage_content,
    log:
        f"{RUN}/logs/settings/{{part}}.log",
    benchmark:
        f"{RUN}/benchmarks/settings/{{part}}.tsv"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    conda:
        "../envs/simulate.yaml"
    shell:
        "python -m lensvit settings --content {params.content:q} --output {output} > {log} 2>&1"


rule psf:
    message: "PSF {wildcards.psf}"
    input:
        modules=modules("lensvit.psf.build"),
        settings=f"{RUN}/settings/psf/{{psf}}.yaml",
        file=lambda wildcards: getattr(CONFIG.psfs[wildcards.psf], "path", []),
    output:
        kernel=f"{RUN}/psf/{{psf}}.fits",
        summary=f"{RUN}/psf/{{psf}}.json",
        manifest=manifest(f"{RUN}/psf/{{psf}}.fits"),
    log:
        f"{RUN}/logs/psf/{{psf}}.log",
    benchmark:
        f"{RUN}/benchmarks/psf/{{psf}}.tsv"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=15,
    conda:
        "../envs/simulate.yaml"
    shell:
        "python -m lensvit psf --settings {input.settings} --output {output.kernel} > {log} 2>&1"
