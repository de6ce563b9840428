# models/{model}/ -> predictions/{model}.h5, .parquet; of the validation split, predictions/validation/


rule evaluate:
    message: "MC dropout with {wildcards.model} ({resources.gpu} GPU)"
    input:
        modules=modules("lensvit.learning.evaluate"),
        settings=f"{RUN}/settings/evaluate/{{model}}.yaml",
        catalog=ancient(f"{RUN}/catalog.parquet"),
        catalog_manifest=manifest(f"{RUN}/catalog.parquet"),
        images=ancient(chunk_files(["test"])),
        manifests=[manifest(path) for path in chunk_files(["test"])],
        weights=ancient(f"{RUN}/models/{{model}}/weights.safetensors"),
        weights_manifest=manifest(f"{RUN}/models/{{model}}/weights.safetensors"),
        config=f"{RUN}/models/{{model}}/config.json",
    output:
        draws=f"{RUN}/predictions/{{model}}.h5",
        draws_manifest=manifest(f"{RUN}/predictions/{{model}}.h5"),
        summary=f"{RUN}/predictions/{{model}}.parquet",
        summary_manifest=manifest(f"{RUN}/predictions/{{model}}.parquet"),
    params:
        images=lambda wildcards, input: str(Path(input.images[0]).parent.parent),
        model=lambda wildcards, input: str(Path(input.config).parent),
        split="test",
    log:
        f"{RUN}/logs/evaluate/{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate/{{model}}.tsv"
    threads: network_threads(4)
    resources:
        gpu=lambda wildcards: gpus(wildcards.model),
        processes=processes,
        mem_mb=16000 if CONFIG.device == "gpu" else 6000,
        runtime=240,
        device=CONFIG.device,
    conda:
        "../envs/network.yaml"
    shell:
        "python -m lensvit evaluate --settings {input.settings} --catalog {input.catalog}"
        " --images {params.images} --model {params.model} --output {output.draws}"
        " --split {params.split}"
        " --device {resources.device} --threads {threads} --processes {resources.processes} > {log} 2>&1"


# fewer passes: calibration takes one number a target from them
use rule evaluate as evaluate_validation with:
    message: "MC dropout with {wildcards.model} on the validation split ({resources.gpu} GPU)"
    input:
        modules=modules("lensvit.learning.evaluate"),
        settings=f"{RUN}/settings/evaluate_validation/{{model}}.yaml",
        catalog=ancient(f"{RUN}/catalog.parquet"),
        catalog_manifest=manifest(f"{RUN}/catalog.parquet"),
        images=ancient(chunk_files(["validation"])),
        manifests=[manifest(path) for path in chunk_files(["validation"])],
        weights=ancient(f"{RUN}/models/{{model}}/weights.safetensors"),
        weights_manifest=manifest(f"{RUN}/models/{{model}}/weights.safetensors"),
        config=f"{RUN}/models/{{model}}/config.json",
    output:
        draws=f"{RUN}/predictions/validation/{{model}}.h5",
        draws_manifest=manifest(f"{RUN}/predictions/validation/{{model}}.h5"),
        summary=f"{RUN}/predictions/validation/{{model}}.parquet",
        summary_manifest=manifest(f"{RUN}/predictions/validation/{{model}}.parquet"),
    params:
        images=lambda wildcards, input: str(Path(input.images[0]).parent.parent),
        model=lambda wildcards, input: str(Path(input.config).parent),
        split="validation",
    log:
        f"{RUN}/logs/evaluate_validation/{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_validation/{{model}}.tsv"
