"""The paper's data set: its plan, and its path from address to table on a small stand-in."""

import json
import re
import resource

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from loopback import Server
from project import Project

from ptrag.base.files import read_json, sha256

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

LINES = ["hepg2", "jurkat", "k562", "rpe1"]
OUT = "results/replogle_nadig"


@pytest.fixture(scope="module")
def shipped(root, tmp_path_factory):
    """The project with the configuration as it is shipped."""
    project = Project.clone(root, tmp_path_factory.mktemp("shipped") / "project")
    (project.folder / "config.yaml").write_text((root / "config.yaml").read_text())
    return project


def counts(said):
    return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", said, flags=re.M)}


def test_the_papers_four_lines_are_planned(shipped):
    said = shipped.snakemake("-n", "--verbose", "--config", "dataset=replogle_nadig")
    assert set(re.findall(rf"{OUT}/(\w+)/split\.tsv", said)) == set(LINES)
    assert counts(said)["draw_split"] == 4
    assert counts(said)["fetch_genept"] == 1


NEURAL = [
    "state", "state_genept", "vanilla_rag", "vanilla_rag_residual", "ptrag", "ptrag_residual",
    "ptrag@shuffled", "response_rag",
]  # fmt: skip
CLOSED = ["perturbation_mean", "additive", "ridge", "response_expert"]


def test_the_full_matrix_is_planned_in_seconds(shipped):
    """Four lines, twelve arms, five seeds: at most 20 s of a CPU."""
    matrix = f"override={{arms: [{', '.join(NEURAL + CLOSED)}], seeds: [1, 2, 3, 4, 5]}}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = shipped.snakemake("-n", "--verbose", "--config", "dataset=replogle_nadig", matrix)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"\n{counts(said)} planned in {seconds:.1f} CPU seconds")
    runs = len(NEURAL) * 5 * 4
    assert counts(said)["train_arm"] == counts(said)["predict_arm"] == runs
    assert counts(said)["evaluate_arm"] == runs + len(CLOSED) * 4
    assert seconds < 20


def stand_in(root, path):
    """Normalised cells in obsm/X_hvg with the paper's columns, labels and held-out genes."""
    rng = np.random.default_rng(0)
    lists = read_json(root / "resources/paper_splits.json")["hepg2"]
    held = {role: sorted(lists[role])[:3] for role in ("val", "test")}
    genes = ["non-targeting"] * 2 + held["val"] + held["test"] + ["ACTB", "GAPDH", "TUBB"]
    obs = pd.DataFrame(
        [(gene, line, batch) for line in LINES for gene in genes for batch in (1, 2) * 12],
        columns=["gene", "cell_line", "gem_group"],
        dtype="object",
    ).astype({"gene": "category", "cell_line": "category", "gem_group": int})
    obs.index = [f"cell{i}" for i in range(len(obs))]
    shifts = {gene: rng.normal(0, 0.5, 60) for gene in genes} | {"non-targeting": np.zeros(60)}
    X = 2 + np.stack([shifts[gene] for gene in obs["gene"]]) + rng.normal(0, 0.3, (len(obs), 60))
    X = np.maximum(X, 0).astype(np.float32)
    var = pd.DataFrame({"highly_variable": True}, index=["ACTB", *(f"GENE{i}" for i in range(59))])
    ad.AnnData(X, obs=obs, var=var, obsm={"X_hvg": X}).write_h5ad(path)
    return held


def test_from_an_address_to_the_table(shipped, root, tmp_path):
    project = shipped.copy(tmp_path / "project")
    held = stand_in(root, tmp_path / "replogle.h5ad")
    with Server((tmp_path / "replogle.h5ad").read_bytes()) as server:

        def here(config):
            entry = config["datasets"]["replogle_nadig"]
            entry["url"] = server.url
            entry["splits"] = {"hepg2": entry["splits"]["hepg2"]}
            entry["settings"] |= {
                "arms": ["perturbation_mean", "line_mean"],
                "prediction": {"cells_per_pair": 16},
                "training": {"set_size": 8},
                "evaluation": {"n_pcs": 5, "bootstrap": 100},
            }

        project.configure(here)
        server.cuts = [200_000]
        project.snakemake("--config", "dataset=replogle_nadig")
        assert re.fullmatch(r"bytes=\d+-", server.asked[1]), "went on where it was cut"
        home = project.folder / OUT
        recorded = (home / "source.h5ad.sha256").read_text().split()[0]
        assert recorded == sha256(tmp_path / "replogle.h5ad")

        split = pd.read_csv(home / "hepg2/split.tsv", sep="\t")
        for role, genes in held.items():
            assert set(split["perturbation"][split["role"] == role]) == set(genes)
        assert (split["cell_line"][split["role"] == "test"] == "hepg2").all()
        assert json.loads((home / "manifest.json").read_text())["inputs"]["source.h5ad"] == recorded

        # somebody has changed the file at that address
        server.content = server.content[:-1] + b"x"
        server.version = '"two"'
        again = ("--forcerun", "fetch_source", "--config", "dataset=replogle_nadig")
        said = project.snakemake(f"{OUT}/source.h5ad", *again, ok=False)
        assert f"{recorded} (recorded in {OUT}/source.h5ad.sha256) is expected" in said
        assert not (home / "source.h5ad").exists()
