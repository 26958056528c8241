"""Splits that are drawn: each protocol, any screen, mistakes, the file."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from split_cases import (
    FRACTIONS,
    LIMITS,
    combination,
    double,
    grid,
    having,
    line,
    names,
    perturbation,
    store,
)

from ptrag.base.errors import PtragError
from ptrag.base.names import CONTROL
from ptrag.schema import read_schema
from ptrag.simulate.knobs import KINDS
from ptrag.splits.protocols import (
    IN_EVERY_LINE,
    PROTOCOLS,
    ROLES,
    RULES,
    draw_split,
    read_split,
    write_split,
)


def test_combination_holds_out_in_the_target_only():
    table = draw_split(grid(), combination(seed=1), LIMITS, "s")
    assert {line for line, _ in having(table, "val") | having(table, "test")} == {"line0"}
    assert len(having(table, "val")) == 2
    assert len(having(table, "test")) == 8
    # every held-out perturbation is trained on elsewhere
    assert names(table, "val") | names(table, "test") <= names(table, "train")
    assert len(having(table, "control")) == 3


def test_perturbation_holds_out_everywhere():
    table = draw_split(grid(), perturbation(seed=1), LIMITS, "s")
    held = names(table, "val") | names(table, "test")
    assert len(having(table, "test")) == 8 * 3
    assert not held & names(table, "train")


@given(
    st.dictionaries(
        st.sampled_from([f"G{i}" for i in range(6)] + [f"G{i}+G{i + 1}" for i in range(6)]),
        st.lists(st.integers(1, 60), min_size=3, max_size=3),
        min_size=8,
    ),
    st.integers(0, 99),
    st.sampled_from(PROTOCOLS),
)
def test_contract_holds_for_any_screen(counts, seed, protocol):
    screen = store({f"line{i}": {g: n[i] for g, n in counts.items()} for i in range(3)})
    spec = {"protocol": protocol, "fractions": FRACTIONS, "seed": seed}
    if protocol not in IN_EVERY_LINE:
        spec["target"] = "line0"
    if protocol == "unseen_line":
        spec["fractions"] = {"val": 0.2}
    try:
        table = draw_split(screen, spec, LIMITS, "s")
    except PtragError:
        return
    # one row per pair, one known role each, and reasons just where excluded
    assert list(table["n_cells"]) == list(screen.pairs["n_cells"])
    assert set(table["role"]) <= set(ROLES)
    assert ((table["role"] == "excluded") == (table["reason"] != "")).all()
    used = table[table["role"].isin(["train", "val", "test"])]
    assert (used["n_cells"] >= 20).all()
    assert ((table["role"] == "control") == (table["perturbation"] == CONTROL)).all()
    assert not names(table, "val") & names(table, "test")
    held = names(table, "val") | names(table, "test")
    trained = names(table, "train")
    assert not held & trained if protocol in IN_EVERY_LINE else held <= trained
    if protocol in IN_EVERY_LINE:
        closed = [set(name.split("+")) for name in held]
        assert not any(genes < set(name.split("+")) for name in trained for genes in closed)
    if protocol == "unseen_line":
        assert "line0" not in {line for line, _ in having(table, "train")}
    if protocol == "unseen_double":
        assert all("+" in name for name in held)
    doubles = table[table["singles"].notna()]
    assert set(doubles["perturbation"]) == {n for n in table["perturbation"] if "+" in n}
    for name, singles in zip(doubles["perturbation"], doubles["singles"], strict=True):
        assert singles == sum(gene in trained for gene in name.split("+"))


def test_same_seed_same_split_and_another_seed_another():
    draw = [draw_split(grid(), combination(seed=s), LIMITS, "s") for s in (1, 1, 2)]
    assert draw[0].equals(draw[1])
    assert names(draw[0], "test") != names(draw[2], "test")


def test_perturbations_without_a_second_line_are_never_held_out():
    cells = {"line0": {f"G{i}": 50 for i in range(10)}, "line1": {f"G{i}": 50 for i in range(5)}}
    table = draw_split(store(cells), combination(seed=3), LIMITS, "s")
    assert names(table, "val") | names(table, "test") <= {f"G{i}" for i in range(5)}


def test_nothing_is_validated_where_no_share_is_given_for_it():
    for spec in (line(fractions={"val": 0.0}), combination(fractions={"val": 0.0, "test": 0.4})):
        table = draw_split(grid(), spec, LIMITS, "s")
        assert not having(table, "val")
        assert having(table, "test")


def test_small_pairs_are_excluded_with_the_reason():
    screen = store({"a": {"G1": 19, "G2": 20, "G3": 50, "G4": 50}})
    table = draw_split(screen, perturbation(fractions={"test": 0.4}), LIMITS, "s")
    assert having(table, "excluded") == {("a", "G1")}
    assert set(table["reason"]) == {"", "fewer than 20 cells"}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (combination(target="lin0"), "did you mean 'line0'"),
        (combination(protocol="unseen_combinaton"), "did you mean 'unseen_combination'"),
        (combination(fractions={"val": 0.5, "test": 0.5}), "less than 1"),
        (combination(fractions={"val": 0.5}), "fractions"),
        (combination(fractions=None), "either `fractions` or `lists`"),
        (combination(lists="x.json"), "either `fractions` or `lists`"),
        (perturbation(target="line0"), "remove target"),
        (line(target="lin0"), "did you mean 'line0'"),
        (line(fractions=FRACTIONS), "give fractions.val alone"),
        (double(target="line0"), "unseen_double holds out in every line; remove target"),
        (double(), "only 0 doubles can be held out"),
        (perturbation(withheld_singles=0.5), "withheld_singles belongs to unseen_double"),
    ],
)
def test_mistakes_are_one_line_that_names_the_split(spec, said):
    with pytest.raises(PtragError, match="split 's'") as error:
        draw_split(grid(), spec, LIMITS, "s")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_too_few_perturbations_or_lines_is_an_error():
    with pytest.raises(PtragError, match="too few"):
        draw_split(grid(genes=1), combination(), LIMITS, "s")
    with pytest.raises(PtragError, match="0 perturbations can be held out"):
        draw_split(grid(), combination(), {"min_cells": 51, "min_controls": 2}, "s")
    with pytest.raises(PtragError, match="at least two cell lines"):
        draw_split(grid(lines=1), combination(), LIMITS, "s")


def test_round_trip_and_a_changed_table_is_refused(tmp_path):
    spec = perturbation(seed=4)
    table = draw_split(grid(), spec, LIMITS, "s")
    for folder in ("a", "b"):
        write_split(table, spec, tmp_path / folder / "split.tsv")
    for name in ("split.tsv", "split.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    path = tmp_path / "a" / "split.tsv"
    split = read_split(path)
    assert (split.protocol, split.target) == ("unseen_perturbation", None)
    assert set(split.pairs("test")) == having(table, "test")
    assert split.held_out_perturbations == names(table, "val") | names(table, "test")
    path.write_text(path.read_text().replace("test", "train", 1))
    with pytest.raises(PtragError, match="changed after it was drawn"):
        read_split(path)


def test_an_unseen_line_has_no_training_pair_and_few_of_its_pairs_validate():
    table = draw_split(grid(), line(seed=1), LIMITS, "s")
    assert {own for own, _ in having(table, "train")} == {"line1", "line2"}
    assert len(having(table, "val")) == 4
    assert len(having(table, "test")) == 16
    assert {own for own, _ in having(table, "val") | having(table, "test")} == {"line0"}
    assert names(table, "val") | names(table, "test") == names(table, "train")
    assert ("line0", CONTROL) in having(table, "control")


def test_what_an_unseen_line_has_alone_is_excluded_with_the_reason():
    counts = {f"G{i}": 50 for i in range(6)}
    screen = store({"line0": counts | {"ALONE": 50, "FEW": 50}, "line1": counts | {"FEW": 3}})
    table = draw_split(screen, line(), LIMITS, "s")
    assert having(table, "excluded") == {("line0", "ALONE"), ("line0", "FEW"), ("line1", "FEW")}
    reasons = table.set_index(["cell_line", "perturbation"])["reason"]
    assert reasons["line0", "ALONE"] == reasons["line0", "FEW"] == "trained on in no other line"
    assert reasons["line1", "FEW"] == "fewer than 20 cells"


def screen_with_doubles():
    """Two lines with eight singles and all 28 doubles of them; H and I have no single."""
    singles = [f"G{i}" for i in range(8)]
    doubles = [f"{a}+{b}" for i, a in enumerate(singles) for b in singles[i + 1 :]]
    counts = dict.fromkeys([*singles, *doubles, "G0+H", "H+I"], 50)
    return store({"line0": counts, "line1": counts})


def test_doubles_are_held_out_everywhere_and_told_apart_by_their_singles(tmp_path):
    spec = double(seed=3, fractions={"val": 0.2, "test": 0.7})
    table = draw_split(screen_with_doubles(), spec, LIMITS, "s")
    held = names(table, "val") | names(table, "test")
    assert (len(names(table, "val")), len(names(table, "test"))) == (6, 21)
    assert all("+" in name for name in held)
    assert not held & names(table, "train")
    assert {f"G{i}" for i in range(8)} <= names(table, "train")
    singles = dict(zip(table["perturbation"], table["singles"], strict=True))
    assert (singles["G0+G1"], singles["G0+H"], singles["H+I"]) == (2, 1, 0)
    assert singles["G0"] is pd.NA
    write_split(table, spec, tmp_path / "split.tsv")
    facts = json.loads((tmp_path / "split.json").read_text())["singles"]
    tested = table[table["role"] == "test"]
    assert facts["test"] == {str(n): int((tested["singles"] == n).sum()) for n in (0, 1, 2) if
                             (tested["singles"] == n).any()}  # fmt: skip
    again = read_split(tmp_path / "split.tsv")
    assert again.table["singles"].equals(table["singles"])
    assert again.held_out_perturbations == held


def test_withheld_singles_leave_doubles_with_one_single_or_none():
    spec = double(seed=3, withheld_singles=0.5)
    table = draw_split(screen_with_doubles(), spec, LIMITS, "s")
    out = table[table["reason"].str.contains("withheld")]
    genes = {g for name in names(table, "val") | names(table, "test") for g in name.split("+")}
    drawn = set(out["perturbation"])
    assert drawn <= genes
    # half of the genes, of which H and I have no single to withhold
    assert round(0.5 * len(genes)) - 2 <= len(drawn) <= round(0.5 * len(genes))
    assert not drawn & names(table, "train")
    tested = table[table["role"] == "test"]
    for name, singles in zip(tested["perturbation"], tested["singles"], strict=True):
        assert singles == len(set(name.split("+")) - drawn - {"H", "I"})
    assert draw_split(screen_with_doubles(), spec, LIMITS, "s").equals(table)


def test_the_schema_knows_every_protocol_and_rule(root):
    schema = read_schema(root / "workflow/schemas/config.schema.yaml")["$defs"]
    split = schema["split"]["properties"]
    assert set(split["protocol"]["enum"]) == set(PROTOCOLS)
    assert all(default in split[rule]["enum"] for rule, default in RULES.items())
    kinds = schema["dataset"]["properties"]["simulate"]["properties"]["kind"]["enum"]
    assert kinds == list(KINDS)


def test_the_rules_on_leaks_are_kept_with_the_split(tmp_path):
    spec = perturbation(seed=4, same_vector="report")
    write_split(draw_split(grid(), spec, LIMITS, "s"), spec, tmp_path / "split.tsv")
    split = read_split(tmp_path / "split.tsv")
    assert (split.doubles, split.same_vector) == ("exclude", "report")


def test_names_held_out_in_one_line_may_be_candidates(tmp_path):
    spec = combination(seed=4)
    write_split(
        draw_split(grid(), spec, LIMITS, "s"),
        spec,
        tmp_path / "split.tsv",
    )
    assert read_split(tmp_path / "split.tsv").held_out_perturbations == set()
