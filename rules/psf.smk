# settings -> settings/*.yaml -> psf/{psf}.fits


localrules:
    settings,


rule settings:
    output:
        settings_file("{part}"),
    log:
        log_file("settings/{part}"),
    benchmark:
        benchmark_file("settings/{part}")
    conda:
        "../envs/simulate.yaml"
    resources:
        **SMALL_JOB,
    params:
        content=stage_content,
    message:
        "the settings of {wildcards.part}"
    shell:
        "python -m lensvit settings --content {params.content:q} --output {output} > {log} 2>&1"


rule psf:
    input:
        settings=settings_file("psf/{psf}"),
        file=lambda wildcards: getattr(CONFIG.psfs[wildcards.psf], "path", []),
        exposure_map=lambda wildcards: CONFIG.instruments[CONFIG.psfs[wildcards.psf].instrument].exposure_map or [],
    output:
        **with_manifests(kernel=f"{RUN}/psf/{{psf}}.fits"),
        summary=f"{RUN}/psf/{{psf}}.json",
    log:
        log_file("psf/{psf}"),
    benchmark:
        benchmark_file("psf/{psf}")
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=3000,
        runtime=15,
    params:
        code=code("lensvit.psf.build"),
    message:
        "PSF {wildcards.psf}"
    shell:
        "python -m lensvit psf --settings {input.settings} --output {output.kernel} > {log} 2>&1"


RESTORED += of_psfs(rules.psf.output.kernel)
