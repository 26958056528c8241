"""The files of a run: profiles, cells and evidence of every pair."""

import anndata
import numpy as np
import pandas as pd
import pytest
from stores import write_store

from ptrag.base.errors import PtragError
from ptrag.base.files import read_table
from ptrag.base.names import Pair
from ptrag.cells.controls import GIVEN
from ptrag.cells.store import CellStore
from ptrag.prediction.files import PredictionFiles, written_predictions
from ptrag.prediction.lines import NEVER
from ptrag.prediction.prediction import (
    EVIDENCE,
    GivenControls,
    Prediction,
    evidence_table,
    predicted_cells,
)

GENES = ["a", "b", "c"]
PAIRS = [Pair("one", "p"), Pair("two", "q")]
UNS = {"arm": "ptrag", "seed": 3, "checkpoint": "ab", "scale": "log1p", "simulated": True}


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    names = ["control"] * 20 + ["p"] * 6 + ["q"] * 3
    obs = pd.DataFrame(
        {"cell_line": ["one", "two"] * len(names), "perturbation": np.repeat(names, 2)},
        index=[f"cell{i}" for i in range(2 * len(names))],
    )
    X = rng.random((len(obs), 3)).astype(np.float32)
    write_store(tmp_path / "cells.h5ad", X, obs, GENES, simulated=True)
    return CellStore(tmp_path / "cells.h5ad")


def controls_of(store):
    return {line: GivenControls.of_store(store, line) for line in store.lines}


def plus_one(controls, perturbation, n_cells, rows=(("q", 0.5, 1.0, 0.25),)):
    drawn = controls.drawn(perturbation, n_cells)
    cells = controls.cells[drawn] + 1
    return Prediction(controls.mean + 1, np.ones(3), cells, drawn, evidence_table(list(rows)))


def write(store, folder, n_cells=8, pairs=PAIRS):
    files, given = PredictionFiles.beside(folder / "predictions.h5ad"), controls_of(store)
    with written_predictions(files, pairs, given, n_cells, store.genes, UNS) as take:
        for pair in pairs:
            assert not files.cells.exists()
            take(plus_one(given[pair.cell_line], pair.perturbation, n_cells), NEVER, (None, None))
    return files


def test_the_cells_are_an_ordinary_anndata_with_each_row_in_its_place(store, tmp_path):
    data = anndata.read_h5ad(write(store, tmp_path).cells)
    assert list(data.var_names) == GENES
    assert list(data.obs["perturbation"]) == ["p"] * 8 + ["q"] * 8
    assert list(data.obs["cell_line"]) == ["one"] * 8 + ["two"] * 8
    start = store.obs.index.get_indexer(data.obs["control_cell"])
    np.testing.assert_array_equal(data.X, store.X[start] + 1)
    assert set(store.obs["perturbation"].iloc[start]) == {"control"}
    assert set(store.obs["control_part"].iloc[start]) == {GIVEN}
    assert {key: data.uns[key] for key in UNS} == UNS


def test_a_profile_is_kept_in_float64(store, tmp_path):
    data = anndata.read_h5ad(write(store, tmp_path).profiles)
    np.testing.assert_array_equal(data.layers["delta"], np.ones((2, 3)))
    assert data.X.dtype == np.float64
    assert list(zip(data.obs["cell_line"], data.obs["perturbation"], strict=True)) == PAIRS
    expected = [store.control_mean(line, GIVEN) + 1 for line, _ in PAIRS]
    np.testing.assert_array_equal(data.X, expected)
    assert data.uns["arm"] == "ptrag"


def test_evidence_names_its_pair(store, tmp_path):
    table = read_table(write(store, tmp_path).evidence)
    assert list(table.columns) == EVIDENCE
    assert list(zip(table["cell_line"], table["perturbation"], strict=True)) == PAIRS
    assert list(table["effect"]) == [0.25, 0.25]


def test_a_note_stands_in_a_row_without_a_candidate():
    table = evidence_table([], "line_mean")
    assert list(table["note"]) == ["line_mean"]
    assert table["candidate"].isna().all()
    assert evidence_table([]).empty


def test_a_prediction_that_stops_half_way_leaves_no_file(store, tmp_path):
    files, given = PredictionFiles.beside(tmp_path / "predictions.h5ad"), controls_of(store)
    with (
        pytest.raises(ValueError, match="1 of 2 pairs"),
        written_predictions(files, PAIRS, given, 8, store.genes, UNS) as take,
    ):
        take(plus_one(given["one"], "p", 8), NEVER, (None, None))
    assert not [path for path in files if path.exists()]
    assert list(tmp_path.glob(".*")) == []


def test_nothing_to_predict_is_an_error(store, tmp_path):
    with pytest.raises(PtragError, match="no val or test pair"):
        write(store, tmp_path, pairs=[])


def test_drawn_controls_depend_on_the_pair_alone_and_none_comes_twice_before_all_have(store):
    given = controls_of(store)["one"]
    first = given.drawn("p", 8)
    np.testing.assert_array_equal(first, given.drawn("p", 8))
    assert len(set(first)) == 8
    assert list(first) != list(given.drawn("q", 8))
    counts = np.bincount(given.drawn("p", 25), minlength=len(given.cells))
    assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(given.drawn("p", None), np.arange(len(given.cells)))


def test_predicted_cells_fill_whole_sets():
    assert [predicted_cells(n, 32) for n in (1, 32, 33)] == [32, 32, 64]
