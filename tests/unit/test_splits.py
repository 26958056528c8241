import json
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptrag.base.errors import PtragError
from ptrag.base.names import CONTROL
from ptrag.splits.protocols import ROLES, draw_split, read_split, write_split

FRACTIONS = {"val": 0.1, "test": 0.4}


def store(cells):
    """A stand-in for CellStore: {line: {perturbation: number of cells}}."""
    pairs = [
        (line, name, n)
        for line, counts in sorted(cells.items())
        for name, n in sorted(({CONTROL: 100} | counts).items())
    ]
    table = pd.DataFrame(pairs, columns=["cell_line", "perturbation", "n_cells"])
    return SimpleNamespace(lines=sorted(cells), pairs=table)


def grid(lines=3, genes=20, n=50):
    return store({f"line{i}": {f"G{j:02d}": n for j in range(genes)} for i in range(lines)})


def combination(**more):
    return {"protocol": "unseen_combination", "target": "line0", "fractions": FRACTIONS, **more}


def perturbation(**more):
    return {"protocol": "unseen_perturbation", "fractions": FRACTIONS, **more}


def having(table, role):
    rows = table[table["role"] == role]
    return set(zip(rows["cell_line"], rows["perturbation"], strict=True))


def names(table, role):
    return {name for _, name in having(table, role)}


def test_combination_holds_out_in_the_target_only():
    table = draw_split(grid(), combination(seed=1), {"min_cells": 20, "min_controls": 2}, "s")
    assert {line for line, _ in having(table, "val") | having(table, "test")} == {"line0"}
    assert len(having(table, "val")) == 2
    assert len(having(table, "test")) == 8
    # every held-out perturbation is trained on elsewhere
    assert names(table, "val") | names(table, "test") <= names(table, "train")
    assert len(having(table, "control")) == 3


def test_perturbation_holds_out_everywhere():
    table = draw_split(grid(), perturbation(seed=1), {"min_cells": 20, "min_controls": 2}, "s")
    held = names(table, "val") | names(table, "test")
    assert len(having(table, "test")) == 8 * 3
    assert not held & names(table, "train")


@given(
    st.dictionaries(
        st.sampled_from([f"G{i}" for i in range(12)]),
        st.lists(st.integers(1, 60), min_size=3, max_size=3),
        min_size=8,
    ),
    st.integers(0, 99),
    st.sampled_from(["unseen_combination", "unseen_perturbation"]),
)
def test_contract_holds_for_any_screen(counts, seed, protocol):
    screen = store({f"line{i}": {g: n[i] for g, n in counts.items()} for i in range(3)})
    spec = {"protocol": protocol, "fractions": FRACTIONS, "seed": seed}
    if protocol == "unseen_combination":
        spec["target"] = "line0"
    try:
        table = draw_split(screen, spec, {"min_cells": 20, "min_controls": 2}, "s")
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
    assert held <= trained if protocol == "unseen_combination" else not held & trained


def test_same_seed_same_split_and_another_seed_another():
    draw = [
        draw_split(grid(), combination(seed=s), {"min_cells": 20, "min_controls": 2}, "s")
        for s in (1, 1, 2)
    ]
    assert draw[0].equals(draw[1])
    assert names(draw[0], "test") != names(draw[2], "test")


def test_perturbations_without_a_second_line_are_never_held_out():
    cells = {"line0": {f"G{i}": 50 for i in range(10)}, "line1": {f"G{i}": 50 for i in range(5)}}
    table = draw_split(store(cells), combination(seed=3), {"min_cells": 20, "min_controls": 2}, "s")
    assert names(table, "val") | names(table, "test") <= {f"G{i}" for i in range(5)}


def test_small_pairs_are_excluded_with_the_reason():
    screen = store({"a": {"G1": 19, "G2": 20, "G3": 50, "G4": 50}})
    table = draw_split(
        screen, perturbation(fractions={"test": 0.4}), {"min_cells": 20, "min_controls": 2}, "s"
    )
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
    ],
)
def test_mistakes_are_one_line_that_names_the_split(spec, said):
    with pytest.raises(PtragError, match="split 's'") as error:
        draw_split(grid(), spec, {"min_cells": 20, "min_controls": 2}, "s")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_too_few_perturbations_or_lines_is_an_error():
    with pytest.raises(PtragError, match="too few"):
        draw_split(grid(genes=1), combination(), {"min_cells": 20, "min_controls": 2}, "s")
    with pytest.raises(PtragError, match="0 perturbations can be held out"):
        draw_split(grid(), combination(), {"min_cells": 51, "min_controls": 2}, "s")
    with pytest.raises(PtragError, match="at least two cell lines"):
        draw_split(grid(lines=1), combination(), {"min_cells": 20, "min_controls": 2}, "s")


@pytest.fixture
def lists(tmp_path):
    def write(content):
        path = tmp_path / "lists.json"
        path.write_text(json.dumps(content))
        return {"protocol": "unseen_combination", "target": "line0", "lists": str(path)}

    return write


def test_lists_are_followed_to_the_letter(lists):
    spec = lists({"line0": {"val": ["G03"], "test": ["G01", "G02"]}, "line1": {}})
    table = draw_split(grid(), spec, {"min_cells": 20, "min_controls": 2}, "s")
    assert having(table, "val") == {("line0", "G03")}
    assert having(table, "test") == {("line0", "G01"), ("line0", "G02")}


def test_listed_gene_that_is_not_measured_is_named_or_counted(lists, tmp_path):
    spec = lists({"line0": {"val": ["G03"], "test": ["G01", "GX1"]}})
    with pytest.raises(PtragError, match="'GX1' is listed but not in the data of line0"):
        draw_split(grid(), spec, {"min_cells": 20, "min_controls": 2}, "s")
    spec["missing"] = "drop"
    table = draw_split(grid(), spec, {"min_cells": 20, "min_controls": 2}, "s")
    write_split(table, spec, tmp_path / "split.tsv")
    facts = json.loads((tmp_path / "split.json").read_text())
    assert facts["dropped"] == {"GX1": "listed but not in the data of line0"}
    assert facts["counts"]["test"] == 1


def test_listed_gene_trained_nowhere_else_is_excluded_and_never_trained_on(lists):
    cells = {"line0": {f"G0{i}": 50 for i in range(5)}, "line1": {f"G0{i}": 50 for i in range(4)}}
    spec = lists({"line0": {"val": ["G00"], "test": ["G01", "G04"]}}) | {"missing": "drop"}
    table = draw_split(store(cells), spec, {"min_cells": 20, "min_controls": 2}, "s")
    assert having(table, "excluded") == {("line0", "G04")}
    assert "no other line" in table.attrs["dropped"]["G04"]


def test_lists_of_the_whole_screen_serve_unseen_perturbation(lists):
    spec = lists({"val": ["G03"], "test": ["G01"]}) | {"protocol": "unseen_perturbation"}
    del spec["target"]
    table = draw_split(grid(), spec, {"min_cells": 20, "min_controls": 2}, "s")
    assert len(having(table, "test")) == 3


def test_lists_with_a_gene_twice_or_no_such_line_are_refused(lists):
    with pytest.raises(PtragError, match="'G01' is in val and in test"):
        draw_split(
            grid(),
            lists({"line0": {"val": ["G01"], "test": ["G01"]}}),
            {"min_cells": 20, "min_controls": 2},
            "s",
        )
    with pytest.raises(PtragError, match="no lists for line 'line0'"):
        draw_split(grid(), lists({"lineO": {}}), {"min_cells": 20, "min_controls": 2}, "s")
    with pytest.raises(PtragError, match="no file"):
        draw_split(
            grid(),
            {**lists({}), "lists": "nowhere.json"},
            {"min_cells": 20, "min_controls": 2},
            "s",
        )


def test_the_papers_lists_are_whole(root):
    lists = json.loads((root / "resources/paper_splits.json").read_text())
    assert sorted(lists) == ["hepg2", "jurkat", "k562", "rpe1"]
    for held in lists.values():
        assert (len(set(held["val"])), len(set(held["test"]))) == (104, 624)
        assert not set(held["val"]) & set(held["test"])


def test_round_trip_and_a_changed_table_is_refused(tmp_path):
    spec = perturbation(seed=4)
    table = draw_split(grid(), spec, {"min_cells": 20, "min_controls": 2}, "s")
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


def test_names_held_out_in_one_line_may_be_candidates(tmp_path):
    spec = combination(seed=4)
    write_split(
        draw_split(grid(), spec, {"min_cells": 20, "min_controls": 2}, "s"),
        spec,
        tmp_path / "split.tsv",
    )
    assert read_split(tmp_path / "split.tsv").held_out_perturbations == set()
