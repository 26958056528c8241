"""Files that the opener refuses: one line that says why, never a traceback, nothing left."""

import gzip
import lzma
import zipfile

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from anndata.io import write_elem
from border_screens import ALL, SPEC, edited, log1p, screen, stored, unlabelled, write_h5mu

from ptrag.base.errors import PtragError
from ptrag.cells.opening import open_cells
from ptrag.cells.preprocess import build_cells


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


def words_for_data(file):
    n = len(file["X/data"])
    del file["X/data"]
    file["X/data"] = np.full(n, b"x")


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
    "data of words": (edited(words_for_data), "cannot be read, .*could not convert string"),
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


def test_there_are_more_than_forty_of_them():
    assert len(REFUSED) >= 40


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
