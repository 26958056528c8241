"""Arguments of the command: a number out of its bounds or a path that can't be is one line."""

import pytest

from ptrag.cli import main

EVALUATE = ["evaluate", "real.h5ad", "pred.h5ad", "--out", "m.tsv"]
PREDICT = ["predict", "bundle", "controls.h5ad", "--perturbations", "TP53", "--out", "p.h5ad"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*EVALUATE, "--n-pcs", "0"], "argument --n-pcs: 0 is too small"),
        ([*EVALUATE, "--n-pcs", "-3"], "argument --n-pcs: -3 is too small"),
        ([*EVALUATE, "--n-pcs", "2.5"], "argument --n-pcs: '2.5' is no whole number"),
        ([*EVALUATE, "--deg-alpha", "2"], "argument --deg-alpha: 2 is not between 0 and 1"),
        ([*EVALUATE, "--deg-alpha", "0"], "argument --deg-alpha: 0 is not between 0 and 1"),
        ([*EVALUATE, "--deg-alpha", "nan"], "argument --deg-alpha: nan is not between"),
        ([*EVALUATE, "--max-degs", "0"], "argument --max-degs: 0 is too small"),
        ([*EVALUATE, "--deg-test", "t"], "invalid choice: 't'"),
        ([*EVALUATE, "--control", " "], "argument --control: is empty"),
        ([*EVALUATE, "--out", "."], "argument --out: . is a folder; name a file in it"),
        ([*EVALUATE, "--out", "real.h5ad/m.tsv"], "is no folder"),
        ([*EVALUATE, "--bogus"], "unrecognized arguments: --bogus"),
        ([*PREDICT, "--cells", "0"], "argument --cells: 0 is too small"),
        ([*PREDICT, "--out", "real.h5ad"], "argument --out: real.h5ad is a file; name a folder"),
        (["predict"], "the following arguments are required"),
        ([], "required: COMMAND"),
    ],
)
def test_a_fault_is_one_line(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real.h5ad").write_bytes(b"x")
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    printed = capsys.readouterr().err
    assert caught.value.code == 2
    assert words in printed
    assert printed.startswith("error: ") and len(printed.splitlines()) == 1


def test_what_is_read_is_not_written_over(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real.h5ad").write_bytes(b"x")
    assert main([*EVALUATE[:-1], "real.h5ad"]) == 1
    assert "--out: real.h5ad is real.h5ad, which is read" in capsys.readouterr().err
    assert (tmp_path / "real.h5ad").read_bytes() == b"x"
