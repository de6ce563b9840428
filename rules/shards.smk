# {table}/{shard}.parquet, .h5 -> {table}.parquet, .h5, for tables that several jobs make


rule merge_shards:
    input:
        **large(shards=merged_files(".parquet"), arrays=merged_files(".h5")),
    output:
        **with_manifests(table=f"{RUN}/{{merged}}.parquet", arrays=f"{RUN}/{{merged}}.h5"),
    log:
        log_file("merge_shards/{merged}"),
    benchmark:
        benchmark_file("merge_shards/{merged}")
    conda:
        "../envs/paper.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=code("lensvit.io.shards"),
    message:
        "merging the shards of {wildcards.merged}"
    shell:
        "python -m lensvit merge_shards --shards {input.shards} --output {output.table} > {log} 2>&1"
