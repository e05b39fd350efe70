# Two commands do all: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
CORES ?= 2
BIN := $(VENV)/bin
DEMO := --configfile config/demo.yaml
SEEDS ?= 101 102 103 104 105

.PHONY: demo demo-full proof test setup lint backbones benchmarks schema clean clean-all

demo: setup  ## the whole pipeline on a simulated NSD: tables, figures, report in results/demo
	PATH="$(abspath $(BIN)):$$PATH" brainit measure -- snakemake all --cores $(CORES) $(DEMO)

demo-full: setup  ## the demo with every ablation and transfer table, and a report of them all
	PATH="$(abspath $(BIN)):$$PATH" brainit measure -- \
		snakemake everything --cores $(CORES) $(DEMO) config/demo-full.yaml

proof: setup  ## the demo for each of SEEDS, and one table of them all: results/proof/seeds.md
	for seed in $(SEEDS); do \
		printf 'run: {seed: %s}\npaths: {results: results/seed%s, store: results/seed%s/.store}\n' \
			$$seed $$seed $$seed > results/seed$$seed.yaml && \
		PATH="$(abspath $(BIN)):$$PATH" snakemake all --cores $(CORES) $(DEMO) \
			results/seed$$seed.yaml || exit 1; \
	done
	$(BIN)/brainit seeds $(SEEDS:%=results/seed%) --out results/proof

test: setup lint  ## every check: format, lint, types, layers, then all tests, cheapest first
	$(BIN)/pytest tests/unit -n 2 --dist loadfile
	$(BIN)/pytest tests/contract tests/workflow -n 2 --dist loadgroup
	$(BIN)/pytest tests/e2e
	$(BIN)/pytest tests/slurm -m "not slurm_slow" -rs

lint: setup
	$(BIN)/ruff format --check pipeline_src tests
	$(BIN)/ruff check pipeline_src tests
	$(BIN)/snakefmt --check workflow
	$(BIN)/codespell pipeline_src workflow config profiles tests results/README.md $(wildcard *.md)
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(VENV)/installed

# pyproject.toml has ranges, constraints.txt the exact versions. torch and torchvision are named first,
# in the same command: a CPU build of torch then satisfies torchvision.
$(VENV)/installed: pyproject.toml envs/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet torch torchvision -e ".[dev]" -c envs/constraints.txt
	touch $@

backbones: setup  ## train the demo's networks anew (hours); the demo itself never does
	$(BIN)/python -m brainit.steps.train_demo_backbones --out pipeline_src/brainit/features/demo --seed 42

benchmarks: setup  ## speed against the obvious way of doing it, each a ratio measured in one run
	$(BIN)/pip install --quiet -e ".[bench]" -c envs/constraints.txt
	for bench in tests/benchmarks/bench_*.py; do $(BIN)/python $$bench || exit 1; done

schema: setup  ## write the config schema and config/config.yaml from the settings classes
	$(BIN)/brainit schema

clean:  ## remove results, keep downloads, weights and work files
	find results -mindepth 1 -maxdepth 1 ! -name .store ! -name README.md ! -name demo -exec rm -rf {} +
	[ ! -d results/demo ] || find results/demo -mindepth 1 -maxdepth 1 ! -name .store -exec rm -rf {} +

clean-all:  ## remove everything that was made or fetched; asks first
	@printf 'Remove results/ with all downloads and weights? [y/N] ' && read answer && [ "$$answer" = y ]
	find results -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
