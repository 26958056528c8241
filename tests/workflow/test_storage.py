"""A full disk and a folder that cannot be written: one line, nothing half-made, then on."""

import subprocess
from contextlib import contextmanager

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]


@contextmanager
def mounted(folder, options):
    """Put a small file system on ``folder``."""
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a file system can only be mounted by root")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def empty(root, finished, tmp_path):
    return finished.clone(root, tmp_path / "project")


def test_a_full_disk_is_named_and_with_more_space_it_goes_on(empty):
    results = empty.folder / "results"
    with mounted(results, "size=60k"):
        said = empty.snakemake("results/tiny/source.h5ad", ok=False)
        assert "ERROR: results/tiny/source.h5ad: the disk is full; free some space" in said
        assert {path.name for path in (results / "tiny").glob("*")} <= {"logs", "benchmarks"}
        subprocess.run(["mount", "-o", "remount,size=50m", results], check=True)
        empty.snakemake("results/tiny/source.h5ad")


def test_a_read_only_results_folder_is_named(empty):
    with mounted(empty.folder / "results", "ro"):
        said = empty.snakemake(ok=False)
    assert "error: results/.snakemake: Read-only file system; work in a folder that" in said
    assert "Traceback" not in said
