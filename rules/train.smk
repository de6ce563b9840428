# catalog.parquet, images -> models/{model}/; with training.stream the PSFs too, for images made meanwhile

STREAM_PSFS = expand(f"{RUN}/psf/{{psf}}.fits", psf=CONFIG.psfs) if CONFIG.training.stream else []


rule train:
    message: "training {wildcards.model} ({resources.gpu} GPU)"
    input:
        modules=modules("lensvit.learning.stream") if CONFIG.training.stream else modules("lensvit.learning.train"),
        settings=f"{RUN}/settings/train/{{model}}.yaml",
        catalog=ancient(f"{RUN}/catalog.parquet"),
        catalog_manifest=manifest(f"{RUN}/catalog.parquet"),
        scaler=f"{RUN}/scaler.json",
        images=ancient(chunk_files(["train", "validation"])),
        manifests=[manifest(path) for path in chunk_files(["train", "validation"])],
        psfs=ancient(STREAM_PSFS),
        psf_manifests=[manifest(path) for path in STREAM_PSFS],
    output:
        weights=f"{RUN}/models/{{model}}/weights.safetensors",
        manifest=manifest(f"{RUN}/models/{{model}}/weights.safetensors"),
        config=f"{RUN}/models/{{model}}/config.json",
        history=f"{RUN}/models/{{model}}/history.csv",
        provenance=f"{RUN}/models/{{model}}/provenance.json",
    params:
        stage="train_streaming" if CONFIG.training.stream else "train",
        psfs=lambda wildcards, input: f"--psfs {input.psfs}" if input.psfs else "",
        images=lambda wildcards, input: str(Path(input.images[0]).parent.parent),
        output=lambda wildcards, output: str(Path(output.weights).parent),
        # undeclared: snakemake deletes declared outputs before it retries a job
        state=lambda wildcards: f"{RUN}/state/{wildcards.model}",
    log:
        f"{RUN}/logs/train/{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/train/{{model}}.tsv"
    threads: network_threads(8)
    resources:
        gpu=lambda wildcards: CONFIG.networks[wildcards.model].nodes * gpus(wildcards.model),
        nodes=lambda wildcards: CONFIG.networks[wildcards.model].nodes,
        processes=processes,
        mpi=over_nodes("mpi"),
        tasks=over_nodes("tasks"),
        tasks_per_node=over_nodes("tasks_per_node"),
        tasks_per_gpu=over_nodes("tasks_per_gpu"),
        start=over_nodes("start"),
        mem_mb=20000 if CONFIG.device == "gpu" else 8000,
        runtime=720,
        device=CONFIG.device,
    conda:
        "../envs/network.yaml"
    shell:
        "{resources.start}python -m lensvit {params.stage}"
        " --settings {input.settings} --catalog {input.catalog} --scaler {input.scaler}"
        " --images {params.images} {params.psfs} --output {params.output} --state {params.state}"
        " --device {resources.device} --threads {threads}"
        " --processes {resources.processes} --nodes {resources.nodes} > {log} 2>&1"
