import re

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from ptrag.base.errors import PtragError
from ptrag.base.names import CONTROL
from ptrag.cells.preprocess import build_cells
from ptrag.cells.source import open_source
from ptrag.cells.store import CellStore
from ptrag.cells.store_writer import SINGLE_BATCH
from ptrag.genes.names import Names
from ptrag.genes.symbols import GENE_TEXT, Symbols

GIVEN = {"genes": "given", "n_genes": 2000, "yardstick": 0.5}
SPEC = {
    "columns": {"perturbation": "gene", "cell_line": "line", "batch": "lane"},
    "control": "non-targeting",
    "scale": "counts",
}
GENES = ["TP53", "MYC", "JAK2", "ACTB"]


def screen(n=60):
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "gene": ["non-targeting", "TP53", "MYC+JAK2"] * (n // 3),
            "line": ["k562"] * (n // 2) + ["rpe1"] * (n // 2),
            "lane": np.arange(n) % 4,
            "umis": np.arange(n),
        },
        index=[f"cell{i}" for i in range(n)],
    )
    X = rng.poisson(2.0, (n, len(GENES))).astype(np.float32)
    return anndata.AnnData(sp.csr_matrix(X), obs=obs, var=pd.DataFrame(index=GENES))


def opened(tmp_path, adata, **changes):
    adata.write_h5ad(tmp_path / "source.h5ad")
    spec = SPEC | changes
    names = Names(Symbols.read(GENE_TEXT), spec["control"], spec.get("perturbation_pattern"))
    with open_source(tmp_path / "source.h5ad", spec, tmp_path, names) as source:
        return source


def test_labels_become_the_projects(tmp_path):
    adata = screen()
    adata.obs["perturbation"] = "what the source calls so"
    obs = opened(tmp_path, adata).obs
    assert list(obs.columns[:3]) == ["cell_line", "perturbation", "batch"]
    assert list(obs["perturbation"][:3]) == [CONTROL, "TP53", "JAK2+MYC"]
    assert set(obs["batch"]) == {"0", "1", "2", "3"}
    assert set(obs["source_perturbation"]) == {"what the source calls so"}
    assert list(obs["umis"]) == list(range(60))
    assert {"gene", "line", "lane"} <= set(obs)


def test_no_batch_column_is_one_batch(tmp_path):
    columns = {"perturbation": "gene", "cell_line": "line"}
    assert set(opened(tmp_path, screen(), columns=columns).obs["batch"]) == {SINGLE_BATCH}


def test_a_guides_name_becomes_its_gene_and_the_control_is_exempt(tmp_path):
    adata = screen()
    adata.obs["gene"] = ["non-targeting", "TP53_1", "TP53_2"] * 20
    obs = opened(tmp_path, adata, perturbation_pattern=r"^([^_]+)_\d+$").obs
    assert set(obs["perturbation"]) == {CONTROL, "TP53"}
    assert set(obs["gene"]) == {"non-targeting", "TP53_1", "TP53_2"}


def test_both_orders_of_a_double_are_one_perturbation(tmp_path):
    adata = screen()
    adata.obs["gene"] = ["non-targeting", "JAK2+MYC", "MYC+JAK2"] * 20
    assert set(opened(tmp_path, adata).obs["perturbation"]) == {CONTROL, "JAK2+MYC"}


def test_given_genes_are_the_sources_highly_variable_ones(tmp_path):
    adata = screen()
    assert opened(tmp_path, adata).given.all()
    adata.var["highly_variable"] = [True, False, True, False]
    assert list(opened(tmp_path, adata).given) == [True, False, True, False]


def test_genes_of_an_obsm_matrix(tmp_path):
    adata = screen()
    two = np.log1p(adata.X.toarray()[:, [0, 2]])
    adata.obsm["X_hvg"] = two
    with pytest.raises(PtragError, match=r"the 2 columns of obsm/X_hvg have no names; mark as"):
        opened(tmp_path, adata, matrix="obsm/X_hvg")
    adata.var["highly_variable"] = [True, False, True, False]
    assert opened(tmp_path, adata, matrix="obsm/X_hvg").genes == ["TP53", "JAK2"]
    adata.uns["X_hvg_names"] = np.array(["TP53", "IRF1"])
    assert opened(tmp_path, adata, matrix="obsm/X_hvg").genes == ["TP53", "IRF1"]
    adata.obsm["table"] = pd.DataFrame(two, index=adata.obs_names, columns=["MYC", "STAT1"])
    assert opened(tmp_path, adata, matrix="obsm/table").genes == ["MYC", "STAT1"]
    adata.obsm["all"] = np.log1p(adata.X.toarray())
    assert opened(tmp_path, adata, matrix="obsm/all").genes == GENES


def test_a_file_without_the_chosen_genes_offers_to_choose_them(tmp_path):
    """Before anything else is looked at: a label that is wrong, too, is not what is named."""
    adata = screen()
    adata.obs["gene"] = "no control"
    offer = "`matrix: X` with `cells: {genes: controls}`"
    with pytest.raises(PtragError, match="matrix: there is no obsm/X_hvg") as error:
        opened(tmp_path, adata, matrix="obsm/X_hvg")
    assert offer in str(error.value)
    adata = screen()
    adata.obsm["X_hvg"] = np.log1p(adata.X.toarray()[:, [0, 2]])
    with pytest.raises(PtragError, match="the 2 columns of obsm/X_hvg have no names") as error:
        opened(tmp_path, adata, matrix="obsm/X_hvg")
    assert offer in str(error.value)
    with pytest.raises(PtragError, match="there is no layers/counts") as error:
        opened(tmp_path, screen(), matrix="layers/counts")
    assert offer not in str(error.value)


@pytest.mark.parametrize(
    "layout",
    [{}, {"chunks": (7, 2), "compression": "gzip"}, {"chunks": (16, 1), "compression": "lzf"}],
    ids=["contiguous", "gzip", "lzf"],
)
def test_every_layout_of_an_obsm_matrix_is_read_alike(tmp_path, layout):
    adata = screen()
    two = np.log1p(adata.X.toarray()[:, [0, 2]])
    adata.var["highly_variable"] = [True, False, True, False]
    adata.obsm["X_hvg"] = two
    path = tmp_path / "source.h5ad"
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        attributes = dict(file["obsm/X_hvg"].attrs)
        del file["obsm/X_hvg"]
        file["obsm"].create_dataset("X_hvg", data=two, **layout).attrs.update(attributes)
    spec = SPEC | {"scale": "log1p", "matrix": "obsm/X_hvg"}
    build_cells(path, spec, GIVEN, tmp_path / "cells.h5ad")
    store = CellStore(tmp_path / "cells.h5ad")
    assert store.genes == ["TP53", "JAK2"]
    mine = (adata.obs["gene"] == "TP53") & (adata.obs["line"] == "rpe1")
    np.testing.assert_array_equal(store.cells("rpe1", "TP53"), two[mine.to_numpy()])


def set_value(value, cell=41, gene=2):
    def change(adata):
        X = adata.X.toarray()
        X[cell, gene] = value
        adata.X = sp.csr_matrix(X)

    return change


def set_dense(value, cell=41, gene=2):
    def change(adata):
        adata.X = adata.X.toarray()
        adata.X[cell, gene] = value

    return change


def relabel(column, old, new):
    def change(adata):
        adata.obs[column] = adata.obs[column].replace({old: new})

    return change


def only_one_line_has_controls(adata):
    adata.obs["gene"] = np.where(
        (adata.obs["line"] == "rpe1") & (adata.obs["gene"] == "non-targeting"),
        "TP53",
        adata.obs["gene"],
    )


def control_without_cells(adata):
    adata.obs["gene"] = pd.Categorical(
        adata.obs["gene"].replace({"non-targeting": "TP53"}),
        categories=["non-targeting", "TP53", "MYC+JAK2"],
    )


def lose_labels(adata):
    adata.obs["gene"] = adata.obs["gene"].replace({"TP53": None}).astype("category")


def same_gene_twice(adata):
    adata.var_names = ["TP53", "MYC", "TP53", "ACTB"]


def logged(adata):
    adata.X = adata.X.log1p()


def same(adata):
    pass


BAD = {
    "column absent": (same, {"columns": SPEC["columns"] | {"perturbation": "genes"}},
        r"columns\.perturbation: no obs column 'genes'; did you mean 'gene'\?"),
    "batch column absent": (same, {"columns": SPEC["columns"] | {"batch": "gem_group"}},
        r"columns\.batch: no obs column 'gem_group'; there are: gene, line, lane, umis"),
    "control absent": (same, {"control": "non_targeting"},
        r"no cells are labelled 'non_targeting' \(control\); did you mean 'non-targeting'\?"),
    "control without cells": (control_without_cells, {},
        r"no cells are labelled 'non-targeting' \(control\)"),
    "no controls in a line": (only_one_line_has_controls, {},
        r"cell line 'rpe1' has no control cells \('non-targeting'\)"),
    "another control": (relabel("gene", "TP53", "control"), {},
        r"label 'control' means control here, but `control` is 'non-targeting'"),
    "labels missing": (lose_labels, {},
        r"columns\.perturbation: 20 of 60 cells have no value in obs column 'gene'"),
    "labels empty": (relabel("line", "rpe1", " "), {},
        r"columns\.cell_line: 30 of 60 cells have no value in obs column 'line'"),
    "pattern": (same, {"perturbation_pattern": r"^([^_]+)_\d+$"},
        r"label '(TP53|MYC\+JAK2)' does not match perturbation_pattern '\^"),
    "half a double": (relabel("gene", "TP53", "TP53+"), {},
        r"label 'TP53\+' names no gene on one side of '\+'"),
    "genes twice": (same_gene_twice, {},
        r"1 gene names of X occur more than once \(TP53\); keep one of each"),
    "matrix absent": (same, {"matrix": "layers/count"},
        r"matrix: there is no layers/count; there are: X"),
    "not a number": (set_value(np.nan), {},
        r"X: the value nan of gene 'JAK2' in cell 'cell41' is not a valid amount"),
    "infinite": (set_value(np.inf), {}, r"the value inf of gene 'JAK2' in cell 'cell41' is not"),
    "negative": (set_value(-1), {}, r"the value -1 of gene 'JAK2' in cell 'cell41' is not"),
    "dense not a number": (set_dense(np.nan), {},
        r"the value nan of gene 'JAK2' in cell 'cell41' is not a valid amount; mend the file"),
    "dense negative": (set_dense(-2), {}, r"the value -2 of gene 'JAK2' in cell 'cell41' is"),
    "log1p declared as counts": (logged, {},
        r"the value [\d.]+ of gene '\w+' in cell 'cell0' is not a whole number, .*`scale: log1p`"),
    "counts declared as log1p": (same, {"scale": "log1p"},
        r"X holds whole numbers only, so it is not log1p; set `scale: counts`"),
    "not logged": (set_value(400.5), {"scale": "log1p"},
        r"the value 400\.5 of gene 'JAK2' in cell 'cell41' is too high for a logarithm"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_in_one_line_and_leaves_nothing(tmp_path, name):
    change, changes, message = BAD[name]
    adata = screen()
    change(adata)
    source, out = tmp_path / "source.h5ad", tmp_path / "results" / "cells.h5ad"
    adata.write_h5ad(source)
    with pytest.raises(PtragError, match=message) as caught:
        build_cells(source, SPEC | changes, GIVEN, out)
    assert str(caught.value).startswith(f"{source}: ")
    assert "\n" not in str(caught.value)
    assert list(out.parent.iterdir()) == []


def missing(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def web_page(path):
    path.write_text("\n<!DOCTYPE html>\n<title>Sign in</title>")


def text(path):
    path.write_text("gene,cell\n")


def empty(path):
    path.write_bytes(b"")


def no_anndata(path):
    with h5py.File(path, "w") as file:
        file["table"] = np.zeros(3)


def damaged(path):
    with h5py.File(path, "r+") as file:
        del file["X/data"]


def short(path):
    with h5py.File(path, "r+") as file:
        file["X"].attrs["shape"] = (59, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (missing, "there is no such file; check its name and folder"),
        (cut, r"cannot be read, it is truncated or damaged \(.*\); fetch it again"),
        (web_page, "is a web page saved under this name, not an h5ad file"),
        (text, r"is no h5ad \(HDF5\) file"),
        (empty, "is empty"),
        (no_anndata, "is HDF5 but no AnnData"),
        (damaged, "cannot be read, it is truncated or damaged"),
        (short, "X is damaged: its pointers do not fit its shape 59 × 4"),
    ],
)
def test_a_file_that_is_no_source(tmp_path, change, message):
    source, out = tmp_path / "source.h5ad", tmp_path / "results" / "cells.h5ad"
    screen().write_h5ad(source)
    change(source)
    with pytest.raises(PtragError, match=message) as caught:
        build_cells(source, SPEC, GIVEN, out)
    assert re.match(re.escape(f"{source}: "), str(caught.value))
    assert "\n" not in str(caught.value)
    assert list(out.parent.iterdir()) == []
