"""The workflow as other tools use it: lint, catalogue, Snakemake's report, Kubernetes."""

import re
import shutil
import subprocess
import zipfile

import pytest
from project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

EXPLAINED = {
    # what a rule lists as its input stands right above it; the linter wants all functions elsewhere
    "report.smk": {"Mixed rules and functions in same snakefile."},
}


def test_the_linter_has_nothing_that_is_not_explained(finished):
    printed = finished.snakemake("--lint", ok=False)
    lints = {}
    for line in printed.splitlines():
        if place := re.match(r"Lints for (?:snakefile .*/|rule )(\S+)", line):
            titles = lints.setdefault(place[1].rstrip(":"), set())
        elif title := re.match(r"    \* (.*):$", line):
            titles.add(title[1])
    assert lints == EXPLAINED


def test_the_snakefile_where_the_catalogue_looks_is_the_same_workflow(finished):
    said = finished.snakemake("-n", "-s", "workflow/Snakefile", "--forceall", "--verbose")
    same = finished.snakemake("-n", "--forceall", "--verbose")
    outputs = re.findall(r"^    output: .*", said, flags=re.M)
    assert sorted(outputs) == sorted(re.findall(r"^    output: .*", same, flags=re.M))
    assert outputs


def test_the_test_data_set_runs_in_its_own_folder(root, tmp_path):
    project = Project.clone(root, tmp_path / "project")
    shutil.copy(root / "config.yaml", project.folder)
    planned = project.planned("--directory", ".test", "--configfile", ".test/config.yaml")
    assert {"simulate_screen", "train_arm", "write_report"} <= planned
    assert not (project.folder / "results/tiny").exists()


def test_snakemakes_own_report_has_captions_and_labels(finished, tmp_path):
    path = tmp_path / "workflow.zip"
    finished.snakemake("--report", str(path))
    with zipfile.ZipFile(path) as archive:
        pages = [archive.read(name).decode() for name in archive.namelist() if "report" in name
                 and name.endswith(".html")]  # fmt: skip
    text = "".join(pages)
    for label in ("data set", "scores of every arm", "differences of arms", "Report", "Comparison"):
        assert label in text, label
    assert "Simulated cells" in text


def test_kubernetes_is_planned_with_results_in_storage(root, tmp_path):
    """As the profile has it, with a folder as the bucket: no cluster and no network are needed."""
    pytest.importorskip("snakemake_executor_plugin_kubernetes")
    pytest.importorskip("snakemake_storage_plugin_fs")
    pytest.importorskip("snakemake_storage_plugin_s3")
    project = Project.clone(root, tmp_path / "project")
    subprocess.run(["git", "init", "--quiet"], cwd=project.folder, check=True)
    bucket = tmp_path / "bucket"
    shutil.copytree(root / "resources", bucket / "resources")
    keys = {f"SNAKEMAKE_STORAGE_S3_{name}": "none" for name in ("ACCESS_KEY", "SECRET_KEY")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in keys.items():
            patch.setenv(name, value)
        planned = project.planned(
            "--profile", "profiles/kubernetes",
            "--default-storage-provider", "fs", "--default-storage-prefix", str(bucket),
        )  # fmt: skip
    assert {"simulate_screen", "train_arm", "write_report"} <= planned
