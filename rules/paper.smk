# tables/, models/{model}/ -> numbers.json -> paper/paper.tex -> paper/paper.pdf, paper-source.tar.gz

TABLES = products.tables_shown(CONFIG)
TEMPLATES = sorted(str(path) for path in Path("paper").rglob("*.j2"))


rule numbers:
    input:
        **large(
            predictions=of_models(rules.evaluate.output.summary),
            catalog=rules.catalog.output.catalog,
        ),
        settings=settings_file("numbers"),
        table=table_file("table1"),
        errors=table_file("table1_errors"),
        differences=table_file("table1_differences"),
        chapters=[path for paths in TABLES.values() for path in paths],
        models=of_models(rules.train.output.config),
        histories=of_models(rules.train.output.history),
        provenance=of_models(rules.train.output.provenance),
        psfs=of_psfs(rules.psf.output.summary),
        attention=ATTENTION,
    output:
        f"{RUN}/numbers.json",
    log:
        log_file("numbers"),
    benchmark:
        benchmark_file("numbers")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.paper.numbers", *products.claims_shown(CONFIG)),
        chapters=[f"{name}={path}" for name, paths in TABLES.items() for path in paths],
        # durations as they were; a by-product of the jobs and no reason to run again
        benchmarks=f"{RUN}/benchmarks",
        attention=[f"--attention {path}" for path in ATTENTION],
    message:
        "the numbers of the paper"
    shell:
        "python -m lensvit numbers --settings {input.settings} --table {input.table} --errors {input.errors}"
        " --differences {input.differences}"
        " --chapter {params.chapters} --models {input.models} --predictions {input.predictions}"
        " --catalog {input.catalog} --psfs {input.psfs} --benchmarks {params.benchmarks} {params.attention}"
        " --output {output} > {log} 2>&1"


rule tex:
    input:
        templates=TEMPLATES,
        references="paper/references.bib",
        numbers=rules.numbers.output,
    output:
        f"{RUN}/paper/paper.tex",
    log:
        log_file("tex"),
    benchmark:
        benchmark_file("tex")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.paper.render"),
        templates=lambda wildcards, input: str(Path(input.references).parent),
    message:
        "the paper's LaTeX"
    shell:
        "python -m lensvit tex --numbers {input.numbers} --templates {params.templates}"
        " --output {output} > {log} 2>&1"


rule pdf:
    input:
        tex=rules.tex.output,
        figures=[figure_file(name) for name in products.figures_shown(CONFIG)],
    output:
        reported(f"{RUN}/paper/paper.pdf", "paper", "Paper", paper=CONFIG.run),
    log:
        log_file("pdf"),
    benchmark:
        benchmark_file("pdf")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.paper.compile"),
    message:
        "the paper's PDF"
    shell:
        "python -m lensvit pdf --tex {input.tex} --figures {input.figures} --output {output} > {log} 2>&1"


IN_RUN = {table_file("table1"), *rules.observations.input, *(path for paths in TABLES.values() for path in paths)}
SHOWN_TABLES = [name for name in REPORTED_TABLES if table_file(name) in IN_RUN]


# for Snakemake's report alone (make report)
rule show_tables:
    input:
        [table_file(name) for name in SHOWN_TABLES],
    output:
        [reported_page(name) for name in SHOWN_TABLES],
    log:
        log_file("show_tables"),
    benchmark:
        benchmark_file("show_tables")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.paper.shown"),
    message:
        "the tables as the report shows them"
    shell:
        "python -m lensvit show_tables --table {input} --output {output} > {log} 2>&1"


rule archive:
    input:
        tex=rules.tex.output,
        bibliography=rules.tex.input.references,
        figures=rules.pdf.input.figures,
    output:
        f"{RUN}/paper/paper-source.tar.gz",
    log:
        log_file("archive"),
    benchmark:
        benchmark_file("archive")
    conda:
        "../envs/paper.yaml"
    resources:
        **SMALL_JOB,
    params:
        code=code("lensvit.paper.archive"),
    message:
        "the paper's source, ready to upload"
    shell:
        "python -m lensvit archive --tex {input.tex} --references {input.bibliography}"
        " --figures {input.figures} --output {output} > {log} 2>&1"
