# models/{model}/ and the validation images -> models/{model}/reference.json, by which networks serve other images


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
