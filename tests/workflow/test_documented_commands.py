"""Every command of the README and the documentation is run, as it stands there.

They run in a small copy of the project, in which the demo has 24 perturbations and short trainings.
A command that cannot run here is named below with the reason; any other one is run.
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from documents import commands
from project import TINY, Project

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("documents")]

NETWORK = "downloads a file"
BROUGHT = "needs a file that the user brings"
LONG = "takes from many minutes to days"
SUITE = "runs tests for long, this one among them"
SLURM = "needs a Slurm; tests/workflow/test_slurm.py runs it on one"
ENGINE = "needs docker or podman; CI has one"
KUBERNETES = "needs a cluster and a bucket; tests/workflow/test_ecosystem.py plans it with a folder"
CONDA = "needs conda; tests/unit/test_environments.py holds its files to the lock"
NAMED = "a command's name in running text; with arguments it is run"
CLONE = "the copy of the project is the clone, and its environment is this one"
CONTEST = "snakemake --profile profiles/contest"
NOT_HERE = {
    'make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"': NETWORK,
    "snakemake --config dataset=norman_mcfaline": NETWORK,
    "snakemake --config dataset=replogle_nadig": NETWORK,
    "snakemake --config dataset=papalexi": BROUGHT,
    "snakemake --config dataset=datlinger": BROUGHT,
    "snakemake --config dataset=network": LONG,
    "snakemake --sdm conda": CONDA,
    "snakemake --profile profiles/slurm": SLURM,
    "snakemake --profile profiles/slurm --default-resources slurm_partition=NAME "
    "slurm_account=NAME": SLURM,
    CONTEST: LONG,
    "python benchmarks/contest.py NAME … --seeds …": LONG,
    "python benchmarks/retrieval.py network semireal_dev --data-dir data "
    "--splits hepg2 genes": LONG,
    "python benchmarks/retrieval.py papalexi datlinger norman_mcfaline --data-dir data": BROUGHT,
    "python benchmarks/contest.py semireal_dev norman_mcfaline --seeds 51 --splits …_line": BROUGHT,
    "python benchmarks/overfitting.py demo network semireal_dev --data-dir data": LONG,
    "make bench": LONG,
    'make bench ARGS="--only options"': LONG,
    'make bench ARGS="--only train predict --rounds 2"': LONG,
    "make rehearsal": LONG,
    "make test": SUITE,
    "make test-slow": SUITE,
    "make test-oracle": SUITE,
    "make test-slurm": SLURM,
    "pip install snakemake-executor-plugin-kubernetes snakemake-storage-plugin-s3": NETWORK,
    "make container": ENGINE,
    "export SNAKEMAKE_STORAGE_S3_ACCESS_KEY=... SNAKEMAKE_STORAGE_S3_SECRET_KEY=...": KUBERNETES,
    "snakemake --profile profiles/kubernetes -n": KUBERNETES,
    "snakemake --profile profiles/kubernetes": KUBERNETES,
    "git clone REPOSITORY ptrag && cd ptrag": CLONE,
    "make env": CLONE,
    "ptrag fit known.h5ad --perturbation perturbation --cell-line cell_line "
    "--control non-targeting --out bundle": BROUGHT,
    "python benchmarks/emission.py given papalexi datlinger demo semireal_dev "
    "--data-dir data": LONG,
    "python benchmarks/emission.py arms demo --data-dir data": LONG,
    "python benchmarks/denoise.py papalexi demo semireal_dev --seeds 61": LONG,
    "python benchmarks/reliability.py demo network semireal_dev --seeds 71 "
    "--svg docs/reliability.svg": LONG,
    "python benchmarks/nulls.py --screens 60": LONG,
    "python benchmarks/attribution.py semireal_dev --splits k562 genes": BROUGHT,
    "python benchmarks/residual.py demo network semireal_dev": BROUGHT,
    "python benchmarks/any_gene.py data/semireal_dev.h5ad --perturbation gene "
    "--control non-targeting --genes 100": LONG,
    "git clone": NAMED,
    "ptrag fit": NAMED,
    "ptrag predict": NAMED,
    "ptrag predict --no-cells": NAMED,
    "ptrag evaluate": NAMED,
    "ptrag evaluate --compat": NAMED,
    "ptrag evaluate real.h5ad a.h5ad b.h5ad --out metrics.tsv --report report.html": BROUGHT,
}
"""What is not run here, and why not."""


@pytest.fixture(scope="module")
def sandbox(root, tmp_path_factory) -> Project:
    """A copy of the project whose demo is small, with this environment as its ``.venv``."""
    project = Project.clone(root, tmp_path_factory.mktemp("documents") / "project")
    folder = project.folder
    ignore = shutil.ignore_patterns("__pycache__", "_build", "_made")
    for name in ("docs", "benchmarks", "tests"):
        shutil.copytree(root / name, folder / name, ignore=ignore)
    for name in ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml", "config.yaml"):
        shutil.copy(root / name, folder / name)
    project.configure(_make_small)
    (folder / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        if (whole := Path(sys.prefix) / name).exists():
            (folder / ".venv" / name).symlink_to(whole)
    _up_to_date(folder)
    return project


def _up_to_date(folder):
    """Let make take the environment for up to date: it is this one, and nothing may change it."""
    for stamp in ("env", "dev"):
        (folder / f".venv/{stamp}.stamp").touch()


def _installed():
    """What Python finds the package by in this environment."""
    return {path: path.read_text() for path in Path(sysconfig.get_path("purelib")).glob("*.pth")}


def _make_small(config):
    """Shrink the demo: its lines, splits and names stay."""
    demo, settings = config["datasets"]["demo"], dict(TINY["settings"])
    demo["simulate"] |= {
        "n_perturbations": 24, "n_genes": 80, "cells_per_pair": 20, "controls_per_line": 60,
    }  # fmt: skip
    settings["arms"] = ["control", "line_mean", "knn", "response_expert", "ptrag"]
    demo["settings"] = settings


def test_reasons_are_given_for_commands_that_are_there(root):
    known = {one.text for one in commands(root)}
    assert NOT_HERE.keys() <= known, NOT_HERE.keys() - known


@pytest.mark.slow  # three data sets from the source to the report, and the site
def test_every_command_runs(root, sandbox):
    ran, installed = 0, _installed()
    for one in commands(root):
        if one.text in NOT_HERE:
            continue
        shell = ["bash", "-euo", "pipefail"] if one.language == "bash" else [sys.executable, "-"]
        done = subprocess.run(
            shell, input=one.text, cwd=sandbox.folder, env=sandbox.environment(),
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, (
            f"{one.page}: {one.text}\n{(done.stdout + done.stderr)[-3000:]}\n"
            "mend the command, or name it in NOT_HERE with the reason why it cannot run here"
        )
        _up_to_date(sandbox.folder)  # `make lock` writes what the environment is made of
        ran += 1
    assert ran > 25
    assert _installed() == installed
    assert (sandbox.folder / "results/my_screen/report.html").is_file()
