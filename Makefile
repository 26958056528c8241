# One environment (.venv) for everything; `make help` explains the targets.
#   PYTHON=python3.12    another interpreter (3.11 or newer)
#   TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"   another torch build
#   ARGS="--config dataset=papalexi"    further arguments of snakemake or pytest

PYTHON ?= python3
VENV   ?= .venv
TORCH  ?= -r envs/torch.txt
PIP    := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
BIN    := $(CURDIR)/$(VENV)/bin
ORACLE ?= .venv-oracle
WORKERS ?= 2
ENGINE ?= $(or $(shell command -v docker),$(shell command -v podman),docker)
# snakemake keeps sources in the home folder; where that can't be written, here
CACHE  := $(shell test -w "$$HOME" || echo 'XDG_CACHE_HOME="$(CURDIR)/.snakemake/cache"')
RUN    := PATH="$(BIN):$$PATH" $(CACHE)

.DEFAULT_GOAL := help
.PHONY: help env dev demo docs test test-slow test-slurm test-oracle lint format bench bench-gpu rehearsal container lock clean

help:  ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

# torch first: its build is the user's choice, everything else follows the lock
$(VENV)/env.stamp: envs/torch.txt envs/requirements.txt pyproject.toml
	@echo "making $(VENV) (a few minutes, once)"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) $(TORCH)
	@$(PIP) -r envs/requirements.txt
	@$(PIP) --no-deps -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/env.stamp envs/requirements-dev.txt
	@$(PIP) -r envs/requirements-dev.txt
	@touch $@

env: $(VENV)/env.stamp  ## make the environment in .venv
dev: $(VENV)/dev.stamp  ## the same with what tests and lint need

demo: env  ## run the whole pipeline on the simulated screen; ends with results/demo/report.html
	@$(RUN) snakemake $(ARGS)

docs: dev  ## make the documentation site; ends with docs/_build/index.html
	@$(RUN) sphinx-build -b html -W --keep-going -q docs docs/_build $(ARGS)
	@echo "documentation: docs/_build/index.html"

test: dev  ## fast tests with coverage (what CI runs)
	@$(RUN) pytest -n $(WORKERS) --dist loadgroup -m "not slow and not oracle and not slurm" \
	  --cov --cov-report=term --cov-report=json:.coverage.json -q $(ARGS)

test-slow: dev  ## tests that take minutes: memory, kills, calibration
	@$(RUN) pytest -m slow $(ARGS)

test-slurm: dev  ## the tiny workflow through a real Slurm on this machine (root, Debian)
	@$(RUN) pytest -m slurm -s $(ARGS)

$(ORACLE)/env.stamp: envs/torch.txt envs/requirements-oracle.txt
	@echo "making $(ORACLE) (a few minutes, once)"
	@test -x $(ORACLE)/bin/python || $(PYTHON) -m venv $(ORACLE)
	@$(ORACLE)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	@$(ORACLE)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -r envs/requirements-oracle.txt
	@touch $@

# the other evaluators bring fifty packages, which stay out of the environment that users get
test-oracle: $(ORACLE)/env.stamp  ## hold our metrics against gge-eval and cell-eval
	@$(ORACLE)/bin/python -m pytest -m oracle tests/oracle $(ARGS)

lint: dev  ## style of Python and Snakemake files
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) snakefmt --check --compact-diff Snakefile workflow

format: dev  ## rewrite Python and Snakemake files in that style
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .
	@$(RUN) snakefmt Snakefile workflow

bench: env  ## measure speed and memory beside the direct form; ARGS=--help for sizes
	@$(RUN) python benchmarks/run.py $(ARGS)

bench-gpu: env  ## the same of a training on a GPU, in twelve minutes (without one: that it runs)
	@$(RUN) PYTHONPATH="$(CURDIR)/src" python benchmarks/gpu.py $(ARGS)

rehearsal: env  ## the whole workflow on a made file of the paper's size; ARGS="--tenth" for less
	@$(RUN) PYTHONPATH="$(CURDIR)/src" python benchmarks/rehearsal.py $(ARGS)

container:  ## build the image `ptrag` from envs/Containerfile (docker or podman)
	$(ENGINE) build -f envs/Containerfile -t ptrag $(ARGS) .

lock: dev  ## pin what is installed now into envs/*.txt
	@$(RUN) python envs/lock.py

clean:  ## remove results and records (the environment and downloads stay)
	rm -rf results/* results/.snakemake .snakemake .pytest_cache .ruff_cache .coverage*
