"""The workflow, ``ptrag predict`` and Python give the same bits."""

import anndata
import numpy as np
import pytest
from training_cases import make_home, make_job

import ptrag
from ptrag.base.errors import PtragError
from ptrag.base.files import read_table
from ptrag.cells.controls import GIVEN
from ptrag.cells.store import CellStore
from ptrag.cli import main
from ptrag.prediction.files import PredictionFiles
from ptrag.prediction.fit_split import ClosedFormJob, predict_closed_forms
from ptrag.prediction.loading import load_bundle
from ptrag.prediction.pairs import predict_with_network
from ptrag.splits.protocols import read_split
from ptrag.training.run import train

RETRIEVES = {"rag": True, "use_genept": True, "topk_rag": 4}
NEURAL = {
    "ptrag": RETRIEVES
    | {"published": True, "retrieve_than_predict": True, "differentiable_rag": True},
    "response_rag": RETRIEVES,
    "state": {"rag": False, "use_genept": False},
}
CLOSED = {
    "response_expert": RETRIEVES, "knn": RETRIEVES, "ridge": {"use_genept": True, "rag": False},
    "additive": {}, "additive_singles": {}, "perturbation_mean": {}, "line_mean": {}, "control": {},
}  # fmt: skip
LINE, N_CELLS = "a", 16


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("home"), n_cells=12, n_controls=60)


def by_workflow(home, folder, arm):
    """Fit or train an arm as the rules do; return its bundle and its files."""
    store, split = CellStore(home / "cells.h5ad"), read_split(home / "split.tsv")
    files = PredictionFiles.beside(folder / "workflow/predictions.h5ad")
    if arm in NEURAL:
        train(make_job(home, folder, arm, NEURAL[arm]))
        predict_with_network(load_bundle(folder / "bundle"), store, split, N_CELLS, files)
        return folder / "bundle", files
    options = CLOSED[arm]
    job = ClosedFormJob(
        arm, options, home / "text.h5ad" if options.get("use_genept") else None,
        home / "index" if options.get("rag") else None, files, folder / "bundle",
    )  # fmt: skip
    predict_closed_forms(store, split, [job], N_CELLS)
    return folder / "bundle", files


@pytest.mark.parametrize("arm", [*NEURAL, *CLOSED])
def test_workflow_command_and_python_give_the_same_bits(home, tmp_path, arm, capsys):
    store, split = CellStore(home / "cells.h5ad"), read_split(home / "split.tsv")
    bundle, workflow = by_workflow(home, tmp_path, arm)
    given = anndata.read_h5ad(store.path)[store.control_rows(LINE, GIVEN)]
    given.write_h5ad(tmp_path / "controls.h5ad")
    names = sorted({name for of, name in split.pairs("test") if of == LINE})
    out = PredictionFiles.into(tmp_path / "own")
    code = main([
        "predict", str(bundle), str(tmp_path / "controls.h5ad"), "--perturbations", *names,
        "--cell-line", LINE, "--cells", str(N_CELLS), "--out", str(out.profiles.parent),
        "--allow-fallback",
    ])  # fmt: skip
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert all(str(path) in printed.out for path in out)
    python = ptrag.load(bundle).predict(
        given.copy(), names, cell_line=LINE, cells=N_CELLS, allow_fallback=True
    )
    fell_back = set(python.summary["perturbation"][python.summary["level"] == "fallback"])
    assert bool(fell_back) == (
        arm in ("state", "additive", "additive_singles", "perturbation_mean")
    )
    for own, in_memory, scored in (
        (out.cells, python.cells, workflow.cells),
        (out.profiles, python.profiles, workflow.profiles),
    ):
        mine, theirs = anndata.read_h5ad(own), anndata.read_h5ad(scored)
        np.testing.assert_array_equal(mine.X, in_memory.X)
        assert set(mine.obs["cell_line"]) == {LINE}
        for name in set(names) - fell_back:
            chosen = (theirs.obs["cell_line"] == LINE) & (theirs.obs["perturbation"] == name)
            rows = (mine.obs["perturbation"] == name).to_numpy()
            np.testing.assert_array_equal(mine.X[rows], theirs.X[chosen.to_numpy()])
            assert chosen.any()
            for layer in theirs.layers:
                expected = theirs.layers[layer][chosen.to_numpy()]
                np.testing.assert_array_equal(mine.layers[layer][rows], expected)
    assert (python.summary == read_table(out.summary)).to_numpy().any()


def test_a_store_with_other_genes_than_the_bundle_is_refused(home, tmp_path):
    train(make_job(home, tmp_path, "ptrag", NEURAL["ptrag"]))
    store, split = CellStore(home / "cells.h5ad"), read_split(home / "split.tsv")
    bundle = load_bundle(tmp_path / "bundle")
    bundle.about["genes"] = bundle.genes[::-1]
    files = PredictionFiles.beside(tmp_path / "predictions.h5ad")
    with pytest.raises(PtragError, match="other genes than the bundle's"):
        predict_with_network(bundle, store, split, 16, files)
