# models/{model}/ -> predictions/{model}.h5, .parquet; of the validation split, predictions/validation/


rule evaluate:
    input:
        **evaluation_inputs(rules.catalog.output.catalog, chunk_files(["test"])),
    output:
        **prediction_files(f"{RUN}/predictions"),
    log:
        log_file("evaluate/{model}"),
    benchmark:
        benchmark_file("evaluate/{model}")
    priority: 1
    conda:
        "../envs/network.yaml"
    threads: network_threads(4)
    resources:
        gpu=gpus,
        processes=processes,
        process_threads=shared_threads,
        mem_mb=lambda wildcards: 6000 if CONFIG.device == "cpu" else 8000 + 8000 * processes(wildcards),
        runtime=240,
        device=CONFIG.device,
    params:
        code=code("lensvit.learning.evaluate"),
        images=images_folder,
        model=model_folder,
        split="test",
    message:
        "MC dropout with {wildcards.model} ({resources.gpu} GPU)"
    shell:
        "python -m lensvit evaluate --settings {input.settings} --catalog {input.catalog}"
        " --images {params.images} --model {params.model} --output {output.draws}"
        " --split {params.split}"
        " --device {resources.device} --threads {resources.process_threads} --processes {resources.processes} > {log} 2>&1"


# fewer passes: calibration takes one number a target from them
use rule evaluate as evaluate_validation with:
    input:
        **evaluation_inputs(rules.catalog.output.catalog, chunk_files(["validation"]), settings="evaluate_validation"),
    output:
        **prediction_files(f"{RUN}/predictions/validation"),
    log:
        log_file("evaluate_validation/{model}"),
    benchmark:
        benchmark_file("evaluate_validation/{model}")
    params:
        split="validation",
    message:
        "MC dropout with {wildcards.model} on the validation split ({resources.gpu} GPU)"
