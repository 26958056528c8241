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
from ptrag.prediction.closed_form import ClosedForm, predict_closed_forms
from ptrag.prediction.files import PredictionFiles
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
        ClosedForm(
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


def test_a_profile_is_the_mean_of_the_given_controls_and_the_delta(screen, predicted, estimates):
    _, store, split, _ = screen
    for form in predicted:
        data = anndata.read_h5ad(form.files.profiles)
        pairs = list(zip(data.obs["cell_line"], data.obs["perturbation"], strict=True))
        assert pairs == sorted(split.pairs("val") + split.pairs("test"))
        for (line, name), profile in zip(pairs, data.X, strict=True):
            given = np.asarray(store.controls(line, GIVEN), np.float64).mean(axis=0)
            delta = estimates[form.arm](line, name).delta
            np.testing.assert_allclose(profile, np.maximum(given + delta, 0), atol=1e-12)


def test_cells_are_drawn_given_controls_moved_as_all_of_them_are(screen, predicted, estimates):
    """The mover is found by bisection on all given controls of the line."""
    _, store, split, _ = screen
    for form in predicted:
        data = anndata.read_h5ad(form.files.cells)
        for line, name in split.pairs("test")[:3]:
            rows = ((data.obs["cell_line"] == line) & (data.obs["perturbation"] == name)).to_numpy()
            start = _controls(store, data.obs["control_cell"][rows])
            given = np.asarray(store.controls(line, GIVEN), np.float64)
            delta = estimates[form.arm](line, name).delta
            if not delta.any():
                np.testing.assert_array_equal(data.X[rows], start)
                continue
            for gene in range(0, store.n_genes, 7):
                goal = max(given[:, gene].mean() + delta[gene], 0)
                d = _root(given[:, gene], goal)
                expected = np.maximum(start[:, gene] + d, 0)
                np.testing.assert_allclose(data.X[rows][:, gene], expected, atol=1e-5)


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
    form = ClosedForm("oracle", {}, None, None, PredictionFiles.beside(tmp_path / "p.h5ad"))
    with pytest.raises(PtragError, match="only a simulated data set has a known truth"):
        predict_closed_forms(store, split, [form], 8)


def _root(values, goal):
    low, high = -20.0, 20.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if np.maximum(values + middle, 0).mean() < goal else (low, middle)
        )
    return high


def _controls(store, names):
    row = {name: i for i, name in enumerate(store.obs.index.astype(str))}
    return np.asarray(store.X[[row[str(name)] for name in names]], np.float64)
