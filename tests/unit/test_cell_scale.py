"""One check of the scale, line by line, for all commands."""

import numpy as np
import pytest
import scipy.sparse as sp
from border_screens import ALL, GENES, SPEC, log1p, screen

from ptrag.base.errors import PtragError
from ptrag.cells.log1p_file import open_log1p
from ptrag.cells.preprocess import build_cells
from ptrag.cells.scale import ScaleCheck
from ptrag.genes.names import Names
from ptrag.genes.symbols import GENE_TEXT, Symbols

COLUMNS = {"perturbation": "gene", "cell_line": "line"}


def of_line(adata, line):
    return (adata.obs["line"] == line).to_numpy()


def one_line_as_counts():
    adata = log1p(screen())
    rows = of_line(adata, "rpe1")
    adata.X[rows] = np.minimum(screen().X.toarray()[rows], 14)
    return adata


def other_total():
    adata = log1p(screen())
    rows = of_line(adata, "rpe1")
    adata.X[rows] = log1p(screen(), 1e6).X[rows]
    return adata


def total_a_little_off():
    adata = log1p(screen())
    rows = of_line(adata, "rpe1")
    adata.X[rows] = log1p(screen(), 1.3e4).X[rows]
    return adata


def base_2():
    adata = log1p(screen())
    adata.X = (adata.X / np.log(2)).astype(np.float32)
    return adata


def shallow_counts():
    adata = screen()
    adata.X = np.minimum(adata.X.toarray(), 14)
    return adata


BAD = {
    "shallow counts": (shallow_counts, r"X holds counts \(whole numbers up to 14\)"),
    "one line as counts": (one_line_as_counts, r"X holds counts .* in line 'rpe1'"),
    "lines of other totals": (other_total, r"sums to 1e\+04 in 'k562' and to 1e\+06 in 'rpe1'"),
    "totals a little off": (
        total_a_little_off,
        r"to 1\.3e\+04 in 'rpe1': they are on other scales",
    ),
    "base 2": (base_2, "is in logarithms to base 2"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_workflow_and_the_commands_refuse_the_same(tmp_path, name):
    make, message = BAD[name]
    make().write_h5ad(tmp_path / "source.h5ad")
    names = Names(Symbols.read(GENE_TEXT))
    with (
        pytest.raises(PtragError, match=message),
        open_log1p(tmp_path / "source.h5ad", tmp_path, names, COLUMNS) as file,
    ):
        list(file.blocks())
    out = tmp_path / "results" / "cells.h5ad"
    with pytest.raises(PtragError, match=message if "counts" not in name else "holds|whole"):
        build_cells(tmp_path / "source.h5ad", SPEC | {"scale": "log1p"}, ALL, out)
    assert list(out.parent.iterdir()) == []


def test_genes_that_a_whole_line_lacks_are_counted(tmp_path, caplog):
    adata = screen()
    X = adata.X.toarray()
    lost = [i for i in range(len(GENES)) if (X[:, i] > 0).mean() > 0.3][:9]
    X[np.ix_(of_line(adata, "rpe1"), lost)] = 0
    adata.X = sp.csr_matrix(X)
    adata.write_h5ad(tmp_path / "source.h5ad")
    build_cells(tmp_path / "source.h5ad", SPEC, ALL, tmp_path / "cells.h5ad")
    assert "9 of 30 genes have no value in any cell of line 'rpe1'" in caplog.text
    caplog.clear()
    screen().write_h5ad(tmp_path / "source.h5ad")
    build_cells(tmp_path / "source.h5ad", SPEC, ALL, tmp_path / "cells.h5ad")
    assert "have no value" not in caplog.text


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("rows", [7, 1000])
def test_what_is_seen_does_not_depend_on_blocks_or_storage(tmp_path, rows, sparse):
    adata = log1p(screen())
    lines = list(adata.obs["line"])
    check = ScaleCheck(tmp_path, "X", lines, GENES, (adata.obs["gene"] == "control").to_numpy())
    for start in range(0, adata.n_obs, rows):
        block = adata.X[start : start + rows]
        check.add(start, sp.csr_matrix(block) if sparse else block)
    check.check_log1p()
    check.check_controls()
    assert check.total() == pytest.approx(1e4, rel=1e-3)
    for code, line in enumerate(check.lines):
        expected = (adata.X[of_line(adata, line)] > 0).sum(axis=0)
        np.testing.assert_array_equal(check.detected[code], expected)
