"""The real pipeline on a tiny simulated screen: whole chain, reruns, kills, mistakes."""

import os
import re
import shutil
import signal
import time

import pytest

from ptrag.files import read_json, read_table

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

LAST = {"compare_arms", "write_report", "write_manifest"}
NOTHING = "Nothing to be done"


def test_the_chain_ends_with_report_tables_and_manifest(finished):
    home = finished.folder / "results/tiny"
    comparison = read_table(home / "comparison.tsv")
    assert set(comparison["arm"]) >= {"control", "perturbation_mean", "line_mean", "state", "ptrag"}
    assert "simulated" in (home / "report.html").read_text().lower()
    manifest = read_json(home / "manifest.json")
    assert "hepg2/ptrag/seed1/predictions.h5ad" in manifest["files"]
    assert not list(home.rglob("*.part"))


def test_a_second_run_has_nothing_to_do(finished):
    assert NOTHING in finished.snakemake("-n")


def test_touching_every_file_reruns_nothing(project):
    for path in project.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            path.touch()
    assert NOTHING in project.snakemake("-n")


@pytest.mark.parametrize("keep_times", [True, False])
def test_results_copied_into_a_fresh_clone_rerun_nothing(finished, root, tmp_path, keep_times):
    clone = finished.clone(root, tmp_path / "clone")
    shutil.rmtree(clone.folder / "results")
    shutil.copytree(
        finished.folder / "results",
        clone.folder / "results",
        copy_function=shutil.copy2 if keep_times else shutil.copyfile,
    )
    assert NOTHING in clone.snakemake("-n")


def edit(path):
    path.write_text(path.read_text() + "\n# an edit\n")


@pytest.mark.parametrize(
    ("module", "rules", "trained"),
    [
        ("metrics/distribution.py", {"evaluate_arm"} | LAST, set()),
        ("models/refinement.py", {"train_arm", "predict_arm", "evaluate_arm"} | LAST, {"ptrag"}),
        ("models/arms/state.py", {"train_arm", "predict_arm", "evaluate_arm"} | LAST, {"state"}),
        (
            "models/backbone.py",
            {"train_arm", "predict_arm", "evaluate_arm"} | LAST,
            {"state", "ptrag"},
        ),
        ("report/page.py", {"write_report", "write_manifest"}, set()),
    ],
)
def test_an_edited_module_reruns_the_stages_that_import_it(project, module, rules, trained):
    edit(project.folder / "src/ptrag" / module)
    said = project.snakemake("-n")
    assert set(re.findall(r"^rule (\w+):", said, flags=re.M)) - {"all"} == rules
    arms = re.findall(
        r"^rule train_arm:(?:\n .*?)*?\n    wildcards: .*arm=(\S+?),", said, flags=re.M
    )
    assert set(arms) == trained


@pytest.mark.parametrize(
    ("section", "key", "value", "rules"),
    [
        ("training", "learning_rate", 0.002, {"train_arm", "predict_arm", "evaluate_arm"} | LAST),
        ("evaluation", "bootstrap", 300, LAST),
        (
            "prediction",
            "cells_per_pair",
            24,
            {"fit_closed_forms", "predict_arm", "evaluate_arm"} | LAST,
        ),
    ],
)
def test_a_changed_value_reruns_what_uses_it(project, section, key, value, rules):
    project.configure(lambda c: c["datasets"]["tiny"]["settings"][section].update({key: value}))
    assert project.planned() == rules


def test_a_second_project_makes_the_same_bytes(finished, root, tmp_path):
    other = finished.clone(root, tmp_path / "other")
    other.snakemake()
    ours, theirs = finished.tables(), other.tables()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    report = "results/tiny/report.html"
    assert (finished.folder / report).read_bytes() == (other.folder / report).read_bytes()


def test_after_a_kill_in_training_it_goes_on_to_the_same_table(finished, project):
    arm = project.folder / "results/tiny/hepg2/ptrag"
    shutil.rmtree(arm)
    process = project.start(start_new_session=True)
    checkpoint = arm / "seed1/checkpoints/last.ckpt"
    deadline = time.time() + 120
    while not checkpoint.exists() and time.time() < deadline and process.poll() is None:
        time.sleep(0.02)
    assert checkpoint.exists(), process.communicate()[0][-3000:]
    os.kill(process.pid, signal.SIGKILL)  # the workflow alone: its jobs must notice
    process.communicate()
    assert not (arm / "seed1/metrics.tsv").exists()
    project.snakemake()
    assert project.tables() == finished.tables()


def test_a_mistake_in_the_config_is_named_and_makes_nothing(root, finished, tmp_path):
    project = finished.clone(root, tmp_path / "project")
    project.configure(lambda c: c["training"].update(max_step=3))
    said = project.snakemake(ok=False)
    assert "training.max_step: unknown key; did you mean 'max_steps'?" in said
    assert list((project.folder / "results").iterdir()) == []


def test_a_missing_source_says_what_to_fetch_and_where_to_put_it(root, finished, tmp_path):
    project = finished.clone(root, tmp_path / "project")
    spec = {key: value for key, value in vars_of(project).items() if key != "simulate"}
    spec |= {"file": "screen.h5ad"}
    project.configure(lambda c: c["datasets"].update(tiny=spec))
    said = project.snakemake(ok=False)
    assert "screen.h5ad" in said
    assert "data/" in said
    assert not (project.folder / "results/tiny/source.h5ad").exists()


def vars_of(project):
    import yaml

    return yaml.safe_load((project.folder / "config.yaml").read_text())["datasets"]["tiny"]


def test_a_second_workflow_says_who_holds_the_folder(project):
    shutil.rmtree(project.folder / "results/tiny/hepg2/ptrag")
    first = project.start(start_new_session=True)
    try:
        deadline = time.time() + 60
        while not (project.folder / ".snakemake/holder.json").exists() and time.time() < deadline:
            time.sleep(0.05)
        said = project.snakemake(ok=False)
        assert f"in use by process {first.pid}" in said
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
