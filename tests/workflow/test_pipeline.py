"""The real pipeline on a tiny simulated screen: whole chain, same bytes, kills, two at once."""

import itertools
import os
import re
import signal
import time

import anndata
import numpy as np
import pytest

from ptrag.base.files import read_json, read_table

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]


def test_the_chain_ends_with_report_tables_and_manifest(finished):
    home = finished.folder / "results/tiny"
    comparison = read_table(home / "comparison.tsv")
    assert set(comparison["arm"]) >= {"control", "perturbation_mean", "line_mean", "state", "ptrag"}
    assert "simulated" in (home / "report.html").read_text().lower()
    manifest = read_json(home / "manifest.json")
    assert "hepg2/ptrag/seed1/predictions.h5ad" in manifest["files"]
    assert not list(home.rglob("*.part"))


@pytest.mark.slow  # a second whole run
def test_a_second_project_makes_the_same_bytes(finished, root, tmp_path):
    other = finished.clone(root, tmp_path / "other")
    other.snakemake()
    ours, theirs = finished.tables(), other.tables()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert _undated(finished) == _undated(other)


def _undated(project) -> str:
    """Return the report of a project without the date on top and the minutes of trainings."""
    text = (project.folder / "results/tiny/report.html").read_text(encoding="utf-8")
    undated, n = re.subn(r"Report of [^·]+ UTC", "", text)
    assert n == 1
    unclocked, n = re.subn(r'<td class="n elapsed"[^>]*>[^<]*</td>', "", undated)
    assert n > 0
    return unclocked


def test_after_a_kill_in_training_it_goes_on_to_the_same_table(finished, project):
    arm = project.forget("hepg2/ptrag")
    process = project.start(start_new_session=True)
    checkpoint = arm / "seed1/checkpoints/last.ckpt"
    deadline = time.time() + 300
    while not checkpoint.exists() and time.time() < deadline and process.poll() is None:
        time.sleep(0.02)
    assert checkpoint.exists(), process.communicate()[0][-3000:]
    os.kill(process.pid, signal.SIGKILL)  # the workflow alone: its jobs must notice
    process.communicate()
    assert not (arm / "seed1/metrics.tsv").exists()
    project.snakemake()
    assert project.tables() == finished.tables()


def test_a_second_workflow_says_who_holds_the_folder(project):
    project.forget("hepg2/ptrag")
    first = project.start(start_new_session=True)
    try:
        deadline = time.time() + 300
        while not (project.folder / ".snakemake/holder.json").exists() and time.time() < deadline:
            time.sleep(0.05)
        said = project.snakemake(ok=False)
        assert f"in use by process {first.pid}" in said
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()


def test_the_conda_files_are_what_snakemake_would_install(finished, project, tmp_path, monkeypatch):
    """conda itself is a stand-in: it only says that it is there."""
    conda = tmp_path / "bin/conda"
    conda.parent.mkdir()
    conda.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        """  *config*) echo '{"get": {"channel_priority": "strict"}}';;\n"""
        """  *) echo '{"conda_version": "24.7.1", "conda_prefix": "/", "root_prefix": "/",\n"""
        """    "platform": "linux-64", "envs": [], "active_prefix": null}';;\n"""
        "esac\n"
    )
    conda.chmod(0o755)
    monkeypatch.setenv("PATH", f"{conda.parent}{os.pathsep}{os.environ['PATH']}")
    project.forget("hepg2/ptrag")
    said = project.snakemake("-n", "--sdm", "conda")
    assert "Conda environment envs/cpu.yaml will be created." in said
    assert "Conda environment envs/gpu.yaml will be created." in said


def test_every_negative_control_reads_what_is_spoilt_for_it(finished, project):
    """Closed forms and networks alike; the report has the audit of each index."""
    arms = ["line_mean", "knn", "knn@shuffled", "knn@reassigned", "ptrag@reassigned"]
    project.snakemake("--config", f"override={{arms: {arms}}}")
    home = project.folder / "results/tiny"
    predicted = {
        arm: anndata.read_h5ad(home / f"hepg2/{arm}/seed0/profiles.h5ad").X for arm in arms[1:4]
    }
    for one, other in itertools.combinations(predicted, 2):
        assert np.abs(predicted[one] - predicted[other]).max() > 1e-3, (one, other)
    candidates = {
        arm: read_table(home / f"hepg2/{arm}/evidence.tsv").groupby("perturbation")["candidate"]
        for arm in ("knn/seed0", "knn@reassigned/seed0")
    }
    true, reassigned = ({p: set(of) for p, of in each} for each in candidates.values())
    assert np.mean([true[p] != reassigned[p] for p in true]) > 0.8
    assert "text@reassigned" in (home / "report.html").read_text(encoding="utf-8")
