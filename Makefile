# make paper: the paper at the demo's scale, on this machine's CPU. make test: the tests.
# Both set up .venv first, as pinned in requirements.lock.

PYTHON ?= python3
BIN = .venv/bin
RUN ?= demo

# what is shown while it runs: two lines a job, and a bar on a terminal
LOGGER = import importlib.util as u; print("--logger lensvit" if u.find_spec("snakemake_logger_plugin_lensvit") else "")
SNAKEMAKE = $(BIN)/snakemake $(shell $(BIN)/python -c '$(LOGGER)')

# into .venv by uv, which is faster, where it is at hand and can, else by pip
PIP = $(BIN)/pip install --disable-pip-version-check $(1)
install = $(if $(shell command -v uv),uv pip install --python $(BIN)/python $(1) || )$(PIP)

COST_SIZES = 1000 4000 16000

DOCS = .venv-docs/bin

.PHONY: paper doctor preview lint format docs report ablation release adopt restore verify bench cost test coverage test-slurm lock metadata clean

paper: .venv/installed
	$(SNAKEMAKE) --cores all --configfile runs/$(RUN).yaml

# what this machine lacks for a run, and how fast it trains the run's networks (docs/paper-scale.md)
doctor: .venv/installed
	$(BIN)/lensvit doctor --files config.yaml runs/$(RUN).yaml

# the PSFs and a few systems of a run, in under a minute: results/RUN/preview.png
preview: .venv/installed
	$(SNAKEMAKE) preview --cores all --configfile runs/$(RUN).yaml

# of a finished run: Snakemake's report with figures, tables and the paper, each with its caption
report: .venv/installed
	$(SNAKEMAKE) show_tables --cores all --configfile runs/$(RUN).yaml
	$(BIN)/snakemake all show_tables --cores all --configfile runs/$(RUN).yaml --report results/$(RUN)/report.html

# the table that other runs show: what each part of the recipe brings (docs/training.md)
ablation: .venv/installed
	$(SNAKEMAKE) --cores all --configfile runs/ablation.yaml
	cp results/ablation/tables/ablation.csv results/ablation/tables/ablation.json paper/data/

# RUN's results in one archive of a few MB, its weights in another
release: .venv/installed
	$(BIN)/lensvit release --run $(RUN)

# make adopt FILE=releases/demo-0123456789.tar.gz [REPLACE=1]
adopt: .venv/installed
	$(BIN)/lensvit adopt --file $(FILE) $(if $(REPLACE),--replace)

# the PSFs and images of an adopted run, which its release leaves out
restore: .venv/installed
	$(SNAKEMAKE) restore --cores all --configfile runs/$(RUN).yaml

# make verify RUN=demo [AGAINST=releases/demo-0123456789.tar.gz]
verify: .venv/installed
	$(BIN)/lensvit verify --run $(RUN) $(if $(AGAINST),--against $(AGAINST))

bench: .venv/installed
	$(BIN)/lensvit bench

# what a run costs as it grows: three runs, and the fit to them (docs/cost.md)
cost: .venv/installed
	for n in $(COST_SIZES); do $(BIN)/snakemake --cores all --configfile runs/demo.yaml runs/scale.yaml \
	  --config run=cost_$$n "data={train: $$((n*3/4)), validation: $$((n/8)), test: $$((n/8))}" || exit 1; done
	$(BIN)/lensvit cost --runs $(COST_SIZES:%=results/cost_%) --output results/cost.csv

# a worker for each core, four at most; the tests of one file, and all that run snakemake, share a worker and what they
# set up
test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --maxprocesses 4 --no-loadscope-reorder

# the same, with the share of the code that runs: build/coverage/index.html; it takes longer
coverage: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --maxprocesses 4 --no-loadscope-reorder --cov --cov-report=html --cov-report=term

# what .ci/run calls first: style, formatting, types
lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy

format: .venv/installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/snakefmt Snakefile rules

# the documentation as a site, site/index.html, which a browser opens from the disk; any warning is an error
docs: .venv-docs/installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/mkdocs build --strict --quiet
	@echo "site/index.html"

# on a SLURM cluster of this machine, which it installs (Debian, root), starts and ends; about five minutes
test-slurm: .venv/installed
	$(BIN)/pytest tests/slurm/workflow_on_slurm.py

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "lensvit needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(call install,--requirement requirements.lock)
	$(call install,--no-deps --editable .)
	touch $@

# needs nothing of .venv: the reference is read from the code, which is not run
.venv-docs/installed: docs/requirements.txt
	$(PYTHON) -m venv .venv-docs
	$(DOCS)/pip install --disable-pip-version-check --requirement docs/requirements.txt
	touch $@

# a new lock file from what pyproject.toml allows today, for all platforms; make lock KEEP=1 keeps what is pinned, as far
# as it can, and adds what is new (docs/platforms.md)
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --disable-pip-version-check uv
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --extra test --no-annotate --no-header \
	  $(if $(KEEP),,--upgrade) --output-file requirements.lock pyproject.toml
	rm -rf .venv-lock

# codemeta.json and .zenodo.json, from CITATION.cff and pyproject.toml
metadata: .venv/installed
	$(BIN)/python -m lensvit.release.citation

clean:
	rm -rf results/$(RUN)
