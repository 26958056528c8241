"""Sixty odd files at the opener: the values of the plain twin, or one line, never a traceback."""

import gzip
import lzma
import zipfile
from itertools import pairwise

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata.io import write_elem
from border_screens import (
    ALL,
    GENES,
    SPEC,
    log1p,
    relabelled,
    screen,
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


# --- files that hold the plain screen --------------------------------------------------------


def stored(change, **options):
    def write(path):
        adata = screen()
        changed = change(adata)
        (adata if changed is None else changed).write_h5ad(path, **options)

    return write


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


def edited(change, file_type=h5py.File):
    def write(path):
        screen().write_h5ad(path)
        with file_type(path, "r+") as file:
            change(file)

    return write


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


# --- files that are refused ------------------------------------------------------------------


def bytes_of(content):
    return lambda path: path.write_bytes(content)


def packed(opener):
    def write(path):
        screen().write_h5ad(path)
        content = path.read_bytes()
        with opener(path, "wb") as file:
            file.write(content)

    return write


def zipped(path):
    screen().write_h5ad(path.with_name("inner.h5ad"))
    with zipfile.ZipFile(path, "w") as file:
        file.write(path.with_name("inner.h5ad"))


def cut(path):
    screen().write_h5ad(path)
    path.write_bytes(path.read_bytes()[:-2000])


def hdf5(*names):
    def write(path):
        with h5py.File(path, "w") as file:
            for name in names:
                file[name] = np.array([b"x"])

    return write


def delete(*keys):
    def change(file):
        for key in keys:
            del file[key]

    return edited(change)


def replace(key, value):
    def change(file):
        del file[key]
        file[key] = value

    return edited(change)


def x_as(value, **attributes):
    def change(file):
        del file["X"]
        file["X"] = value
        file["X"].attrs.update(attributes)

    return edited(change)


def shorter_column(file):
    write_elem(file["obs"], "lane", np.zeros(3))


def broken_pointers(file):
    file["X/indptr"][3] = 10**6


def outside(file):
    file["X/indices"][5] = 999


def negative_index(file):
    file["X/indices"][5] = -1


def unknown_layout(file):
    file["X"].attrs["encoding-type"] = "csr_matrix_of_the_future"


def set_value(value):
    def change(adata):
        X = adata.X.toarray()
        X[41, 2] = value
        adata.X = X

    return stored(change)


def no_x(adata):
    adata.layers["counts"] = adata.X
    adata.X = None


def unlabelled(value):
    def write(path):
        adata = screen()
        adata.obs["gene"] = (
            adata.obs["gene"].astype(object).where(adata.obs["gene"] != "JAK2", value)
        )
        adata.write_h5ad(path)

    return write


def ids_alone(adata):
    adata.var_names = [f"ENSG{i:011d}" for i in range(adata.n_vars)]


def silent_line(adata):
    X = adata.X.toarray()
    X[((adata.obs["gene"] == "control") & (adata.obs["line"] == "rpe1")).to_numpy()] = 0
    adata.X = sp.csr_matrix(X)


def folder(path):
    path.mkdir()
    (path / "part.csv").write_text("a,b\n")


REFUSED = {
    "missing": (lambda path: None, "there is no such file"),
    "empty": (bytes_of(b""), "is empty"),
    "web page": (bytes_of(b"\n<!DOCTYPE html>"), "is a web page saved under this name"),
    "gzip": (packed(gzip.open), "is compressed by gzip; unpack it"),
    "xz": (packed(lzma.open), "is compressed by xz; unpack it"),
    "zip": (zipped, "is a zip archive; unpack it"),
    "pointer": (bytes_of(b"version https://git-lfs.github.com/spec/v1\n"), "pointer of Git LFS"),
    "matrix market": (bytes_of(b"%%MatrixMarket matrix\n"), "is a Matrix Market file"),
    "table": (bytes_of(b"gene,cell\n"), r"is no h5ad \(HDF5\) file"),
    "pickle": (bytes_of(b"\x80\x04\x95"), r"is no h5ad \(HDF5\) file"),
    "not unicode": (bytes_of(b"\xff\xfe\x00"), r"is no h5ad \(HDF5\) file"),
    "cut": (cut, "truncated or damaged"),
    "cut in the header": (bytes_of(b"\x89HDF\r\n\x1a\n"), "truncated or damaged"),
    "folder": (folder, "is a folder, but no zarr"),
    "loom": (hdf5("row_attrs/Gene", "col_attrs/CellID", "matrix"), "is a loom file; convert it"),
    "h5seurat": (hdf5("assays/RNA", "cell.names"), "is an h5Seurat file; convert it"),
    "10x without features": (hdf5("matrix/barcodes"), "is a 10x file without matrix/features"),
    "other HDF5": (hdf5("table"), "is HDF5 but no AnnData"),
    "h5mu without RNA": (
        lambda path: write_h5mu(path, {"prot": screen(), "atac": screen()}),
        "has the modalities atac, prot, and none is called rna",
    ),
    "no X": (stored(no_x), "there is no X; there are: layers/counts"),
    "no obs": (delete("obs"), "no AnnData"),
    "no var": (delete("var"), "no AnnData"),
    "index lost": (delete("obs/_index"), "obs has no column of names"),
    "obs is an array": (replace("obs", np.zeros(3)), "cannot be read"),
    "column cut": (edited(shorter_column), "obs column 'lane' has 3 values for 136 rows"),
    "data lost": (delete("X/data"), "cannot be read"),
    "shape lost": (edited(lambda file: file["X"].attrs.pop("shape")), "cannot be read"),
    "data cut": (replace("X/data", np.ones(7, np.float32)), "pointers do not fit"),
    "pointers broken": (edited(broken_pointers), "pointers do not fit"),
    "outside its shape": (edited(outside), "values outside its shape"),
    "negative index": (edited(negative_index), "values outside its shape"),
    "data of words": (replace("X/data", np.array([b"x"] * 3012)), "."),
    "X of words": (x_as(np.array([[b"a", b"b"]] * 136)), "X is no table of numbers"),
    "X of complex numbers": (x_as(np.ones((136, 30), complex)), "X is no table of numbers"),
    "X of one dimension": (x_as(np.ones(136)), "X is no table of numbers"),
    "X of three dimensions": (x_as(np.ones((136, 30, 2))), "X is no table of numbers"),
    "X of other cells": (x_as(np.ones((135, 30))), "X is 135 × 30, but there are 136 cells"),
    "X of other genes": (x_as(np.ones((136, 29))), "X is 136 × 29, but there are .* 30 genes"),
    "layout of the future": (edited(unknown_layout), "csr_matrix_of_the_future"),
    "not a number": (set_value(np.nan), "value nan of gene 'JAK2' in cell 'cell41'"),
    "infinite": (set_value(np.inf), "value inf of gene 'JAK2' in cell 'cell41'"),
    "negative": (set_value(-1), "value -1 of gene 'JAK2' in cell 'cell41'"),
    "halves": (set_value(0.5), "is not a whole number"),
    "logged": (lambda path: log1p(screen()).write_h5ad(path), "is not a whole number"),
    "labels missing": (unlabelled(np.nan), "12 of 136 cells have no value in obs column 'gene'"),
    "labels NA": (unlabelled("NA"), "12 of 136 cells have no value .but 'NA'. in obs column"),
    "labels unassigned": (unlabelled("Unassigned"), "no value .but 'Unassigned'."),
    "ids alone": (stored(ids_alone), "none of the 8 perturbed genes .* such as 'ENSG00000000000'"),
    "silent controls": (stored(silent_line), "control cells of line 'rpe1' have no counts at all"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_one_line_and_nothing_left(tmp_path, name):
    write, message = REFUSED[name]
    source, out = tmp_path / "source.h5ad", tmp_path / "results" / "cells.h5ad"
    write(source)
    with pytest.raises(PtragError, match=message) as caught:
        build_cells(source, SPEC, ALL, out)
    assert str(caught.value).startswith(f"{source}: ")
    assert "\n" not in str(caught.value)
    assert list(out.parent.iterdir()) == []


def test_there_are_more_than_sixty_of_them():
    assert len(SAME) + len(KEYS) + len(REFUSED) >= 60


def test_the_error_names_the_users_own_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    cut(tmp_path / "data" / "mine.h5ad")
    (tmp_path / "source.h5ad").symlink_to(tmp_path / "data" / "mine.h5ad")
    with pytest.raises(PtragError, match=r"^data/mine\.h5ad: "), open_cells("source.h5ad"):
        pass


def test_a_filter_that_is_not_installed_is_named(tmp_path, monkeypatch):
    screen().write_h5ad(tmp_path / "source.h5ad", compression="gzip")
    monkeypatch.setattr("h5py.h5z.filter_avail", lambda code: False)
    with (
        pytest.raises(PtragError, match=r"the HDF5 filter 'deflate', .*pip install hdf5plugin"),
        open_cells(tmp_path / "source.h5ad"),
    ):
        pass


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
