"""Perturbations are held out by the genes that they are, however they are spelt."""

import pytest
from split_cases import LIMITS, having, listed, names, perturbation, store

from ptrag.genes.symbols import GENE_TEXT, Gene, Symbols
from ptrag.splits.identity import joined_targets, target_genes
from ptrag.splits.protocols import draw_split


def symbols():
    genes = [("STAT1", ("OLD1",)), ("JAK2", ()), ("ZAP70", ())]
    return Symbols({name: Gene(name, alias, "", (), (), ()) for name, alias in genes})


def test_a_perturbation_is_the_set_of_its_current_symbols():
    table = symbols()
    assert target_genes("old1+Jak2", table) == {"STAT1", "JAK2"}
    assert joined_targets("JAK2+STAT1", table) == joined_targets("stat1+jak2", table)
    assert joined_targets("stat1+control", table) == joined_targets(" STAT1", table)
    assert target_genes("AAVS1", Symbols.read(GENE_TEXT)) == {
        "AAVS1"
    }  # PPP1R12C has it as an alias
    assert joined_targets("mystery") == "MYSTERY"


@pytest.mark.parametrize("protocol", ["unseen_combination", "unseen_perturbation"])
def test_two_labels_of_one_gene_are_held_out_together(tmp_path, protocol):
    screen = store(
        {"line0": {"STAT1": 50, "OLD1": 50, "JAK2": 50}, "line1": {"stat1": 50, "JAK2": 50}}
    )
    held = {"test": ["STAT1"]}
    spec = listed(tmp_path, {"line0": held} | held, protocol=protocol)
    if protocol == "unseen_perturbation":
        spec = listed(tmp_path, held, protocol=protocol)
        del spec["target"]
    table = draw_split(screen, spec, LIMITS, "s", symbols())
    lines = ["line0"] if protocol == "unseen_combination" else ["line0", "line1"]
    assert {pair for pair in having(table, "train") if pair[0] in lines} == {
        (own, "JAK2") for own in lines
    }
    assert {("line0", "STAT1"), ("line0", "OLD1")} <= having(table, "test")


def test_a_draw_counts_two_labels_of_one_gene_once():
    counts = {"STAT1": 50, "OLD1": 50, "JAK2": 50, "ZAP70": 50}
    spec = perturbation(fractions={"test": 0.34})
    for seed in range(6):
        table = draw_split(store({"x": counts}), spec | {"seed": seed}, LIMITS, "s", symbols())
        assert len({target_genes(n, symbols()) for n in names(table, "test")}) == 1
        assert not {target_genes(n, symbols()) for n in names(table, "test")} & {
            target_genes(n, symbols()) for n in names(table, "train")
        }


def test_a_double_that_contains_a_held_out_gene_is_not_trained_on_unless_the_split_says_so(
    tmp_path,
):
    counts = dict.fromkeys(["A", "B", "C", "b+A", "B+C"], 50)
    spec = listed(tmp_path, {"val": ["B"], "test": ["A"]}, protocol="unseen_perturbation")
    del spec["target"]
    table = draw_split(store({"x": counts}), spec, LIMITS, "s")
    assert names(table, "train") == {"C"}
    assert set(table["reason"]) == {"", "contains a held-out perturbation"}
    table = draw_split(store({"x": counts}), spec | {"doubles": "train"}, LIMITS, "s")
    assert names(table, "train") == {"C", "b+A", "B+C"}
