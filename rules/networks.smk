# models/{model}/ and the validation images -> models/{model}/reference.json, by which networks serve other images;
# with the run's tables -> models/{model}/README.md, the model card


rule reference:
    input:
        **evaluation_inputs(rules.catalog.output.catalog, chunk_files(["validation"]), settings="reference"),
    output:
        reference=f"{RUN}/models/{{model}}/reference.json",
        features=f"{RUN}/models/{{model}}/features.safetensors",
    log:
        log_file("reference/{model}"),
    benchmark:
        benchmark_file("reference/{model}")
    conda:
        "../envs/network.yaml"
    threads: network_threads(4)
    resources:
        gpu=gpus,
        mem_mb=8000,
        runtime=60,
        device=CONFIG.device,
    params:
        code=code("lensvit.prediction.reference"),
        images=images_folder,
        model=model_folder,
    message:
        "what predictions of {wildcards.model} on other images need"
    shell:
        "python -m lensvit reference --settings {input.settings} --catalog {input.catalog}"
        " --images {params.images} --model {params.model} --output {output.reference}"
        " --device {resources.device} --threads {threads} > {log} 2>&1"


rule model_card:
    input:
        settings=settings_file("model_card/{model}"),
        config=rules.reference.input.config,
        history=rules.train.output.history,
        provenance=rules.train.output.provenance,
        reference=rules.reference.output.reference,
        table=table_file("table1"),
        errors=table_file("table1_errors"),
        calibration=table_file("calibration"),
    output:
        f"{RUN}/models/{{model}}/README.md",
    log:
        log_file("model_card/{model}"),
    benchmark:
        benchmark_file("model_card/{model}")
    conda:
        "../envs/network.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.prediction.card"),
        model=model_folder,
    message:
        "the model card of {wildcards.model}"
    shell:
        "python -m lensvit model_card --settings {input.settings} --model {params.model} --table {input.table}"
        " --errors {input.errors} --calibration {input.calibration} --output {output} > {log} 2>&1"
