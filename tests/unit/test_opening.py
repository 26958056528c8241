"""Odd files at the opener: each gives the values of the plain screen."""

from itertools import pairwise

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata.io import write_elem
from border_screens import (
    ALL,
    GENES,
    SPEC,
    edited,
    log1p,
    relabelled,
    screen,
    stored,
    unlabelled,
    with_ids,
    write_anndata06,
    write_h5mu,
    write_tenx,
)

from ptrag.base.errors import PtragError
from ptrag.cells.log1p_file import open_log1p
from ptrag.cells.opening import open_cells
from ptrag.cells.preprocess import build_cells
from ptrag.cells.store import CellStore
from ptrag.genes.names import Names
from ptrag.genes.symbols import GENE_TEXT, Symbols

NAMES = Names(Symbols.read(GENE_TEXT))


def expression(store):
    return pd.DataFrame(store.X, index=store.obs.index, columns=store.genes).sort_index()


def labels(store):
    return store.obs[["cell_line", "perturbation", "batch"]].astype(str).sort_index()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    screen().write_h5ad(folder / "plain.h5ad")
    build_cells(folder / "plain.h5ad", SPEC, ALL, folder / "cells.h5ad")
    return CellStore(folder / "cells.h5ad")


def set_x(convert):
    def change(adata):
        adata.X = convert(adata.X)

    return change


def elsewhere(put):
    def change(adata):
        put(adata, adata.X)
        adata.X = sp.csr_matrix(np.full(adata.shape, 3.0, np.float32))

    return change


def in_raw(adata):
    adata.raw = adata.copy()
    adata.X = sp.csr_matrix(np.full(adata.shape, 3.0, np.float32))
    return adata[:, :5].copy()


def spare_index(file):
    obs = file["obs"]
    obs.move(obs.attrs["_index"], "rownames")
    obs.attrs["_index"] = "rownames"
    write_elem(obs, "_index", np.array(list("x" * len(obs["rownames"])), dtype=object))
    obs.attrs["column-order"] = np.array([*obs.attrs["column-order"], "_index"], dtype=object)


def index_named_like_a_column(file):
    obs = file["obs"]
    obs.move(obs.attrs["_index"], "lane_")
    obs.attrs["_index"] = "lane_"
    write_elem(obs, "line_", np.zeros(len(obs["lane_"])))


def column_of_the_future(file):
    write_elem(file["obs"], "odd", np.zeros(len(file["obs/lane/codes"])))
    file["obs/odd"].attrs["encoding-type"] = "quantum-array"
    file["obs"].attrs["column-order"] = [*file["obs"].attrs["column-order"], "odd"]


def fixed_strings(file):
    obs = file["obs"]
    names = np.array([name.decode() for name in obs[obs.attrs["_index"]][()]], dtype="S")
    attributes = dict(obs[obs.attrs["_index"]].attrs)
    del obs[obs.attrs["_index"]]
    obs[obs.attrs["_index"]] = names
    obs[obs.attrs["_index"]].attrs.update(attributes)


def anndata07_categories(file):
    obs = file["obs"]
    obs.attrs["encoding-version"] = "0.1.0"
    shelf = obs.create_group("__categories")
    for name in ("gene", "line", "lane"):
        codes = obs[f"{name}/codes"][()]
        shelf[name] = obs[f"{name}/categories"][()]
        del obs[name]
        obs[name] = codes
        obs[name].attrs["categories"] = shelf[name].ref


def big_endian(file):
    data = file["X/data"][()]
    del file["X/data"]
    file["X/data"] = data.astype(">f4")


def unsorted_and_split(file):
    """Every value twice half as large, each row's in reverse order: CSR allows it."""
    X = file["X"]
    data, indices, indptr = (X[key][()] for key in ("data", "indices", "indptr"))
    order = np.concatenate([np.arange(b - 1, a - 1, -1).repeat(2) for a, b in pairwise(indptr)])
    for key in ("data", "indices", "indptr"):
        del X[key]
    X["data"], X["indices"], X["indptr"] = data[order] / 2, indices[order], indptr * 2


def wide_indices(file):
    for key in ("indices", "indptr"):
        values = file[f"X/{key}"][()].astype(np.int64)
        del file[f"X/{key}"]
        file[f"X/{key}"] = values


def more_in_it(file):
    file.create_group("notes")["of"] = "others"
    write_elem(file, "uns", {"nested": {"a": np.arange(3)}, "log1p": {}})


def h5mu(modality="rna", more=False, obs_at_top=True, labels_at_top_only=False):
    def write(path):
        adata = screen()
        whole = adata.obs.copy()
        if labels_at_top_only:
            adata.obs = adata.obs[[]]
            whole = whole.iloc[::-1]
        parts = {modality: adata}
        if more:
            parts["prot"] = screen(1)[:, :4].copy()
        write_h5mu(path, parts, whole if obs_at_top else None)

    return write


def zarr(version):
    def write(path):
        import zarr

        with zarr.config.set({"default_zarr_format": version}):
            root = zarr.open_group(path, mode="w", zarr_format=version)
            write_elem(root, "/", screen())

    return write


def link(path):
    real = path.with_name("elsewhere.h5ad")
    screen().write_h5ad(real)
    path.symlink_to(real)


def link_to_zarr(path):
    zarr(2)(path.with_name("folder.zarr"))
    path.symlink_to(path.with_name("folder.zarr") / ".zgroup")


def compressed(name):
    def write(path):
        hdf5plugin = pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed")
        screen().write_h5ad(path, compression=hdf5plugin.FILTERS[name])

    return write


def numbered(adata):
    adata.var["features"] = pd.Categorical(adata.var_names)
    adata.var_names = [str(i) for i in range(adata.n_vars)]


def labels_as(convert):
    def change(adata):
        for name in ("gene", "line", "lane"):
            adata.obs[name] = convert(adata.obs[name])

    return change


SAME = {
    "csr": stored(lambda adata: None),
    "csc": stored(set_x(sp.csc_matrix)),
    "dense": stored(set_x(lambda X: X.toarray())),
    "dense, gzip": stored(set_x(lambda X: X.toarray()), compression="gzip"),
    "csr, lzf": stored(lambda adata: None, compression="lzf"),
    "float64": stored(set_x(lambda X: X.astype(np.float64))),
    "int32": stored(set_x(lambda X: X.astype(np.int32))),
    "uint16, dense": stored(set_x(lambda X: X.toarray().astype(np.uint16))),
    "float16, dense": stored(set_x(lambda X: X.toarray().astype(np.float16))),
    "big endian": edited(big_endian),
    "unsorted, entries split": edited(unsorted_and_split),
    "wide indices": edited(wide_indices),
    "anndata 0.6, sparse": lambda path: write_anndata06(path, screen()),
    "anndata 0.6, dense": lambda path: write_anndata06(path, screen(), sparse=False),
    "anndata 0.7 categories": edited(anndata07_categories),
    "zarr 2": zarr(2),
    "zarr 3": zarr(3),
    "link": link,
    "link to a zarr": link_to_zarr,
    "h5mu": h5mu(),
    "h5mu, RNA in capitals": h5mu("RNA"),
    "h5mu, two modalities": h5mu(more=True),
    "h5mu, one unnamed modality": h5mu("cells"),
    "h5mu, labels at the top alone": h5mu(labels_at_top_only=True),
    "h5mu, no table at the top": h5mu(obs_at_top=False),
    "zstd": compressed("zstd"),
    "lz4": compressed("lz4"),
    "spare _index": edited(spare_index),
    "index of another name": edited(index_named_like_a_column),
    "a column nobody can read": edited(column_of_the_future),
    "fixed strings": edited(fixed_strings),
    "other things in it": edited(more_in_it),
    "labels as strings": stored(labels_as(lambda column: column.astype(str))),
    "labels as nullable strings": stored(labels_as(lambda column: column.astype("string"))),
    "ids, symbols in a column": stored(with_ids),
    "ids, symbols in another column": stored(lambda adata: with_ids(adata, "Symbol")),
    "numbers, symbols in a column": stored(numbered),
    "padded labels": lambda path: relabelled(
        lambda label, i: f" {label}\u00a0" if i % 3 else label
    ).write_h5ad(path),
    "padded lines": lambda path: relabelled(
        lambda label, i: f"{label} " if i % 5 == 0 else label, "line"
    ).write_h5ad(path),
    "lines in another case": lambda path: relabelled(
        lambda label, i: label.upper() if i % 5 == 0 else label, "line"
    ).write_h5ad(path),
    "a mouse's case": lambda path: relabelled(
        lambda label, i: label.capitalize() if i % 2 and label != "control" else label
    ).write_h5ad(path),
    "aliases": lambda path: relabelled(
        lambda label, i: {"TP53": "p53", "MYC": "c-Myc", "GATA1": "NFE1"}.get(label, label)
        if i % 2
        else label
    ).write_h5ad(path),
    "controls inside doubles": lambda path: relabelled(
        lambda label, i: label
        if label == "control"
        else (f"{label}+control" if i % 2 else f"ctrl+{label}")
    ).write_h5ad(path),
    "control in another case": lambda path: relabelled(
        lambda label, i: "Control" if label == "control" and i % 2 else label
    ).write_h5ad(path),
}  # fmt: skip
KEYS = {
    "a layer": (elsewhere(lambda adata, X: adata.layers.update(counts=X)), "layers/counts"),
    "obsm": (elsewhere(lambda adata, X: adata.obsm.update(counts=X.toarray())), "obsm/counts"),
    "table in obsm": (
        elsewhere(
            lambda adata, X: adata.obsm.update(
                counts=pd.DataFrame(X.toarray(), index=adata.obs_names, columns=GENES)
            )
        ),
        "obsm/counts",
    ),
    "raw": (in_raw, "raw/X"),
}


def same(store, plain):
    pd.testing.assert_frame_equal(labels(store), labels(plain), check_names=False)
    pd.testing.assert_frame_equal(
        expression(store)[plain.genes], expression(plain), check_names=False
    )
    assert sorted(store.genes) == sorted(plain.genes)


@pytest.mark.parametrize("name", SAME)
def test_right_values_or_nothing(tmp_path, plain, name):
    SAME[name](tmp_path / "source.h5ad")
    build_cells(tmp_path / "source.h5ad", SPEC, ALL, tmp_path / "cells.h5ad")
    same(CellStore(tmp_path / "cells.h5ad"), plain)


@pytest.mark.parametrize("name", KEYS)
def test_a_matrix_that_is_not_x(tmp_path, plain, name):
    change, key = KEYS[name]
    stored(change)(tmp_path / "source.h5ad")
    build_cells(tmp_path / "source.h5ad", SPEC | {"matrix": key}, ALL, tmp_path / "cells.h5ad")
    same(CellStore(tmp_path / "cells.h5ad"), plain)


def test_there_are_more_than_forty_of_them():
    assert len(SAME) + len(KEYS) >= 40


def test_a_10x_file_is_control_cells_for_a_command(tmp_path):
    write_tenx(tmp_path / "tenx.h5", screen())
    with open_cells(tmp_path / "tenx.h5") as file:
        assert file.keys() == ["X"]
    with (
        pytest.raises(PtragError, match=r"tenx.h5: X holds counts \(whole numbers up to"),
        open_log1p(tmp_path / "tenx.h5", tmp_path, NAMES) as file,
    ):
        assert file.genes == GENES
        blocks = np.concatenate([block for _, block in file.blocks()])
    write_tenx(tmp_path / "logged.h5", with_csr(log1p(screen())))
    with open_log1p(tmp_path / "logged.h5", tmp_path, NAMES) as file:
        blocks = np.concatenate([block for _, block in file.blocks()])
    np.testing.assert_array_equal(blocks, log1p(screen()).X)


def with_csr(adata):
    adata.X = sp.csr_matrix(adata.X)
    return adata


def test_cells_without_a_label_may_be_left_out_and_are_counted(tmp_path, plain, caplog):
    unlabelled("NA")(tmp_path / "source.h5ad")
    spec = SPEC | {"unlabelled": "drop"}
    build_cells(tmp_path / "source.h5ad", spec, ALL, tmp_path / "cells.h5ad")
    store = CellStore(tmp_path / "cells.h5ad")
    assert "12 of 136 cells have no label and are left out" in caplog.text
    kept = labels(plain)[labels(plain)["perturbation"] != "JAK2"]
    pd.testing.assert_frame_equal(labels(store), kept, check_names=False)
    pd.testing.assert_frame_equal(expression(store), expression(plain).loc[kept.index])


def test_anndata_agrees_on_the_old_layouts(tmp_path):
    for name in ("anndata 0.6, sparse", "anndata 0.6, dense", "anndata 0.7 categories"):
        path = tmp_path / "old.h5ad"
        SAME[name](path)
        expected = anndata.read_h5ad(path)
        with open_cells(path) as file:
            for column in ("gene", "line", "lane"):
                assert list(file.obs[column].astype(str)) == list(expected.obs[column].astype(str))
            assert list(file.obs.index) == list(expected.obs_names)
        path.unlink()
