"""``ptrag predict`` gives the profiles and the cells that the workflow scores."""

import anndata
import numpy as np
import pytest
from training_cases import make_home, make_job

from ptrag.base.errors import PtragError
from ptrag.cells.controls import GIVEN
from ptrag.cells.store import CellStore
from ptrag.cli import main
from ptrag.prediction.bundle import load_bundle
from ptrag.prediction.files import PredictionFiles
from ptrag.prediction.pairs import predict_with_bundle
from ptrag.splits.protocols import read_split
from ptrag.training.run import train

OPTIONS = {
    "ptrag": {
        "rag": True, "use_genept": True, "topk_rag": 4, "published": True,
        "retrieve_than_predict": True, "differentiable_rag": True,
    },
    "response_rag": {"rag": True, "use_genept": True, "topk_rag": 4},
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("home"), n_cells=12, n_controls=60)


@pytest.mark.parametrize("arm", list(OPTIONS))
def test_the_command_predicts_what_the_workflow_scores_bit_by_bit(home, tmp_path, arm, capsys):
    store, split = CellStore(home / "cells.h5ad"), read_split(home / "split.tsv")
    train(make_job(home, tmp_path, arm, OPTIONS[arm]))
    workflow = PredictionFiles.beside(tmp_path / "workflow/predictions.h5ad")
    predict_with_bundle(load_bundle(tmp_path / "bundle"), store, split, 16, workflow)

    line = "a"
    rows = store.control_rows(line, GIVEN)
    given = anndata.read_h5ad(store.path)[rows]
    given.write_h5ad(tmp_path / "controls.h5ad")
    names = sorted({name for of, name in split.pairs("test") if of == line})
    out = tmp_path / "own.h5ad"
    code = main([
        "predict", str(tmp_path / "bundle"), str(tmp_path / "controls.h5ad"),
        "--perturbations", *names, "--cell-line", line, "--cells", "16", "--out", str(out),
    ])  # fmt: skip
    assert code == 0
    assert str(out) in capsys.readouterr().out
    for own, scored in (
        (out, workflow.cells),
        (out.with_suffix(".profiles.h5ad"), workflow.profiles),
    ):
        mine, theirs = anndata.read_h5ad(own), anndata.read_h5ad(scored)
        assert set(mine.obs["cell_line"]) == {line}
        for name in names:
            chosen = (theirs.obs["cell_line"] == line) & (theirs.obs["perturbation"] == name)
            expected = theirs.X[chosen.to_numpy()]
            assert len(expected)
            np.testing.assert_array_equal(
                mine.X[(mine.obs["perturbation"] == name).to_numpy()], expected
            )


def test_a_store_with_other_genes_than_the_bundle_is_refused(home, tmp_path):
    train(make_job(home, tmp_path, "ptrag", OPTIONS["ptrag"]))
    store, split = CellStore(home / "cells.h5ad"), read_split(home / "split.tsv")
    predictor = load_bundle(tmp_path / "bundle")
    predictor.genes = predictor.genes[::-1]
    files = PredictionFiles.beside(tmp_path / "predictions.h5ad")
    with pytest.raises(PtragError, match="other genes than the bundle's"):
        predict_with_bundle(predictor, store, split, 16, files)
