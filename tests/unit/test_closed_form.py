"""Every closed-form arm from cells to predictions.h5ad and evidence.tsv, on a simulated screen."""

import anndata
import numpy as np
import pytest
from response_cases import draw_embedding
from simulated_screen import simulated_store

from ptrag.arms.registry import load_arm
from ptrag.base.errors import PtragError
from ptrag.base.files import read_table
from ptrag.cells.controls import GIVEN
from ptrag.cells.responses import Responses
from ptrag.genes.embeddings import Embedding, read_embedding, write_embedding
from ptrag.prediction.files import PredictionFiles
from ptrag.prediction.fit_split import ClosedFormJob, predict_closed_forms
from ptrag.prediction.prediction import EVIDENCE
from ptrag.retrieval.index import build_index, read_neighbours
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
    store = simulated_store(folder, KNOBS)
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


def forms_of(folder, out):
    return [
        ClosedFormJob(
            arm, OPTIONS, folder / "text.h5ad" if reads else None,
            folder / "index" if reads else None,
            PredictionFiles.beside(out / arm / "predictions.h5ad"),
        )
        for arm, reads in ARMS.items()
    ]  # fmt: skip


@pytest.fixture(scope="module")
def predicted(screen, tmp_path_factory):
    folder, store, split, _ = screen
    forms = forms_of(folder, tmp_path_factory.mktemp("predicted"))
    predict_closed_forms(store, split, forms, 8, folder / "truth.h5ad")
    return forms


@pytest.fixture(scope="module")
def estimates(screen):
    """Each arm's estimate of a pair, asked for without the prediction room."""
    folder, store, split, _ = screen
    responses = Responses.measured(store, split)
    return {
        arm: load_arm(arm).fit(
            responses, read_embedding(folder / "text.h5ad") if reads else None,
            read_neighbours(folder / "index") if reads else None,
            OPTIONS | {"truth": folder / "truth.h5ad"},
        )
        for arm, reads in ARMS.items()
    }  # fmt: skip


def test_a_profile_is_the_control_profile_and_the_delta(screen, predicted, estimates):
    _, store, split, _ = screen
    for form in predicted:
        data = anndata.read_h5ad(form.files.profiles)
        pairs = list(zip(data.obs["cell_line"], data.obs["perturbation"], strict=True))
        assert pairs == sorted(split.pairs("val") + split.pairs("test"))
        rows = zip(pairs, data.X, data.layers["delta"], strict=True)
        for (line, name), profile, delta in rows:
            estimate = estimates[form.arm](line, name)
            origin = _origin(store, line, estimate)
            expected = np.maximum(origin + estimate.delta, 0)
            np.testing.assert_allclose(profile, expected, atol=1e-12)
            np.testing.assert_allclose(delta, expected - origin, atol=1e-12)


def test_cells_are_drawn_given_controls_whose_counts_change(screen, predicted, estimates):
    """Which cells, and towards which mean; what the emitter does is tested in test_emission."""
    _, store, split, _ = screen
    for form in predicted:
        data = anndata.read_h5ad(form.files.cells)
        for line, name in split.pairs("test")[:3]:
            rows = ((data.obs["cell_line"] == line) & (data.obs["perturbation"] == name)).to_numpy()
            start = _controls(store, data.obs["control_cell"][rows])
            given = np.asarray(store.controls(line, GIVEN), np.float64).mean(axis=0)
            estimate = estimates[form.arm](line, name)
            change = _origin(store, line, estimate) + estimate.delta - given
            X = data.X[rows]
            np.testing.assert_array_equal(X[:, change == 0], start[:, change == 0])
            assert (X[:, change < 0] <= start[:, change < 0]).all()  # thinned, never gained
            assert (X[:, change > 0] >= start[:, change > 0]).all()


def _origin(store, line, estimate):
    """The control profile that a delta is added to, summed from its parts."""
    given = np.asarray(store.controls(line, GIVEN), np.float64).mean(axis=0)
    parts = estimate.origin
    return given if parts is None else given + parts.error + parts.shared


def test_what_an_arm_fell_back_on_stands_in_its_evidence(screen, predicted):
    _, store, _, nameless = screen
    for form in predicted:
        evidence = read_table(form.files.evidence)
        assert list(evidence.columns) == EVIDENCE
        if form.arm in ("knn", "response_expert", "ridge"):
            lost = evidence[evidence["perturbation"] == nameless]
            assert set(lost["cell_line"]) == set(store.lines)
            assert lost["note"].str.contains("line_mean|level of the line").all()


def test_the_oracle_is_refused_where_there_is_no_truth(screen, tmp_path):
    _, store, split, _ = screen
    form = ClosedFormJob("oracle", {}, None, None, PredictionFiles.beside(tmp_path / "p.h5ad"))
    with pytest.raises(PtragError, match="only a simulated data set has a known truth"):
        predict_closed_forms(store, split, [form], 8)


def _controls(store, names):
    row = {name: i for i, name in enumerate(store.obs.index.astype(str))}
    return np.asarray(store.X[[row[str(name)] for name in names]], np.float64)
