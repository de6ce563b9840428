# catalog.parquet, images -> models/{model}/; with training.stream the PSFs too, for images made meanwhile


rule train:
    input:
        **training_inputs(RUN, CONFIG.psfs),
    output:
        **model_files(f"{RUN}/models/{{model}}"),
    log:
        log_file("train/{model}"),
    benchmark:
        benchmark_file("train/{model}")
    priority: 2  # nothing takes longer, and most wait for it
    conda:
        "../envs/network.yaml"
    threads: network_threads(8)
    resources:
        gpu=lambda wildcards: nodes(wildcards) * gpus(wildcards),
        nodes=nodes,
        processes=processes,
        process_threads=training_threads,
        mpi=over_nodes("mpi"),
        tasks=over_nodes("tasks"),
        tasks_per_node=over_nodes("tasks_per_node"),
        tasks_per_gpu=over_nodes("tasks_per_gpu"),
        start=over_nodes("start"),
        mem_mb=lambda wildcards: training_memory(CONFIG, wildcards.model),
        runtime=720,
        device=CONFIG.device,
    params:
        code=code("lensvit.learning.stream") if CONFIG.training.stream else code("lensvit.learning.train"),
        stage="train_streaming" if CONFIG.training.stream else "train",
        psfs=lambda wildcards, input: f"--psfs {input.psfs}" if input.psfs else "",
        images=images_folder,
        output=lambda wildcards, output: str(Path(output.weights).parent),
        # undeclared: snakemake deletes declared outputs before it retries a job
        state=lambda wildcards: f"{RUN}/state/{wildcards.model}",
    message:
        "training {wildcards.model} ({resources.gpu} GPU)"
    shell:
        "{resources.start}python -m lensvit {params.stage}"
        " --settings {input.settings} --catalog {input.catalog} --scaler {input.scaler}"
        " --images {params.images} {params.psfs} --output {params.output} --state {params.state}"
        " --device {resources.device} --threads {resources.process_threads}"
        " --processes {resources.processes} --nodes {resources.nodes} > {log} 2>&1"
