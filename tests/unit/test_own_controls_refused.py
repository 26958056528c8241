"""Bad input at the border of ``ptrag predict``: each fault is one clear line."""

import anndata
import numpy as np
import pandas as pd
import pytest

import ptrag
from ptrag.base.errors import PtragError
from ptrag.cli import main
from ptrag.simulate.example import example_screen


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A bundle, and controls of one of its lines as raw counts."""
    folder = tmp_path_factory.mktemp("lab")
    screen = example_screen(n_perturbations=10, n_genes=60)
    ptrag.fit(screen, cell_line="cell_line", arm="knn", n_genes=None).save(folder / "bundle")
    own = (screen.obs["cell_line"] == "rpe1") & (screen.obs["perturbation"] == "control")
    return folder / "bundle", screen[own.to_numpy()].copy(), screen


def log1p(data):
    data = data.copy()
    counts = np.asarray(data.X.todense() if hasattr(data.X, "todense") else data.X, np.float64)
    data.X = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4).astype(np.float32)
    return data


def renamed(data, names):
    data = data.copy()
    data.var_names = names
    return data


def with_value(data, value):
    data = log1p(data)
    data.X[3, 2] = value
    return data


def as_ids(data, column=True):
    """ENSG ids for names, the symbols in a column of var."""
    ids = [f"ENSG{i:011d}" for i in range(data.n_vars)]
    var = pd.DataFrame({"symbol": list(data.var_names)} if column else {}, index=ids)
    return anndata.AnnData(data.X, data.obs, var)


def mouse(data):
    return renamed(data, [name.capitalize() for name in data.var_names])


def twice(data):
    return renamed(data, [data.var_names[1], *data.var_names[1:]])


def perturbed(data):
    data = data.copy()
    data.obs["perturbation"] = "TP53"
    return data


REFUSED = {
    "unknown gene": (lambda d: d, ["NOGENE1"], (), r"'NOGENE1' is no gene of the table"),
    "near miss": (lambda d: d, ["STAT11"], (), r"did you mean .*STAT1"),
    "two letters swapped": (lambda d: d, ["TP35"], (), r"did you mean TP53 or"),
    "ambiguous gene": (lambda d: d, ["ASP"], (), r"'ASP' is ambiguous, it may be A1CF or"),
    "a word for controls": (lambda d: d, ["control"], (), r"means control"),
    "a reporter": (lambda d: d, ["GFP"], (), r"'GFP' is no gene \(not a gene\)"),
    "counts declared log1p": (lambda d: d, ["TP53"], ("--scale", "log1p"), r"declared log1p but"),
    "log1p declared counts": (log1p, ["TP53"], ("--scale", "counts"), r"declared counts but"),
    "scaled": (lambda d: with_value(d, -1.0), ["TP53"], (), r"negative values"),
    "NaN": (lambda d: with_value(d, np.nan), ["TP53"], (), r"missing or infinite values \(NaN\)"),
    "not logged": (lambda d: with_value(d, 321.5), ["TP53"], (), r"neither counts nor logarithms"),
    "most genes missing": (lambda d: d[:, :20], ["TP53"], (), r"40 of the bundle's 60 genes"),
    "ids without symbols": (lambda d: as_ids(d, False), ["TP53"], (), r"60 of the bundle's 60"),
    "a mouse": (mouse, ["TP53"], (), r"those of a mouse or a rat"),
    "the same column twice": (twice, ["TP53"], (), r"occur more than once"),
    "no controls": (perturbed, ["TP53"], (), r"no control cells: obs 'perturbation' has TP53"),
    "one cell": (lambda d: d[:1], ["TP53"], (), r"1 control cell: a mean profile"),
    "no cell": (lambda d: d[:0], ["TP53"], (), r"holds no cell"),
    "another line": (None, ["TP53"], ("--cell-line", "hela"), r"no cells of line 'hela'"),
    "several lines": (None, ["TP53"], (), r"has 2 lines \(k562, rpe1\); say which"),
    "all zero": (lambda d: silent(d), ["TP53"], (), r"nothing of the bundle's genes"),
    "another total": (lambda d: lower(d), ["TP53"], (), r"another scale"),
}  # fmt: skip


def silent(data):
    data = log1p(data)
    data.X[:] = 0
    return data


def lower(data):
    """Normalised to a total of 100."""
    data = log1p(data)
    data.X = np.log1p(np.expm1(data.X) / 100)
    return data


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_one_line(lab, tmp_path, capsys, case):
    bundle, controls, screen = lab
    change, genes, options, words = REFUSED[case]
    data = screen if change is None else change(controls)
    data.copy().write_h5ad(tmp_path / "own.h5ad")
    out = tmp_path / "out"
    code = main([
        "predict", str(bundle), str(tmp_path / "own.h5ad"), "--perturbations", *genes, *options,
        "--out", str(out),
    ])  # fmt: skip
    printed = capsys.readouterr().err
    errors = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert code == 1
    assert len(errors) == 1 and printed.rstrip().endswith(errors[0])
    assert pd.Series(errors).str.contains(words).all(), errors
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "is empty"), (b"<html>", "is a web page"), (None, "no such file")]
)
def test_what_is_no_file_of_cells_is_named(lab, tmp_path, capsys, content, words):
    if content is not None:
        (tmp_path / "own.h5ad").write_bytes(content)
    code = main([
        "predict", str(lab[0]), str(tmp_path / "own.h5ad"), "--perturbations", "TP53", "--out",
        str(tmp_path / "out"),
    ])  # fmt: skip
    assert code == 1
    assert words in capsys.readouterr().err


CONVERTED = {
    "log1p": (log1p, None),
    "raw counts": (lambda d: d, "raw counts: normalised to 10,000"),
    "ids with symbols": (as_ids, None),
    "a few genes missing": (lambda d: log1p(d)[:, 3:], "3 of 60 genes are missing"),
    "genes in another order": (lambda d: d[:, ::-1], None),
    "few cells": (lambda d: d[:5], "only 5 control cells"),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_what_can_be_converted_is_and_is_told(lab, case):
    bundle, controls, _ = lab
    change, words = CONVERTED[case]
    plain = ptrag.load(bundle).predict(log1p(controls), "TP53", cells=2)
    made = ptrag.load(bundle).predict(change(controls), "TP53", cells=2)
    assert words is None or any(words in note for note in made.notes), made.notes
    if case in ("few cells", "a few genes missing"):
        kept = slice(3, None) if case != "few cells" else slice(0, 0)
        np.testing.assert_allclose(made.profiles.X[:, kept], plain.profiles.X[:, kept], atol=1e-6)
        return
    np.testing.assert_allclose(made.profiles.X, plain.profiles.X, atol=1e-5)
    assert list(made.profiles.var_names) == list(plain.profiles.var_names)


def test_missing_genes_have_the_mean_of_the_bundles_lines(lab):
    bundle, controls, screen = lab
    made = ptrag.load(bundle).predict(controls[:, 3:], "TP53", cells=0)
    lines = screen[screen.obs["perturbation"] == "control"]
    means = [
        log1p(lines[lines.obs["cell_line"] == line]).X[:, :3].mean(axis=0, dtype=float)
        for line in ("k562", "rpe1")
    ]
    filled = made.profiles.X[0, :3] - made.profiles.layers["delta"][0, :3]
    np.testing.assert_allclose(filled, np.mean(means, axis=0), atol=1e-5)


def test_the_fallback_is_the_mean_response_and_is_marked(lab):
    bundle, controls, screen = lab
    made = ptrag.load(bundle).predict(
        controls, ["NOGENE1", "TP53"], cell_line="rpe1", cells=3, allow_fallback=True
    )
    assert list(made.summary["level"]) == ["fallback", "never perturbed"]
    assert "fallback" in made.summary["note"][0]
    measured = ptrag.responses(screen, cell_line="cell_line", min_cells=20)
    mean = measured.X[(measured.obs["cell_line"] == "rpe1").to_numpy()].mean(axis=0)
    control = log1p(controls).X.mean(axis=0, dtype=float)
    expected = np.maximum(control + mean, 0) - control
    np.testing.assert_allclose(made.profiles.layers["delta"][0], expected, atol=1e-5)
    assert set(made.cells.obs["perturbation"]) == {"NOGENE1", "TP53"}


def test_a_list_of_genes_may_be_a_file(lab, tmp_path, capsys):
    bundle, controls, _ = lab
    controls.write_h5ad(tmp_path / "own.h5ad")
    (tmp_path / "genes.txt").write_text("# of interest\nTP53\n\nMYC  # twice\nMYC\n")
    words = ["predict", str(bundle), str(tmp_path / "own.h5ad"), "--from"]
    out = ["--no-cells", "--out", str(tmp_path / "out")]
    assert main([*words, str(tmp_path / "genes.txt"), *out]) == 0
    printed = capsys.readouterr().out
    assert "2 perturbations predicted" in printed and "1 names came twice" in printed
    assert not (tmp_path / "out/cells.h5ad").exists()
    (tmp_path / "none.txt").write_text("# nothing\n")
    assert main([*words, str(tmp_path / "none.txt"), *out]) == 1
    assert "names no perturbation" in capsys.readouterr().err


def test_out_is_neither_an_input_nor_the_bundle(lab, tmp_path, capsys):
    bundle, controls, _ = lab
    controls.write_h5ad(tmp_path / "own.h5ad")
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    words = ["predict", str(bundle), str(tmp_path / "own.h5ad"), "--perturbations", "TP53", "--out"]
    for out in (bundle, bundle / "fitted", bundle / "new"):
        assert main([*words, str(out)]) == 1
        assert "which is read; name another" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*words, str(tmp_path / "own.h5ad")])
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("mine")
    assert main(["fit", str(tmp_path / "own.h5ad"), "--out", str(tmp_path / "full")]) == 1
    assert "is there and is no bundle" in capsys.readouterr().err
    assert (tmp_path / "full/file").read_text() == "mine"


def test_a_changed_byte_anywhere_in_the_bundle_is_noticed(lab, tmp_path):
    bundle, *_ = lab
    names = [path.relative_to(bundle) for path in bundle.rglob("*") if path.is_file()]
    assert len(names) >= 4
    for name in names:
        ptrag.load(bundle).save(tmp_path / "copy")
        content = bytearray((tmp_path / "copy" / name).read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / "copy" / name).write_bytes(content)
        with pytest.raises(PtragError, match=r"as it was written|that was written|no JSON|format"):
            ptrag.load(tmp_path / "copy")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"arm": "ptrag"}, "is not fitted in one go"),
        ({"arm": "oracle"}, "is not fitted in one go"),
        ({"arm": "knn@reassigned"}, "is spoilt by the workflow alone"),
        ({"arm": "knn@shuffled"}, "is spoilt by the workflow alone"),
        ({"arm": "rigde"}, "did you mean 'ridge'"),
        ({"embedding": "table"}, "reads a file of vectors; name it"),
        ({"perturbation": "gene"}, "no obs column 'gene'"),
        ({"control": "nontargeting"}, "'control' means control here, but `control` is"),
        ({"min_cells": 1000}, "no pair has 1000 cells"),
        ({"scale": "log1p"}, "declared log1p but"),
    ],
)
def test_a_screen_that_cannot_be_fitted_is_named(lab, options, words):
    with pytest.raises(PtragError, match=words) as caught:
        ptrag.fit(lab[2], cell_line="cell_line", **options)
    assert "\n" not in str(caught.value)


def test_whole_counts_and_the_layout_of_the_challenge_are_written_on_request(lab, tmp_path, capsys):
    bundle, controls, _ = lab
    controls[:, 3:].copy().write_h5ad(tmp_path / "own.h5ad")
    words = ["predict", str(bundle), str(tmp_path / "own.h5ad"), "--perturbations", "TP53", "MYC"]
    out = tmp_path / "out"
    assert main([*words, "--counts", "--format", "vcc2026", "--out", str(out)]) == 0
    cells = anndata.read_h5ad(out / "cells.h5ad")
    counts = cells.layers["counts"]
    counts = counts.toarray() if hasattr(counts, "toarray") else counts
    assert (counts == np.rint(counts)).all() and counts.min() >= 0 and counts.any()
    most = np.asarray(controls.X.todense() if hasattr(controls.X, "todense") else controls.X).max()
    assert counts.max() < 5 * most  # a filled gene does not make counts of other genes large
    challenge = anndata.read_h5ad(out / "vcc2026.h5ad")
    assert dict(challenge.obs["target_gene"].value_counts()) == {"TP53": 400, "MYC": 400}
    assert main([*words, "--counts", "--no-cells", "--out", str(tmp_path / "other")]) == 1
    assert "there are no cells to count" in capsys.readouterr().err
