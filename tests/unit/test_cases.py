"""Inputs as people have them, each with the values it must give or the line that must refuse it.

Every kind is also tested on made screens elsewhere (docs/border.md says where), for places without
the folder of cases.
"""

import os
import runpy
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from ptrag.base.errors import PtragError
from ptrag.base.files import read_table
from ptrag.cells.log1p_file import open_log1p
from ptrag.cells.preprocess import build_cells, names_path
from ptrag.cells.store import CellStore
from ptrag.cli import main
from ptrag.config import merge, resolve
from ptrag.genes.names import Names
from ptrag.genes.symbols import GENE_TEXT, Symbols
from ptrag.schema import ConfigFiles, read_schema

CASES = Path(__file__).parents[3] / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases")

PERTURBED = ["CEBPA", "CEBPB", "FOXO1", "GATA1", "HLA-A", "IRF1", "JAK2", "KLF1", "MT-ND1", "MYC",
             "STAT1", "TP53"]  # fmt: skip
DOUBLES = ["CEBPA+KLF1", "IRF1+STAT1", "JAK2+MYC", "KLF1+TP53"]
NUMBERS = sorted(str(i) for i in range(1, 13))

PERTURBATIONS = {
    "plain": PERTURBED,
    "alias_twins": ["HJV", "IRF1", "JAK2", "KLF1", "KMT2A", "KMT2B", "MARCHF1", "MLL4", "MYC",
                    "RACK1", "SEPTIN2", "STAT1", "TP53"],
    "anndata06": PERTURBED,
    "case_twins": PERTURBED,
    "ensg_var": PERTURBED,
    "gears_ctrl": sorted(
        [*DOUBLES, "CEBPA", "CEBPB", "HLA-A", "IRF1", "JAK2", "KLF1", "MT-ND1", "MYC", "STAT1",
         "TP53"]
    ),
    "hv_strings": PERTURBED,
    "lists_order": ["CEBPA+KLF1", "FOXO1+GATA1", "HLA-A", "IRF1", "IRF1+JAK2", "JAK2", "KLF1",
                    "MT-ND1", "MYC", "MYC+TP53", "STAT1", "TP53"],
    "mudata": PERTURBED,
    "multi_controls": PERTURBED,
    "numbered_genes": PERTURBED,
    "numeric_labels": NUMBERS,
    "older_replacement": NUMBERS,
    "other_directory": PERTURBED,
    "outer_join": PERTURBED,
    "seurat_disk": PERTURBED,
    "tiny_groups": PERTURBED,
    "zstd": PERTURBED,
}  # fmt: skip
"""Of the cases that run: the perturbations that the store must have."""

SAID = {
    "alias_twins": "7 perturbations have more than one name and become one each",
    "case_twins": "12 perturbations have more than one name and become one each",
    "ensg_var": r"var names such as 'ENSG00000000000' are no gene symbols; taking .*gene_name",
    "numbered_genes": r"var names such as '0' are no gene symbols; taking those of var.'features'",
    "outer_join": "20 of 60 genes have no value in any cell of line 'rpe1'",
}
"""What must be said of those that run."""

REFUSED = {
    "hvg_silent_line": "the control cells of line 'rpe1' have no counts at all",
    "na_label": r"48 of 656 cells have no value .but 'NA'. in obs column 'gene'",
}
"""The line of those that cannot be read."""

CONFIGURED = {
    "bad_pattern": r"datasets\.plain\.perturbation_pattern: '\^\(\[A-Z' is no regular expression",
    "plus_in_name": r"datasets\.k562\+rpe1: a name may have small letters, digits and _ alone",
    "resources_typo": r"resources\.train_arms: unknown key; did you mean 'train_arm'\?",
}
"""The line of those whose configuration is at fault."""


def made(name, folder):
    """Make a case's files in a folder; return its data set and the file's path."""
    if name == "zstd":
        pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed")
    before, path = Path.cwd(), list(sys.path)
    sys.path.insert(0, str(CASES))
    os.chdir(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runpy.run_path(str(CASES / name / "make.py"))
    finally:
        os.chdir(before)
        sys.path[:] = path
    if not (CASES / name / "extra.yaml").is_file():
        return None, None
    config = yaml.safe_load((CASES / name / "extra.yaml").read_text())
    entry = config["datasets"][config["dataset"]]
    return entry, folder / entry["file"]


def built(entry, source, out):
    settings = {"n_genes": 20, "yardstick": 0.5} | entry["settings"]["cells"]
    build_cells(source, entry, settings, out)
    return CellStore(out)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_case_that_runs(tmp_path, caplog, name):
    store = built(*made(name, tmp_path), tmp_path / "cells.h5ad")
    assert store.perturbations == PERTURBATIONS[name]
    assert len(store.lines) == 2
    if name in SAID:
        assert pd.Series([caplog.text]).str.contains(SAID[name], regex=True).all()


@pytest.mark.parametrize(
    "name",
    ["anndata06", "mudata", "seurat_disk", "zstd", "ensg_var", "numbered_genes", "case_twins"],
)
def test_a_case_is_the_plain_screen(tmp_path, name):
    (tmp_path / "plain").mkdir(), (tmp_path / "case").mkdir()
    plain = built(*made("plain", tmp_path / "plain"), tmp_path / "plain.cells.h5ad")
    store = built(*made(name, tmp_path / "case"), tmp_path / "cells.h5ad")
    assert store.genes == plain.genes
    np.testing.assert_array_equal(store.X, plain.X)
    for column in ("cell_line", "perturbation", "batch"):
        assert list(store.obs[column].astype(str)) == list(plain.obs[column].astype(str))


@pytest.mark.parametrize("name", REFUSED)
def test_a_case_that_cannot_be_read(tmp_path, name):
    entry, source = made(name, tmp_path)
    with pytest.raises(PtragError, match=REFUSED[name]) as caught:
        built(entry, source, tmp_path / "results" / "cells.h5ad")
    assert str(caught.value).startswith(f"{source}: ") and "\n" not in str(caught.value)
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.parametrize("name", CONFIGURED)
def test_a_case_whose_configuration_is_at_fault(root, name):
    extra = yaml.safe_load((CASES / name / "extra.yaml").read_text())
    shipped = yaml.safe_load((root / "config.yaml").read_text())
    files = ConfigFiles({"config.yaml": shipped, "extra.yaml": extra})
    schema = read_schema(root / "workflow/schemas/config.schema.yaml")
    with pytest.raises(PtragError, match="^extra.yaml: " + CONFIGURED[name]):
        resolve(merge(shipped, extra), schema, files, root)


def test_chosen_genes_are_those_that_the_words_mark(tmp_path):
    entry, source = made("hv_strings", tmp_path)
    assert built(entry, source, tmp_path / "cells.h5ad").n_genes == 20


def test_three_guides_are_one_control(tmp_path):
    store = built(*made("multi_controls", tmp_path), tmp_path / "cells.h5ad")
    controls = store.obs[store.obs["perturbation"] == "control"]
    assert set(controls["gene"].astype(str)) == {"NT-1", "NT-2", "NT-3"}
    assert len(controls) == 80


def test_missing_labels_may_be_left_out(tmp_path):
    entry, source = made("na_label", tmp_path)
    store = built(entry | {"unlabelled": "drop"}, source, tmp_path / "cells.h5ad")
    assert store.perturbations == [p for p in PERTURBED if p != "JAK2"]


def test_the_table_says_what_became_what(tmp_path):
    built(*made("alias_twins", tmp_path), tmp_path / "cells.h5ad")
    table = read_table(names_path(tmp_path / "cells.h5ad"), dtype=str)
    names = dict(zip(table["source"], table["name"], strict=True))
    how = dict(zip(table["source"], table["how"], strict=True))
    assert (names["MLL"], names["HFE2"], names["tp53"], names["c-Myc"]) == (
        "KMT2A", "HJV", "TP53", "MYC",
    )  # fmt: skip
    assert (how["MLL"], how["MLL4"], how["TP53"]) == ("alias", "ambiguous", "exact")


def test_ids_and_symbols_are_the_same_genes_to_a_command(tmp_path):
    made("ensg_var", tmp_path)
    names = Names(Symbols.read(GENE_TEXT))
    columns = {"perturbation": "gene", "cell_line": "line"}
    genes = []
    for name in ("real_symbols", "real_ids"):
        with open_log1p(tmp_path / f"{name}.h5ad", tmp_path, names, columns) as file:
            genes.append(file.genes)
    assert genes[0] == genes[1]


@pytest.mark.parametrize(
    "option", [["--n-pcs", "0"], ["--n-pcs", "-3"], ["--out", "."], ["--deg-alpha", "2"]]
)
def test_options_of_evaluate(tmp_path, capsys, option):
    made("evaluate_options", tmp_path)
    files = [str(tmp_path / f"{name}_symbols.h5ad") for name in ("real", "pred")]
    out = ["--out", str(tmp_path / "m.tsv")]
    labels = ["--perturbation", "gene", "--cell-line", "line"]
    with pytest.raises(SystemExit):
        main(["evaluate", *files, *labels, *out, *option])
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1 and printed[0].startswith(f"error: argument {option[0]}: ")
    assert not (tmp_path / "m.tsv").exists()


@pytest.mark.parametrize(
    ("case", "file", "message"),
    [
        ("predict_bad_files", "no_x.h5ad", "there is no X; there are: layers/x"),
        ("predict_bad_files", "tenx.h5", "is a 10x file without matrix/features"),
        ("raw_counts_to_predict", "controls.h5ad", r"X holds counts .whole numbers up to 14."),
    ],
)
def test_controls_that_cannot_be_predicted_from(tmp_path, case, file, message):
    made(case, tmp_path)
    path = tmp_path / file
    names = Names(Symbols.read(GENE_TEXT))
    with (
        pytest.raises(PtragError, match=f"^{path}: .*{message}"),
        open_log1p(path, tmp_path, names) as opened,
    ):
        list(opened.blocks())


def test_every_case_is_here():
    tested = {*PERTURBATIONS, *REFUSED, *CONFIGURED, "evaluate_options", "predict_bad_files",
              "raw_counts_to_predict"}  # fmt: skip
    assert tested == {path.name for path in CASES.iterdir() if path.is_dir()}
