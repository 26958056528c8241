import pickle

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from stores import write_store

from ptrag.base.errors import PtragError
from ptrag.base.names import CONTROL
from ptrag.cells.store import CellStore
from ptrag.cells.store_writer import SINGLE_BATCH, new_store

LINES = ["rpe1", "k562"]
PERTURBATIONS = ["TP53", CONTROL, "A+B", "MYC"]


def screen(n=200, genes=7, seed=0):
    """Cells in random order; the second gene tells the pair, so that rows can be recognised."""
    rng = np.random.default_rng(seed)
    line, perturbation = rng.integers(0, 2, n), rng.integers(0, 4, n)
    X = rng.random((n, genes), dtype=np.float32)
    X[:, 1] = 10 * line + perturbation
    obs = pd.DataFrame(
        {
            "cell_line": np.array(LINES)[line],
            "perturbation": np.array(PERTURBATIONS)[perturbation],
            "batch": [f"b{i % 3}" for i in range(n)],
            "depth": np.arange(n),
            "guide": pd.Categorical(["g1", "g2"] * (n // 2), categories=["g2", "g1", "g0"]),
        },
        index=[f"cell{i}" for i in range(n)],
    )
    return X, obs, [f"G{i}" for i in range(genes)]


@pytest.fixture
def store(tmp_path):
    X, obs, genes = screen()
    write_store(tmp_path / "cells.h5ad", X, obs, genes, simulated=True, source_sha256="ab")
    return CellStore(tmp_path / "cells.h5ad")


def test_a_pair_is_one_block_of_its_own_cells_in_source_order(store):
    X, obs, _ = screen()
    for line in LINES:
        for perturbation in set(PERTURBATIONS) - {CONTROL}:
            mine = ((obs["cell_line"] == line) & (obs["perturbation"] == perturbation)).to_numpy()
            np.testing.assert_array_equal(store.cells(line, perturbation), X[mine])
            np.testing.assert_allclose(
                store.mean(line, perturbation), X[mine].astype(np.float64).mean(axis=0)
            )


def test_what_it_says_of_itself(store):
    X, _, genes = screen()
    assert (store.n_cells, store.n_genes) == X.shape
    assert store.genes == genes
    assert store.lines == ["k562", "rpe1"]
    assert store.perturbations == ["A+B", "MYC", "TP53"]
    assert store.batches == ["b0", "b1", "b2"]
    assert store.simulated
    assert store.scale == "log1p"
    assert store.source_sha256 == "ab"
    assert isinstance(store.X, np.memmap)
    assert store.X.dtype == np.float32


def test_pairs_tile_the_cells(store):
    pairs = store.pairs
    assert pairs["start"].iloc[0] == 0
    assert pairs["stop"].iloc[-1] == store.n_cells
    assert (pairs["start"].iloc[1:].to_numpy() == pairs["stop"].iloc[:-1].to_numpy()).all()
    assert (pairs["n_cells"] == pairs["stop"] - pairs["start"]).all()
    labels = list(zip(pairs["cell_line"], pairs["perturbation"], strict=True))
    assert labels == sorted(labels)


def test_obs_goes_along_and_columns_stay(store):
    _, obs, _ = screen()
    assert list(store.obs.columns[:3]) == ["cell_line", "perturbation", "batch"]
    back = store.obs.loc[obs.index]
    for column in obs:
        assert (back[column].astype(str) == obs[column].astype(str)).all()
    assert list(store.obs["guide"].cat.categories) == ["g2", "g1", "g0"]
    batches = np.array(store.batches)[store.batch_codes]
    assert (batches == store.obs["batch"].astype(str)).all()


def test_anndata_opens_it(store):
    adata = anndata.read_h5ad(store.path)
    np.testing.assert_array_equal(adata.X, store.X)
    assert list(adata.var_names) == store.genes
    assert anndata.read_h5ad(store.path, backed="r").shape == adata.shape
    with h5py.File(store.path) as file:
        assert file["X"].chunks is None
        assert file["X"].compression is None


def test_same_input_same_bytes_however_the_rows_come(tmp_path):
    X, obs, genes = screen()
    write_store(tmp_path / "a" / "cells.h5ad", X, obs, genes)
    with new_store(tmp_path / "b" / "cells.h5ad", obs, genes) as writer:
        for start in (150, 0, 50, 100):
            writer.write(start, X[start : start + 50])
    a, b = ((tmp_path / x / "cells.h5ad").read_bytes() for x in "ab")
    assert a == b


def test_pickled_it_is_small_and_works(store):
    store.X, store.obs, store.pairs  # noqa: B018 - what is cached must not travel
    frozen = pickle.dumps(store)
    assert len(frozen) < 1000
    np.testing.assert_array_equal(pickle.loads(frozen).X, store.X)


def test_no_batch_is_one_batch(tmp_path):
    X, obs, genes = screen()
    write_store(tmp_path / "cells.h5ad", X, obs.drop(columns="batch"), genes)
    assert CellStore(tmp_path / "cells.h5ad").batches == [SINGLE_BATCH]


def test_many_genes_and_one_pair(tmp_path):
    X = np.random.default_rng(0).random((3, 5000), dtype=np.float32)
    obs = pd.DataFrame({"cell_line": "l", "perturbation": [CONTROL] * 3})
    write_store(tmp_path / "cells.h5ad", X, obs, [f"G{i}" for i in range(5000)])
    store = CellStore(tmp_path / "cells.h5ad")
    assert sorted(map(tuple, store.controls("l", "all"))) == sorted(map(tuple, X))
    assert store._offset % 4096 == 0
    assert store.perturbations == []


def test_absent_pairs_are_named(store):
    with pytest.raises(PtragError, match=r"no cell line 'K56'; did you mean 'k562'\?"):
        store.rows("K56", "TP53")
    with pytest.raises(PtragError, match=r"no cells of 'TP5' in 'k562'; did you mean 'TP53'\?"):
        store.rows("k562", "TP5")


def test_no_store(tmp_path, store):
    with pytest.raises(PtragError, match="no such file"):
        CellStore(tmp_path / "none.h5ad")
    (tmp_path / "text.h5ad").write_text("hello")
    with pytest.raises(PtragError, match="is no store of cells"):
        CellStore(tmp_path / "text.h5ad")
    anndata.AnnData(np.zeros((2, 2), np.float32)).write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(PtragError, match="is no store of cells"):
        CellStore(tmp_path / "other.h5ad")
    with h5py.File(store.path, "r+") as file:
        file["uns/ptrag/format"][()] = 99
    with pytest.raises(PtragError, match="made in format 99"):
        CellStore(store.path)


def test_nothing_is_left_when_writing_fails(tmp_path, monkeypatch):
    X, obs, genes = screen()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ptrag.cells.store_writer.os.pwrite", full)
    with pytest.raises(PtragError, match=r"cannot write .*cells.h5ad: no space left on device"):
        write_store(tmp_path / "cells.h5ad", X, obs, genes)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    X, obs, genes = screen()
    (tmp_path / "file").touch()
    for folder in ("/proc/ptrag", tmp_path / "file"):
        with pytest.raises(PtragError, match=r"cannot write .*; free some space or choose another"):
            write_store(f"{folder}/cells.h5ad", X, obs, genes)
