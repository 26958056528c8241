"""`predict:` of a data set: pairs that nobody measured, predicted by every bundle and reported."""

import anndata
import numpy as np
import pytest

from ptrag.base.files import read_json, read_table
from ptrag.prediction.files import PredictionFiles
from ptrag.prediction.loading import load_bundle
from ptrag.prediction.predict import predict_own

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

ARMS = ["control", "perturbation_mean", "line_mean", "response_expert", "state", "ptrag"]


def ask(project, **section):
    project.configure(lambda config: config["datasets"]["tiny"].update(predict=section))


@pytest.fixture(scope="module")
def asked(finished, tmp_path_factory):
    """The finished project, asked for two genes that no cell has in two of its lines."""
    project = finished.copy(tmp_path_factory.mktemp("asked") / "project")
    ask(project, lines=["hepg2", "k562"], perturbations=["TP53", "p53", "BRCA1"])
    project.rules = project.planned()
    project.snakemake()
    return project


def test_nothing_is_trained_or_scored_again(asked):
    assert asked.rules == {
        "predict_unmeasured", "tabulate_unmeasured", "write_report", "write_manifest",
    }  # fmt: skip


def test_every_arm_predicts_them_in_one_table(asked):
    home = asked.folder / "results/tiny"
    table = read_table(home / "unmeasured.tsv")
    for arm in ARMS:
        rows = table[table["arm"] == arm]
        pairs = set(zip(rows["cell_line"], rows["perturbation"], strict=True))
        assert pairs == {(line, name) for line in ("hepg2", "k562") for name in ("TP53", "BRCA1")}
        assert len(rows) == 4
    levels = table.set_index("arm")["level"]
    assert set(levels["state"]) == {"fallback"}  # one-hot: it knows no other gene
    assert set(levels["response_expert"]) == {"never perturbed"}
    manifest = read_json(home / "manifest.json")["files"]
    assert {"unmeasured.tsv", "hepg2/ptrag/seed1/unmeasured/profiles.h5ad"} <= set(manifest)


def test_the_report_shows_them_without_a_score(asked):
    html = (asked.folder / "results/tiny/report.html").read_text()
    section = html[html.index('<h2 id="unmeasured">') :]
    section = section[: section.index("</section>")]
    assert "hepg2: predicted, and measured by nobody" in section
    assert section.count('<th scope="row">BRCA1</th>') == section.count('<th scope="row">TP53</th>')
    assert "response_expert" in section


def test_the_command_predicts_the_same_from_the_same_controls(asked, tmp_path):
    home = asked.folder / "results/tiny"
    run = home / "hepg2/response_expert/seed0"
    store = anndata.read_h5ad(home / "cells.h5ad")
    obs = store.obs
    own = store[(obs["cell_line"] == "k562") & (obs["control_part"] == "given")]
    own.write_h5ad(tmp_path / "own.h5ad")
    made = predict_own(
        load_bundle(run / "bundle"), tmp_path / "own.h5ad", ["TP53"],
        PredictionFiles.into(tmp_path, None), line="k562", n_cells=0,
    )  # fmt: skip
    ours = anndata.read_h5ad(run / "unmeasured/profiles.h5ad")
    row = ((ours.obs["cell_line"] == "k562") & (ours.obs["perturbation"] == "TP53")).to_numpy()
    theirs = anndata.read_h5ad(made.files.profiles)
    np.testing.assert_array_equal(ours[row].X, theirs.X)


def test_a_slip_is_one_line_that_names_the_remedy(asked, tmp_path):
    project = asked.copy(tmp_path / "project")
    ask(project, lines=["hepg2"], perturbations=["TP35"])
    assert "did you mean TP53" in project.snakemake("results/tiny/unmeasured.tsv", ok=False)
    ask(project, lines=["hepg2"])
    said = project.snakemake("-n", ok=False)
    assert "datasets.tiny.predict" in said and "perturbations" in said
