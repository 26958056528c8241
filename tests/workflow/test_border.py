"""Where the workflow runs, and what it notices of its source."""

import gzip
import os
import signal
import time

import pytest
import yaml
from border_screens import SPEC, screen
from project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("border")]

LONG_AGO = (1577836800, 1577836800)
SPLIT = "results/mine/genes/split.tsv"
ENTRY = {
    **SPEC,
    "file": "screen.h5ad",
    "splits": {
        "genes": {
            "protocol": "unseen_perturbation",
            "fractions": {"val": 0.2, "test": 0.3},
            "seed": 1,
        }
    },
    "settings": {
        "arms": ["control", "state"],
        "cells": {"genes": "all", "min_cells": 2, "min_controls": 4},
        "training": {"max_steps": 10**6, "validate_every": 10**6},
    },
}


@pytest.fixture
def mine(root, tmp_path):
    """A project that reads a screen from its folder ``data``."""
    project = Project.clone(root, tmp_path / "project")
    (project.folder / "data").mkdir()
    screen().write_h5ad(project.folder / "data/screen.h5ad")
    project.configure(lambda c: c.update(dataset="mine", datasets={"mine": ENTRY}))
    return project


def rules(printed):
    return {line.split()[0] for line in printed.splitlines() if line.endswith(" 1")}


def test_in_another_directory(mine, tmp_path):
    (tmp_path / "other").mkdir()
    data = f"data_dir={mine.folder / 'data'}"
    mine.snakemake("--directory", str(tmp_path / "other"), "--config", data, "--", SPLIT)
    assert (tmp_path / "other" / SPLIT).is_file()
    assert not (mine.folder / SPLIT).exists()


def test_as_a_module_of_another_workflow(mine, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    config = yaml.safe_load((mine.folder / "config.yaml").read_text())
    config["data_dir"] = str(mine.folder / "data")
    (folder / "own.yaml").write_text(yaml.safe_dump(config))
    (folder / "Snakefile").write_text(
        'configfile: "own.yaml"\n'
        f'module ptrag:\n    snakefile: "{mine.folder / "Snakefile"}"\n    config: config\n'
        "use rule * from ptrag as ptrag_*\n"
        f'rule own:\n    default_target: True\n    input: "{SPLIT}"\n'
    )
    Project(folder).snakemake("--cores", "1")
    assert (folder / SPLIT).is_file()


@pytest.mark.parametrize("limit", [(), ("--max-checksum-file-size", "1000")])
def test_a_source_replaced_by_an_older_one_is_read_again(mine, limit):
    """Whatever its size: with the limit of Snakemake's checksums set low it is a large file."""
    mine.snakemake("--", SPLIT)
    source, genes = mine.folder / "data/screen.h5ad", mine.folder / "resources/gene_text.tsv.gz"
    for path in (source, genes, mine.folder / "results/mine/cells.h5ad"):
        os.utime(path)
        assert mine.planned(*limit, "--", SPLIT) == set(), "a touch is no change"
    screen(seed=5).write_h5ad(source)
    os.utime(source, LONG_AGO)
    assert mine.planned(*limit, "--", SPLIT) == {"fetch_source", "build_cells", "draw_split"}


def test_a_table_of_genes_replaced_by_an_older_one_is_read_again(mine):
    mine.snakemake("--", SPLIT)
    genes = mine.folder / "resources/gene_text.tsv.gz"
    genes.write_bytes(gzip.compress(gzip.decompress(genes.read_bytes()), 1))
    os.utime(genes, LONG_AGO)
    assert mine.planned("--", SPLIT) == {"build_cells", "draw_split"}


def test_a_zarr_folder_is_a_source(mine):
    (mine.folder / "data/screen.h5ad").unlink()
    screen().write_zarr(mine.folder / "data/screen.zarr")
    mine.configure(lambda c: c["datasets"]["mine"].update(file="screen.zarr"))
    mine.snakemake("--", SPLIT)
    assert (mine.folder / SPLIT).is_file()


def test_the_error_names_the_users_file_and_key(mine, tmp_path):
    (tmp_path / "extra.yaml").write_text("resources: {train_arms: {mem_mb: 64000}}\n")
    printed = mine.snakemake("--configfile", str(tmp_path / "extra.yaml"), "-n", ok=False)
    errors = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert errors == [
        f"error: {tmp_path / 'extra.yaml'}: resources.train_arms: unknown key; "
        "did you mean 'train_arm'?"
    ]
    assert "Traceback" not in printed


def test_ctrl_c_in_a_training_is_no_traceback_and_it_goes_on(mine):
    history = "results/mine/genes/state/seed1/history.tsv"
    log = mine.folder / "results/mine/genes/state/seed1/logs/train_arm.log"
    process = mine.start("--", history, start_new_session=True)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and not (log.is_file() and "step 50 of" in log.read_text()):
        time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=120)
    assert "about " in printed and " left" in printed, "progress on the terminal"
    assert "Traceback" not in printed
    assert "stopped at step" in log.read_text()
    assert (log.parents[1] / "checkpoints/last.ckpt").is_file()
    assert not list((mine.folder / "results").rglob("*.part"))
