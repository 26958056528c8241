"""Mistakes through the real workflow: one line that says what to mend, and nothing half-made.

Every kind of bad input has its unit test beside the code that refuses it; here are those
that show each stage's way to the terminal.
"""

import shutil

import anndata as ad
import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]


@pytest.fixture(scope="module")
def clean(root, finished, tmp_path_factory):
    """A project that reads the tiny screen from a file in data/."""
    project = finished.clone(root, tmp_path_factory.mktemp("bad") / "project")
    data = project.folder / "data"
    data.mkdir()
    shutil.copy(finished.folder / "results/tiny/source.h5ad", data / "screen.h5ad")

    def from_file(config):
        entry = config["datasets"]["tiny"]
        del entry["simulate"], entry["simulated"]
        entry["file"] = "screen.h5ad"
        entry["settings"]["arms"] = ["control", "line_mean"]

    project.configure(from_file)
    return project


def entry(**changes):
    return lambda project: project.configure(lambda c: c["datasets"]["tiny"].update(changes))


def top(**changes):
    return lambda project: project.configure(lambda c: c.update(changes))


def setting(section, **changes):
    return lambda project: project.configure(lambda c: c[section].update(changes))


def split(**changes):
    return lambda project: project.configure(
        lambda c: c["datasets"]["tiny"]["splits"]["hepg2"].update(changes)
    )


def no_file(project):
    (project.folder / "data/screen.h5ad").unlink()


def page(project):
    (project.folder / "data/screen.h5ad").write_text("<!DOCTYPE html>\n<title>Sign in</title>")


def cut(project):
    path = project.folder / "data/screen.h5ad"
    path.write_bytes(path.read_bytes()[:-1000])


def negative(project):
    path = project.folder / "data/screen.h5ad"
    adata = ad.read_h5ad(path)
    adata.X = adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X
    adata.X[3, 2] = -1
    adata.write_h5ad(path)


def other_genes(project):
    (project.folder / "vectors.tsv").write_text("gene\tx\ty\nNOGENE1\t1\t2\nNOGENE2\t2\t1\n")
    project.configure(
        lambda c: (
            c.update(embedding="table"),
            c["embeddings"]["table"].update(path="vectors.tsv"),
            c["datasets"]["tiny"]["settings"].update(arms=["line_mean", "state_genept"]),
        )
    )


CONFIG, FETCH, CELLS = "source.h5ad", "source.h5ad", "cells.h5ad"
SPLIT, EMBED = "hepg2/split.tsv", "embeddings/table.h5ad"

CASES = {
    "unknown key": (
        setting("training", max_step=3), CONFIG, ["training.max_step: unknown key", "max_steps"]
    ),
    "wrong type": (
        setting("training", max_steps="many"), CONFIG, ["training.max_steps: 'many' is not"]
    ),
    "unknown data set": (
        top(dataset="tinny"), CONFIG, ["dataset: 'tinny'", "did you mean 'tiny'"]
    ),
    "unknown arm": (
        top(override={"arms": ["contol"]}), CONFIG, ["contol", "did you mean 'control'"]
    ),
    "no file": (no_file, FETCH, ["screen.h5ad: there is no such file", "put it into data"]),
    "wrong checksum": (
        entry(sha256="0" * 64), FETCH, ["data/screen.h5ad has sha256", "is expected"]
    ),
    "web page": (page, CELLS, ["is a web page saved under this name"]),
    "truncated": (cut, CELLS, ["truncated or damaged"]),
    "negative": (negative, CELLS, ["the value -1 of gene"]),
    "control absent": (
        entry(control="contol"), CELLS, ["label 'control' means control", "is 'contol'; set"]
    ),
    "scale": (entry(scale="log1p"), CELLS, ["too high for a logarithm", "set `scale: counts`"]),
    "absent line": (split(target="hepg"), SPLIT, ["split 'hepg2'", "did you mean 'hepg2'"]),
    "no overlap": (other_genes, EMBED, ["embeddings.table: knows none of", "NOGENE1"]),
}  # fmt: skip
"""What is spoilt, the file that must not come to be, and words of the one line."""


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_line_and_leaves_nothing_half_made(clean, tmp_path, name):
    spoil, refused, words = CASES[name]
    project = clean.copy(tmp_path / "project")
    spoil(project)
    home = project.folder / "results/tiny"
    said = project.snakemake(str(home.relative_to(project.folder) / refused), ok=False)
    lines = [line for line in said.splitlines() if all(word in line for word in words)]
    assert lines, said[-3000:]
    assert lines[0].lower().startswith("error: "), lines[0]
    assert "Traceback" not in said
    assert not (home / refused).exists()
    assert not list(home.rglob("*.part"))
