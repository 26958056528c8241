"""Splits by lists: followed to the letter, or refused by name."""

import json

import pytest
from split_cases import LIMITS, combination, grid, having, listed, store

from ptrag.base.errors import PtragError
from ptrag.splits.protocols import draw_split, read_split, write_split


def test_lists_are_followed_to_the_letter(tmp_path):
    spec = listed(tmp_path, {"line0": {"val": ["G03"], "test": ["G01", "G02"]}, "line1": {}})
    table = draw_split(grid(), spec, LIMITS, "s")
    assert having(table, "val") == {("line0", "G03")}
    assert having(table, "test") == {("line0", "G01"), ("line0", "G02")}


def test_listed_gene_that_is_not_measured_is_named_or_counted(tmp_path):
    spec = listed(tmp_path, {"line0": {"val": ["G03"], "test": ["G01", "GX1"]}})
    with pytest.raises(PtragError, match="'GX1' is listed but not in the data of line0"):
        draw_split(grid(), spec, LIMITS, "s")
    spec["missing"] = "drop"
    table = draw_split(grid(), spec, LIMITS, "s")
    write_split(table, spec, tmp_path / "split.tsv")
    facts = json.loads((tmp_path / "split.json").read_text())
    assert facts["dropped"] == {"GX1": "listed but not in the data of line0"}
    assert facts["counts"]["test"] == 1


def test_listed_gene_trained_nowhere_else_is_excluded_and_never_trained_on(tmp_path):
    cells = {"line0": {f"G0{i}": 50 for i in range(5)}, "line1": {f"G0{i}": 50 for i in range(4)}}
    lists = {"line0": {"val": ["G00"], "test": ["G01", "G04"]}}
    spec = listed(tmp_path, lists, missing="drop")
    table = draw_split(store(cells), spec, LIMITS, "s")
    assert having(table, "excluded") == {("line0", "G04")}
    assert "no other line" in table.attrs["dropped"]["G04"]


def test_lists_of_the_whole_screen_serve_unseen_perturbation(tmp_path):
    lists = {"val": ["G03"], "test": ["G01"]}
    spec = listed(tmp_path, lists, protocol="unseen_perturbation")
    del spec["target"]
    table = draw_split(grid(), spec, LIMITS, "s")
    assert len(having(table, "test")) == 3


def test_lists_with_a_gene_twice_or_no_such_line_are_refused(tmp_path):
    with pytest.raises(PtragError, match="'G01' is in val and in test"):
        lists = {"line0": {"val": ["G01"], "test": ["G01"]}}
        draw_split(grid(), listed(tmp_path, lists), LIMITS, "s")
    with pytest.raises(PtragError, match="no lists for line 'line0'"):
        draw_split(grid(), listed(tmp_path, {"lineO": {}}), LIMITS, "s")
    with pytest.raises(PtragError, match="no file"):
        draw_split(grid(), combination(fractions=None, lists="nowhere.json"), LIMITS, "s")


def test_lists_of_an_unseen_line_leave_the_rest_of_it_out(tmp_path):
    lists = {"line0": {"val": ["G03"], "test": ["G01", "G02"]}}
    spec = listed(tmp_path, lists, protocol="unseen_line")
    table = draw_split(grid(), spec, LIMITS, "s")
    assert having(table, "test") == {("line0", "G01"), ("line0", "G02")}
    assert len(having(table, "excluded")) == 17
    assert set(table["reason"][table["role"] == "excluded"]) == {"not listed"}


def test_a_line_is_the_target_in_any_spelling(tmp_path):
    lists = {"RPE1 ": {"val": ["A"], "test": ["B"]}}
    (tmp_path / "lists.json").write_text("\ufeff" + json.dumps(lists))
    screen = store({name: dict.fromkeys("ABCD", 9) for name in ("k562", "rpe1")})
    spec = {"protocol": "unseen_combination", "target": "Rpe1"}
    limits = {"min_cells": 2, "min_controls": 2}
    table = draw_split(screen, spec | {"lists": str(tmp_path / "lists.json")}, limits, "x")
    write_split(table, spec, tmp_path / "split.tsv")
    split = read_split(tmp_path / "split.tsv")
    assert split.target == "rpe1"
    assert split.pairs("val") == [("rpe1", "A")] and split.pairs("test") == [("rpe1", "B")]


def test_the_papers_lists_are_whole(root):
    lists = json.loads((root / "resources/paper_splits.json").read_text())
    assert sorted(lists) == ["hepg2", "jurkat", "k562", "rpe1"]
    for held in lists.values():
        assert (len(set(held["val"])), len(set(held["test"]))) == (104, 624)
        assert not set(held["val"]) & set(held["test"])
