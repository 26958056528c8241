import anndata
import numpy as np
import pandas as pd
import pytest

from ptrag.base.errors import PtragError
from ptrag.cells.store import CellStore, write_store
from ptrag.prediction.files import new_predictions, prediction_tasks

GENES = ["a", "b", "c"]


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    names = ["control"] * 10 + ["p"] * 6 + ["q"] * 3
    obs = pd.DataFrame(
        {"cell_line": ["one", "two"] * len(names), "perturbation": np.repeat(names, 2)},
        index=[f"cell{i}" for i in range(2 * len(names))],
    )
    X = rng.random((len(obs), 3)).astype(np.float32)
    write_store(tmp_path / "cells.h5ad", X, obs, GENES, simulated=True)
    return CellStore(tmp_path / "cells.h5ad")


def test_the_file_is_an_ordinary_anndata_with_each_row_in_its_place(store, tmp_path):
    tasks = prediction_tasks(store, [("one", "p"), ("two", "q")], 5, 4)
    assert [len(task.rows) for task in tasks] == [8, 8]
    path = tmp_path / "predictions.h5ad"
    with new_predictions(path, store, tasks, arm="ptrag", seed=3, checkpoint="ab") as write:
        for task in tasks:
            assert not path.exists()
            write(store.X[task.rows] + 1)
    data = anndata.read_h5ad(path)
    assert list(data.var_names) == GENES
    assert list(data.obs["perturbation"]) == ["p"] * 8 + ["q"] * 8
    assert list(data.obs["cell_line"]) == ["one"] * 8 + ["two"] * 8
    start = store.obs.index.get_indexer(data.obs["control_cell"])
    np.testing.assert_array_equal(data.X, store.X[start] + 1)
    assert set(store.obs["perturbation"].iloc[start]) == {"control"}
    assert data.uns["arm"] == "ptrag"
    assert data.uns["checkpoint"] == "ab"
    assert int(data.uns["seed"]) == 3
    assert bool(data.uns["simulated"])
    assert data.uns["scale"] == "log1p"


def test_a_prediction_that_stops_half_way_leaves_no_file(store, tmp_path):
    tasks = prediction_tasks(store, [("one", "p"), ("two", "q")], 4, 4)
    path = tmp_path / "predictions.h5ad"
    with (
        pytest.raises(ValueError, match="4 of 8 rows"),
        new_predictions(path, store, tasks, arm="a", seed=0) as write,
    ):
        write(store.X[tasks[0].rows])
    assert list(tmp_path.glob("*predictions*")) == []


def test_nothing_to_predict_is_an_error(store, tmp_path):
    with (
        pytest.raises(PtragError, match="no val or test pair"),
        new_predictions(tmp_path / "p.h5ad", store, [], arm="a", seed=0),
    ):
        pass
