"""From a source to the store: values, genes and facts, against scanpy."""

import hashlib
import json
import shutil
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy
import scipy.sparse as sp
from counts_screen import ALL, SPEC, screen

from ptrag.base.errors import PtragError
from ptrag.base.names import CONTROL
from ptrag.cells import matrix, preprocess
from ptrag.cells.controls import GIVEN, deal_controls
from ptrag.cells.preprocess import build_cells
from ptrag.cells.store import CellStore

DATA = Path(__file__).parents[3] / "shared" / "data"


def built(tmp_path, adata, settings=ALL, name="cells", **changes):
    source, out = tmp_path / "source.h5ad", tmp_path / f"{name}.h5ad"
    adata.write_h5ad(source)
    build_cells(source, SPEC | changes, settings, out)
    return CellStore(out)


def by_cell(store):
    return pd.DataFrame(store.X, index=store.obs.index, columns=store.genes)


def normalised(adata):
    """As scanpy does it, on a copy."""
    adata = adata.copy()
    scanpy.pp.normalize_total(adata, target_sum=1e4)
    scanpy.pp.log1p(adata)
    return adata


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few cells, so that small files have many."""
    monkeypatch.setattr(matrix, "BLOCK_VALUES", 1000)


def in_x(adata, X):
    adata.X = X


def in_layer(adata, X):
    adata.layers["counts"] = X
    adata.X = np.full(adata.shape, -1.0)


def in_obsm(adata, X):
    adata.obsm["counts"] = X
    adata.X = np.full(adata.shape, -1.0)


STORED = {
    "dense": (in_x, np.asarray, None),
    "dense integers": (in_x, lambda X: X.astype(np.int64), None),
    "csr": (in_x, sp.csr_matrix, None),
    "csc": (in_x, sp.csc_matrix, None),
    "csr in float64": (in_x, lambda X: sp.csr_matrix(X.astype(np.float64)), None),
    "layer": (in_layer, sp.csr_matrix, "layers/counts"),
    "obsm": (in_obsm, np.asarray, "obsm/counts"),
    "sparse obsm": (in_obsm, sp.csc_matrix, "obsm/counts"),
    "table in obsm": (in_obsm, pd.DataFrame, "obsm/counts"),
}


@pytest.mark.parametrize("name", STORED)
@pytest.mark.usefixtures("small_blocks")
def test_counts_become_scanpys_log1p_however_they_are_stored(tmp_path, name):
    put, store_as, key = STORED[name]
    adata = screen()
    expected = normalised(adata).to_df()
    X = adata.to_df() if store_as is pd.DataFrame else store_as(adata.X)
    put(adata, X)
    store = built(tmp_path, adata, matrix=key)
    assert store.genes == list(adata.var_names)
    np.testing.assert_allclose(by_cell(store).loc[expected.index], expected, rtol=1e-6, atol=1e-6)
    labels = adata.obs.loc[store.obs.index]
    assert list(store.obs["perturbation"]) == list(labels["gene"].replace({"ctrl": CONTROL}))
    assert list(store.obs["cell_line"]) == list(labels["line"])


@pytest.mark.parametrize("store_as", [np.asarray, sp.csr_matrix, sp.csc_matrix])
@pytest.mark.usefixtures("small_blocks")
def test_log1p_stays_as_it_is(tmp_path, store_as):
    adata = normalised(screen())
    expected = adata.to_df()
    adata.X = store_as(adata.X)
    store = built(tmp_path, adata, scale="log1p")
    pd.testing.assert_frame_equal(by_cell(store).loc[expected.index], expected, check_names=False)


@pytest.mark.usefixtures("small_blocks")
def test_counts_are_normalised_over_all_genes_before_some_are_chosen(tmp_path):
    adata = screen()
    expected = normalised(adata).to_df().iloc[:, 10:20]
    adata.var["highly_variable"] = [10 <= i < 20 for i in range(adata.n_vars)]
    store = built(tmp_path, adata, {"genes": "given", "n_genes": 3, "yardstick": 0.5})
    assert store.genes == list(expected.columns)
    np.testing.assert_allclose(by_cell(store).loc[expected.index], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("store_as", [np.asarray, sp.csr_matrix, sp.csc_matrix])
@pytest.mark.usefixtures("small_blocks")
def test_genes_are_scanpys_on_the_controls(tmp_path, store_as):
    adata = screen(800)  # with fewer cells rounding decides between genes
    labels = adata.obs.rename(
        columns={"gene": "perturbation", "line": "cell_line", "lane": "batch"}
    )
    dealt = deal_controls(labels.replace({"perturbation": {"ctrl": CONTROL}}), 0.5)
    controls = normalised(adata)[dealt == GIVEN].copy()
    controls.obs["line"] = controls.obs["line"].astype("category")
    table = scanpy.pp.highly_variable_genes(
        controls, n_top_genes=15, batch_key="line", inplace=False
    )
    expected = list(adata.var_names[table["highly_variable"].to_numpy()])
    adata.X = store_as(adata.X)
    store = built(tmp_path, adata, {"genes": "controls", "n_genes": 15, "yardstick": 0.5})
    assert store.genes == expected


@pytest.mark.usefixtures("small_blocks")
def test_perturbed_cells_choose_no_genes(tmp_path):
    settings = {"genes": "controls", "n_genes": 15, "yardstick": 0.5}
    adata = screen()
    before = built(tmp_path, adata, settings).genes
    treated = (adata.obs["gene"] != "ctrl").to_numpy()
    adata.X[treated] = np.random.default_rng(1).poisson(50, (treated.sum(), adata.n_vars))
    assert built(tmp_path, adata, settings).genes == before


def test_controls_are_shared_among_lines_and_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(preprocess, "CONTROLS_LOOKED_AT", 60)
    seen = []
    choose = scanpy.pp.highly_variable_genes

    def watched(controls, **kwargs):
        seen.append(controls.obs["cell_line"].value_counts().to_dict())
        return choose(controls, **kwargs)

    monkeypatch.setattr(preprocess.scanpy.pp, "highly_variable_genes", watched)
    adata = screen()
    built(tmp_path, adata, {"genes": "controls", "n_genes": 15, "yardstick": 0.5})
    first = np.flatnonzero(adata.obs["gene"] == "ctrl")[0]
    adata.obs["line"] = adata.obs["line"].astype(str)
    adata.obs.iloc[first, adata.obs.columns.get_loc("line")] = "hepg2"  # its only control
    built(tmp_path, adata, {"genes": "controls", "n_genes": 15, "yardstick": 0.5})
    assert seen == [{"k562": 30, "rpe1": 30}] * 2


@pytest.mark.usefixtures("small_blocks")
def test_same_source_same_bytes(tmp_path):
    settings = {"genes": "controls", "n_genes": 15, "yardstick": 0.5}
    a, b = (built(tmp_path, screen(), settings, name=name).path.read_bytes() for name in "ab")
    assert a == b


def test_it_says_what_it_was_made_of(tmp_path):
    store = built(tmp_path, screen(), simulated=True)
    assert store.simulated
    digest = hashlib.sha256((tmp_path / "source.h5ad").read_bytes()).hexdigest()
    assert store.source_sha256 == digest
    config = json.loads(anndata.read_h5ad(store.path).uns["ptrag"]["config"])
    assert config["cells"] == ALL
    assert config["source"]["control"] == "ctrl"
    adata = screen()
    assert not built(tmp_path, adata).simulated
    adata.uns["simulated"] = True
    assert built(tmp_path, adata).simulated, "a source that says so is believed"


def test_cells_without_counts_stay_zero_and_are_counted(tmp_path, caplog):
    adata = screen()
    adata.X[[3, 5]] = 0
    store = built(tmp_path, adata)
    assert (by_cell(store).loc[["cell3", "cell5"]] == 0).all(axis=None)
    assert "2 cells have no counts at all" in caplog.text


def test_the_papers_layout(tmp_path):
    """Normalised cells, 2,000 columns in obsm, lanes as numbers, controls non-targeting."""
    rng = np.random.default_rng(0)
    n, n_genes = 90, 2300
    hvg = np.zeros(n_genes, bool)
    hvg[[0, *(rng.permutation(n_genes - 1)[:1999] + 1)]] = True
    X = np.log1p(rng.gamma(0.3, 2.0, (n, n_genes))).astype(np.float32)
    obs = pd.DataFrame(
        {
            "gene": pd.Categorical(["non-targeting", "ACLY", "AARS1"] * 30),
            "cell_line": pd.Categorical(["hepg2"] * 45 + ["jurkat"] * 45),
            "gem_group": np.repeat([1, 2, 10], 30),
        },
        index=[f"AAAC-{i}" for i in range(n)],
    )
    genes = ["ACLY", *(f"NOVEL{i}" for i in range(n_genes - 1))]
    var = pd.DataFrame({"highly_variable": hvg}, index=genes)
    adata = anndata.AnnData(sp.csr_matrix(X), obs=obs, var=var, obsm={"X_hvg": X[:, hvg]})
    store = built(
        tmp_path,
        adata,
        {"genes": "given", "n_genes": 2000, "yardstick": 0.5},
        columns={"perturbation": "gene", "cell_line": "cell_line", "batch": "gem_group"},
        control="non-targeting",
        scale="log1p",
        matrix="obsm/X_hvg",
    )
    assert store.genes == list(var.index[hvg])
    assert store.lines == ["hepg2", "jurkat"]
    assert store.perturbations == ["AARS1", "ACLY"]
    assert store.batches == ["1", "10", "2"]
    mine = ((obs["gene"] == "ACLY") & (obs["cell_line"] == "jurkat")).to_numpy()
    np.testing.assert_array_equal(store.cells("jurkat", "ACLY"), X[mine][:, hvg])


@pytest.mark.parametrize(
    ("name", "columns", "changes", "facts"),
    [
        ("norman_mcfaline", ("perturbation", "cell_type"),
         {"control": "control", "scale": "log1p"}, (5961, 500, 4, 33, 64)),
        ("papalexi", ("perturbation", "cell_line"),
         {"control": "non-targeting"}, (16192, 299, 1, 25, 26)),
        ("datlinger", ("perturbation", "perturbation_2"),
         {"control": "control", "perturbation_pattern": r"^([^_]+)_\d+$"},
         (7500, 2000, 2, 20, 42)),
    ],
)  # fmt: skip
def test_real_screens(tmp_path, name, columns, changes, facts):
    source = DATA / f"{name}.h5ad"
    if not source.exists():
        pytest.skip(f"{source.name} is not there")
    spec = (
        SPEC | changes | {"columns": dict(zip(("perturbation", "cell_line"), columns, strict=True))}
    )
    build_cells(
        source, spec, {"genes": "given", "n_genes": 2000, "yardstick": 0.5}, tmp_path / "cells.h5ad"
    )
    store = CellStore(tmp_path / "cells.h5ad")
    found = (store.n_cells, store.n_genes, len(store.lines), len(store.perturbations))
    assert (*found, len(store.pairs)) == facts
    adata = anndata.read_h5ad(source)
    expected = (adata if spec["scale"] == "log1p" else normalised(adata)).to_df()
    expected.index, cells = np.arange(len(expected)), store.obs.index
    assert set(cells) == set(adata.obs_names)
    if adata.obs_names.is_unique:
        expected = expected.loc[adata.obs_names.get_indexer(cells)]
        np.testing.assert_allclose(store.X, expected, rtol=1e-5, atol=1e-6)


def test_nothing_is_left_when_the_disk_is_full(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        "ptrag.cells.store_writer.shutil.disk_usage", lambda _: usage._replace(free=1000)
    )
    (tmp_path / "results").mkdir()
    screen().write_h5ad(tmp_path / "source.h5ad")
    with pytest.raises(PtragError, match=r"cannot write .*: needs 0.0 GB, 0.0 GB are free"):
        build_cells(tmp_path / "source.h5ad", SPEC, ALL, tmp_path / "results" / "cells.h5ad")
    assert list((tmp_path / "results").iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    screen().write_h5ad(tmp_path / "source.h5ad")
    with pytest.raises(PtragError, match=r"cannot write /proc/ptrag/cells.h5ad"):
        build_cells(tmp_path / "source.h5ad", SPEC, ALL, "/proc/ptrag/cells.h5ad")
