# predictions -> tables/table1.csv, figures/ -> numbers.json -> paper/paper.tex -> paper/paper.pdf

FIGURES = ["figure1", "figure2", "figure3", "figure4", *MCMC_FIGURE, *FERMAT_FIGURE, *SHIFT_FIGURE]
TEMPLATES = sorted(str(path) for path in Path("paper").iterdir() if path.suffix in (".j2", ".bib"))


rule table:
    message: "Table 1"
    input:
        modules=modules("lensvit.chapters.accuracy.table"),
        predictions=ancient(expand(f"{RUN}/predictions/{{model}}.parquet", model=CONFIG.models)),
        manifests=expand(manifest(f"{RUN}/predictions/{{model}}.parquet"), model=CONFIG.models),
        catalog=ancient(f"{RUN}/catalog.parquet"),
        catalog_manifest=manifest(f"{RUN}/catalog.parquet"),
        scaler=f"{RUN}/scaler.json",
        limit=LIMIT_INPUTS,
        refined=REFINED_INPUTS,
    output:
        table=report(f"{RUN}/tables/table1.csv", caption="../paper/captions/table1.rst", category="Results"),
        errors=f"{RUN}/tables/table1_errors.csv",
    params:
        limit=LIMIT_OPTIONS,
        refined=REFINED_OPTIONS,
    log:
        f"{RUN}/logs/table.log",
    benchmark:
        f"{RUN}/benchmarks/table.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit table --predictions {input.predictions} --catalog {input.catalog}"
        " --scaler {input.scaler} {params.limit} {params.refined} --output {output.table} --errors {output.errors} > {log} 2>&1"


rule figure1:
    message: "Figure 1: examples and attention"
    input:
        modules=modules("lensvit.chapters.data.figure"),
        settings=f"{RUN}/settings/figure1.yaml",
        catalog=ancient(f"{RUN}/catalog.parquet"),
        catalog_manifest=manifest(f"{RUN}/catalog.parquet"),
        images=ancient(chunk_files(["test"])),
        manifests=[manifest(path) for path in chunk_files(["test"])],
        model=model_files(CONFIG.figures.attention_model),
    output:
        report(
            expand(f"{RUN}/figures/figure1.{{suffix}}", suffix=["pdf", "png"]),
            caption="../paper/captions/figure1.rst",
            category="Results",
        ),
    params:
        images=lambda wildcards, input: str(Path(input.images[0]).parent.parent),
        weights=lambda wildcards, input: f"--weights {Path(input.model[0]).parent}" if input.model else "",
    log:
        f"{RUN}/logs/figure1.log",
    benchmark:
        f"{RUN}/benchmarks/figure1.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=15,
    conda:
        "../envs/network.yaml"
    shell:
        "python -m lensvit figure1 --settings {input.settings} --catalog {input.catalog}"
        " --images {params.images} {params.weights} --output {output} > {log} 2>&1"


rule figure2:
    message: "Figure 2: predictions against truth"
    input:
        modules=modules("lensvit.chapters.accuracy.scatter_figure"),
        settings=f"{RUN}/settings/figure2.yaml",
        predictions=ancient(expand(f"{RUN}/predictions/{{model}}.parquet", model=CONFIG.models)),
        manifests=expand(manifest(f"{RUN}/predictions/{{model}}.parquet"), model=CONFIG.models),
    output:
        report(
            expand(f"{RUN}/figures/figure2.{{suffix}}", suffix=["pdf", "png"]),
            caption="../paper/captions/figure2.rst",
            category="Results",
        ),
    log:
        f"{RUN}/logs/figure2.log",
    benchmark:
        f"{RUN}/benchmarks/figure2.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit figure2 --settings {input.settings} --predictions {input.predictions}"
        " --output {output} > {log} 2>&1"


rule figure3:
    message: "Figure 3: errors of the predictions"
    input:
        modules=modules("lensvit.chapters.accuracy.error_figure"),
        settings=f"{RUN}/settings/figure3.yaml",
        predictions=ancient(expand(f"{RUN}/predictions/{{model}}.parquet", model=CONFIG.models)),
        manifests=expand(manifest(f"{RUN}/predictions/{{model}}.parquet"), model=CONFIG.models),
        limit=LIMIT_INPUTS,
    output:
        report(
            expand(f"{RUN}/figures/figure3.{{suffix}}", suffix=["pdf", "png"]),
            caption="../paper/captions/figure3.rst",
            category="Results",
        ),
    params:
        limit=LIMIT_OPTIONS,
    log:
        f"{RUN}/logs/figure3.log",
    benchmark:
        f"{RUN}/benchmarks/figure3.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit figure3 --settings {input.settings} --predictions {input.predictions}"
        " {params.limit} --output {output} > {log} 2>&1"


rule numbers:
    message: "the numbers of the paper"
    input:
        modules=modules("lensvit.paper.numbers"),
        settings=f"{RUN}/settings/numbers.yaml",
        table=f"{RUN}/tables/table1.csv",
        errors=f"{RUN}/tables/table1_errors.csv",
        calibration=f"{RUN}/tables/calibration.csv",
        joint=f"{RUN}/tables/joint.csv",
        limit=LIMIT_TABLE,
        refined=REFINED_TABLE,
        ablation=ABLATION_TABLE,
        shift=SHIFT_TABLE,
        mcmc=MCMC_TABLES,
        fermat=FERMAT_TABLE,
        models=expand(f"{RUN}/models/{{model}}/config.json", model=CONFIG.models),
        histories=expand(f"{RUN}/models/{{model}}/history.csv", model=CONFIG.models),
        provenance=expand(f"{RUN}/models/{{model}}/provenance.json", model=CONFIG.models),
        catalog=ancient(f"{RUN}/catalog.parquet"),
        catalog_manifest=manifest(f"{RUN}/catalog.parquet"),
        psfs=expand(f"{RUN}/psf/{{psf}}.json", psf=CONFIG.psfs),
        predictions=ancient(expand(f"{RUN}/predictions/{{model}}.parquet", model=CONFIG.models)),
        prediction_manifests=expand(manifest(f"{RUN}/predictions/{{model}}.parquet"), model=CONFIG.models),
    output:
        f"{RUN}/numbers.json",
    params:
        # durations as they were; a by-product of the jobs and no reason to run again
        benchmarks=f"{RUN}/benchmarks",
        limit=lambda wildcards, input: f"--limit {input.limit}" if CONFIG.limit.enabled else "",
        refined=lambda wildcards, input: f"--refined {input.refined}" if CONFIG.refine.enabled else "",
        ablation=lambda wildcards, input: f"--ablation {input.ablation[0]}" if input.ablation else "",
        shift=lambda wildcards, input: f"--shift {input.shift}" if CONFIG.shift.enabled else "",
        mcmc=lambda wildcards, input: f"--mcmc {input.mcmc[0]} --chains {input.mcmc[1]}" if CONFIG.mcmc.enabled else "",
        fermat=lambda wildcards, input: f"--fermat {input.fermat}" if CONFIG.fermat.enabled else "",
    log:
        f"{RUN}/logs/numbers.log",
    benchmark:
        f"{RUN}/benchmarks/numbers.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit numbers --settings {input.settings} --table {input.table} --errors {input.errors}"
        " --calibration {input.calibration} --joint {input.joint} --models {input.models}"
        " --predictions {input.predictions} --catalog {input.catalog}"
        " --psfs {input.psfs} --benchmarks {params.benchmarks} {params.limit} {params.refined} {params.ablation}"
        " {params.shift} {params.mcmc} {params.fermat} --output {output} > {log} 2>&1"


rule tex:
    message: "the paper's LaTeX"
    input:
        modules=modules("lensvit.paper.render"),
        templates=TEMPLATES,
        numbers=f"{RUN}/numbers.json",
    output:
        f"{RUN}/paper/paper.tex",
    params:
        templates=lambda wildcards, input: str(Path(input.templates[0]).parent),
    log:
        f"{RUN}/logs/tex.log",
    benchmark:
        f"{RUN}/benchmarks/tex.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit tex --numbers {input.numbers} --templates {params.templates}"
        " --output {output} > {log} 2>&1"


rule pdf:
    message: "the paper's PDF"
    input:
        modules=modules("lensvit.paper.compile"),
        tex=f"{RUN}/paper/paper.tex",
        figures=expand(f"{RUN}/figures/{{figure}}.pdf", figure=FIGURES),
    output:
        report(f"{RUN}/paper/paper.pdf", caption="../paper/captions/paper.rst", category="Paper"),
    log:
        f"{RUN}/logs/pdf.log",
    benchmark:
        f"{RUN}/benchmarks/pdf.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit pdf --tex {input.tex} --figures {input.figures} --output {output} > {log} 2>&1"


rule archive:
    message: "the paper's source, ready to upload"
    input:
        modules=modules("lensvit.paper.archive"),
        tex=f"{RUN}/paper/paper.tex",
        bibliography="paper/references.bib",
        figures=expand(f"{RUN}/figures/{{figure}}.pdf", figure=FIGURES),
    output:
        f"{RUN}/paper/paper-source.tar.gz",
    log:
        f"{RUN}/logs/archive.log",
    benchmark:
        f"{RUN}/benchmarks/archive.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    conda:
        "../envs/paper.yaml"
    shell:
        "python -m lensvit archive --tex {input.tex} --references {input.bibliography}"
        " --figures {input.figures} --output {output} > {log} 2>&1"
