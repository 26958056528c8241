"""Every closed-form arm from cells to predictions.h5ad and evidence.tsv, on a simulated screen."""

import anndata
import numpy as np
import pytest
from response_cases import draw_embedding

from ptrag.arms.registry import load_arm
from ptrag.base.errors import PtragError
from ptrag.base.files import read_table
from ptrag.cells.preprocess import build_cells
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.genes.embeddings import Embedding, read_embedding, write_embedding
from ptrag.prediction.closed_form import ClosedForm, predict_closed_forms
from ptrag.prediction.files import EVIDENCE
from ptrag.retrieval.index import build_index, read_neighbours
from ptrag.simulate.screen import simulate_screen
from ptrag.splits.protocols import Split, draw_split

KNOBS = {
    "lines": ["k562", "hepg2"], "n_perturbations": 16, "n_genes": 40, "cells_per_pair": 12,
    "controls_per_line": 40, "batches": 1, "text_signal": 0.8, "context_signal": 0.5,
    "systematic_shift": 0.5, "gene_text": "resources/gene_text.tsv.gz", "seed": 3,
}  # fmt: skip
OPTIONS = {"topk_rag": 3}
ARMS = {
    "control": False, "line_mean": False, "perturbation_mean": False, "additive": False,
    "ridge": True, "knn": True, "response_expert": True, "oracle": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    """A store, a split, and an embedding in which the last perturbation has no vector."""
    folder = tmp_path_factory.mktemp("screen")
    simulate_screen(KNOBS, folder / "source.h5ad", folder / "truth.h5ad")
    spec = {
        "columns": {"perturbation": "perturbation", "cell_line": "cell_line"},
        "control": "control", "scale": "counts", "simulated": True,
    }  # fmt: skip
    build_cells(
        folder / "source.h5ad", spec, {"genes": "all", "yardstick": 0.5}, folder / "cells.h5ad"
    )
    store = CellStore(folder / "cells.h5ad")
    names = [name for name in store.perturbations if name != "control"]
    drawn = draw_embedding(len(names) - 1)
    coverage = drawn.coverage.assign(perturbation=names[:-1])
    embedding = Embedding(names[:-1], drawn.vectors, coverage)
    spec = {"protocol": "unseen_perturbation", "fractions": {"val": 0.1, "test": 0.3}, "seed": 0}
    table = draw_split(store, spec, {"min_cells": 2, "min_controls": 2}, "split")
    held = table["perturbation"] == names[-1]
    table.loc[held, "role"] = "test"
    split = Split(table, spec["protocol"], None)
    write_embedding(embedding, folder / "text.h5ad")
    build_index(embedding, split, 3, folder / "index")
    return folder, store, split, names[-1]


def test_predicted_means_are_those_of_the_estimates(screen, tmp_path):
    folder, store, split, nameless = screen
    forms = [
        ClosedForm(
            arm, OPTIONS, folder / "text.h5ad" if reads else None,
            folder / "index" if reads else None,
            tmp_path / f"{arm}.h5ad", tmp_path / f"{arm}.tsv",
        )
        for arm, reads in ARMS.items()
    ]  # fmt: skip
    predict_closed_forms(store, split, forms, 8, 8, folder / "truth.h5ad")
    responses = Responses.measured(store, split)
    for form in forms:
        data = anndata.read_h5ad(form.predictions)
        embedding = form.embedding and read_embedding(form.embedding)
        predict = load_arm(form.arm).fit(
            responses, embedding, form.index and read_neighbours(form.index),
            OPTIONS | {"truth": folder / "truth.h5ad"},
        )  # fmt: skip
        pairs = sorted(split.pairs("val") + split.pairs("test"))
        assert len(data) == 8 * len(pairs)
        for line, name in pairs[:6]:
            rows = ((data.obs["cell_line"] == line) & (data.obs["perturbation"] == name)).to_numpy()
            cells = data.X[rows]
            delta = predict(line, name).delta
            if delta.any():  # added to the mean of all controls, not to that of the eight drawn
                expected = np.maximum(store.mean(line, "control") + delta, 0)
                np.testing.assert_allclose(cells.mean(axis=0), expected, atol=2e-5)
            else:
                controls = _controls(store, data.obs["control_cell"][rows])
                np.testing.assert_array_equal(cells, controls)
            assert (cells >= 0).all()
        evidence = read_table(form.evidence)
        assert list(evidence.columns) == EVIDENCE
        if form.arm in ("knn", "response_expert", "ridge"):
            lost = evidence[evidence["perturbation"] == nameless]
            assert set(lost["cell_line"]) == set(store.lines)
            assert lost["note"].str.contains("line_mean").all()


def test_the_oracle_is_refused_where_there_is_no_truth(screen, tmp_path):
    _, store, split, _ = screen
    form = ClosedForm("oracle", {}, None, None, tmp_path / "p.h5ad", tmp_path / "e.tsv")
    with pytest.raises(PtragError, match="only a simulated data set has a known truth"):
        predict_closed_forms(store, split, [form], 8, 8)


def _controls(store, names):
    row = {name: i for i, name in enumerate(store.obs.index.astype(str))}
    return np.asarray(store.X[[row[str(name)] for name in names]], np.float64)
