# tables/, figures/, predictions/, models/, images, fits -> index.html

PAGE_FILES = {
    "catalog": rules.catalog.output.catalog,
    "images": chunk_files(["test"]),
    "psfs": of_psfs(rules.psf.output.kernel),
    "predictions": of_models(rules.evaluate.output.summary),
    "draws": of_models(rules.evaluate.output.draws),
    "posteriors": products.posteriors_shown(CONFIG).with_arrays,
}


rule page:
    input:
        **large(**PAGE_FILES),
        settings=settings_file("page"),
        numbers=rules.numbers.output,
        table=rules.calibrate.output.table,
        coverage=rules.calibrate.output.coverage,
        pit=rules.calibrate.output.pit,
        models=expand(rules.train.output.config, model=CONFIG.networks),
        histories=expand(rules.train.output.history, model=CONFIG.networks),
        # large, and made with the small ones beside them, by which they count
        figures=ancient([figure_file(name, "png") for name in products.figures_shown(CONFIG)]),
        beside=[figure_file(name) for name in products.figures_shown(CONFIG)],
        captions=[f"paper/captions/{name}.rst" for name in ("table1", *products.figures_shown(CONFIG))],
    output:
        **with_manifests(page=f"{RUN}/index.html"),
    log:
        log_file("page"),
    benchmark:
        benchmark_file("page")
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=code("lensvit.page.page"),
        assets=assets.digest(),
        images=images_folder,
        captions=lambda wildcards, input: str(Path(input.captions[0]).parent),
        posteriors=products.posteriors_shown(CONFIG).options,
        # how the jobs went, as they were; by-products and no reason to run again
        benchmarks=f"{RUN}/benchmarks",
        runs=lambda wildcards, output: str(Path(output.page).parent.parent),
    message:
        "the page of results"
    shell:
        "OMP_NUM_THREADS={threads} OPENBLAS_NUM_THREADS={threads} python -m lensvit page"
        " --settings {input.settings} --numbers {input.numbers} --catalog {input.catalog} --images {params.images}"
        " --psfs {input.psfs} --predictions {input.predictions} --draws {input.draws} --models {input.models}"
        " --table {input.table} --coverage {input.coverage} --pit {input.pit} --figures {input.figures}"
        " --captions {params.captions} --benchmarks {params.benchmarks} --runs {params.runs} {params.posteriors}"
        " --output {output.page} > {log} 2>&1"


# What the page needs and a release leaves out would be made again, and all that follows from it with it: there the
# page is made when it is asked for (docs/releases.md).
PAGE_BY_DEFAULT = [] if any(map(left_out, PAGE_FILES.values())) else rules.page.output
