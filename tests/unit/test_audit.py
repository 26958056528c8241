import hashlib

import numpy as np
import pandas as pd
import pytest
from small_screen import make_split, make_store

from ptrag.base.errors import PtragError
from ptrag.genes.embeddings import Embedding
from ptrag.prediction.fit_split import predict_closed_forms
from ptrag.splits.leakage import SAME_VECTOR, audit_index, audit_responses, key_hash
from ptrag.splits.protocols import Split

ROWS = [
    ("a", "A", "train"), ("b", "A", "train"), ("a", "B", "train"), ("b", "B", "train"),
    ("a", "T", "test"), ("b", "T", "test"), ("a", "V", "val"), ("b", "V", "val"),
    ("a", "control", "control"), ("b", "control", "control"), ("a", "X", "excluded"),
]  # fmt: skip
NAMES = ["A", "B", "T", "V", "X", "ALIEN", "control", "t", "B+T", "T+V", "OLD"]


def split(rows=ROWS, protocol="unseen_perturbation", target=None, **rules):
    table = pd.DataFrame(rows, columns=["cell_line", "perturbation", "role"])
    return Split(table.assign(n_cells=50, reason=""), protocol, target, "0" * 64, **rules)


def embedding(vectors=None):
    """One vector per name, all different unless given."""
    vectors = np.eye(len(NAMES)) if vectors is None else vectors
    coverage = pd.DataFrame({"perturbation": NAMES, "level": "exact", "detail": ""})
    return Embedding(NAMES, np.asarray(vectors, np.float32), coverage)


def entries(*pairs):
    return pd.DataFrame(pairs, columns=["cell_line", "perturbation"])


TRAINED = [("a", "A"), ("b", "A"), ("a", "B"), ("b", "B")]


# --- indices -----------------------------------------------------------------------------


def test_a_clean_index_passes_with_counts_and_hashes_by_role():
    report = audit_index(split(), ["A", "B"], embedding(), [("A", "B"), ("T", "A")])
    assert all(check["passed"] and not check["offenders"] for check in report["checks"])
    test = report["roles"]["test"]
    assert (test["pairs"], test["perturbations"]) == (2, 1)
    assert test["perturbations_sha256"] == hashlib.sha256(b"T").hexdigest()
    assert test["pairs_sha256"] == hashlib.sha256(b"a\tT\nb\tT").hexdigest()
    assert report["indexed"] == {"n": 2, "sha256": key_hash(["B", "A"]), "keys": ["A", "B"]}


@pytest.mark.parametrize(
    ("indexed", "neighbours", "leak"),
    [
        (["A", "T"], [], "no held-out perturbation is indexed: T"),
        (["A", "V"], [], "no held-out perturbation is indexed: V"),
        (["A", "t"], [], "no held-out perturbation is indexed: t"),
        (["A", "B+T"], [], r"nothing that contains a held-out perturbation is indexed: B\+T"),
        (["A", "X"], [], "every indexed perturbation has a training pair: X"),
        (["A", "ALIEN"], [], "every indexed perturbation has a training pair: ALIEN"),
        (["A", "control"], [], "control is not indexed|training pair: control"),
        (["A", "A"], [], "no key is indexed twice: A"),
        (["A", "B"], [("A", "T")], "every neighbour is indexed: T"),
        (["A", "B"], [("B", "B")], "its own neighbour: B"),
    ],
)
def test_planted_leaks_stop_the_build(indexed, neighbours, leak):
    with pytest.raises(PtragError, match=leak):
        audit_index(split(), indexed, embedding(), neighbours)


def test_an_alias_that_the_split_resolved_is_a_leak():
    table = split([*ROWS, ("b", "OLD", "train")]).table
    targets = table["perturbation"].replace({"OLD": "T", "control": ""})
    leaky = Split(table.assign(targets=targets), "unseen_perturbation", None)
    with pytest.raises(PtragError, match="no held-out perturbation is indexed: OLD"):
        audit_index(leaky, ["A", "OLD"], embedding())


def test_a_held_out_double_in_any_order_and_what_contains_it_is_a_leak():
    rows = [("a", "A", "train"), ("a", "T+V", "test"), ("a", "V+T", "train")]
    with pytest.raises(PtragError, match=r"no held-out perturbation is measured: V\+T"):
        audit_responses(
            split([*rows, ("b", "V+T", "train")], "unseen_double"), entries(("b", "V+T"))
        )
    rows = [("a", "A", "train"), ("a", "T+V", "test"), ("a", "A+T+V", "train")]
    with pytest.raises(PtragError, match=r"contains a held-out perturbation is measured: A\+T\+V"):
        audit_responses(split(rows, "unseen_double"), entries(("a", "A+T+V")))


def test_doubles_of_a_held_out_gene_pass_where_the_split_trains_on_them():
    rows = [*ROWS, ("a", "B+T", "train")]
    trained = split(rows, doubles="train")
    audit_index(trained, ["A", "B+T"], embedding())
    audit_responses(trained, entries(("a", "A"), ("a", "B+T")))
    with pytest.raises(PtragError, match=r"is measured: B\+T"):
        audit_responses(split(rows), entries(("a", "A"), ("a", "B+T")))


def test_a_held_out_gene_with_the_vector_of_an_indexed_one_fails_or_is_reported():
    vectors = np.eye(len(NAMES))
    vectors[NAMES.index("T")] = 3 * vectors[NAMES.index("B")]  # its length does not matter
    with pytest.raises(PtragError, match=r"vector of an indexed one: T = B .*same_vector: report"):
        audit_index(split(), ["A", "B"], embedding(vectors))
    report = audit_index(split(same_vector="report"), ["A", "B"], embedding(vectors))
    (failed,) = (check for check in report["checks"] if not check["passed"])
    assert failed == {
        "check": SAME_VECTOR, "passed": False, "allowed": True, "offenders": ["T = B"],
    }  # fmt: skip
    audit_index(split(), ["A"], embedding(vectors))  # B is not indexed


def test_a_pair_in_two_roles_is_refused():
    with pytest.raises(PtragError, match="no pair has two roles: a/A"):
        audit_index(
            split([*ROWS, ("a", "A", "test")], "unseen_combination", "a"), ["A", "B"], embedding()
        )


def test_a_name_held_out_in_the_target_alone_may_be_indexed_if_trained_elsewhere():
    rows = [("a", "A", "train"), ("b", "A", "test"), ("a", "B", "train"), ("b", "T", "test")]
    combination = split(rows, "unseen_combination", "b")
    audit_index(combination, ["A", "B"], embedding())
    with pytest.raises(PtragError, match="training pair: T"):
        audit_index(combination, ["A", "T"], embedding())


# --- measured responses ------------------------------------------------------------------


def test_clean_responses_pass_with_their_number_and_hash():
    report = audit_responses(split(), entries(*TRAINED))
    assert all(check["passed"] for check in report["checks"])
    lines = b"a\tA\na\tB\nb\tA\nb\tB"
    assert report["entries"] == {
        "n": 4, "sha256": hashlib.sha256(lines).hexdigest(), "lines": {"a": 2, "b": 2},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "leak"),
    [
        (("a", "T"), "no entry is a val or test pair: a/T"),
        (("b", "V"), "no entry is a val or test pair: b/V"),
        (("a", "t"), "no entry is a val or test pair: a/t"),
        (("c", "T"), "every entry is a training pair: c/T"),
        (("a", "X"), "every entry is a training pair: a/X"),
        (("a", "B+T"), "every entry is a training pair: a/B"),
        (("a", "control"), "every entry is a training pair: a/control"),
        (("a", "A"), "no pair is entered twice: a/A"),
    ],
)
def test_planted_entries_stop_the_build(entry, leak):
    with pytest.raises(PtragError, match=leak):
        audit_responses(split(), entries(*TRAINED, entry))


def test_a_held_out_perturbation_that_the_split_itself_trains_on_elsewhere_is_a_leak():
    wrong = split([*ROWS, ("c", "T", "train")])
    with pytest.raises(PtragError, match="no held-out perturbation is measured: T"):
        audit_responses(wrong, entries(*TRAINED, ("c", "T")))


def test_under_unseen_line_no_entry_of_the_target_line_may_be_there():
    rows = [("a", "A", "train"), ("b", "A", "test"), ("a", "B", "train"), ("b", "B", "train")]
    with pytest.raises(PtragError, match="controls alone are known: b/B"):
        audit_responses(split(rows, "unseen_line", "b"), entries(("a", "A"), ("b", "B")))
    audit_responses(split(rows, "unseen_combination", "b"), entries(("a", "A"), ("b", "B")))


def test_closed_forms_learn_from_audited_responses_alone(tmp_path):
    store, honest = make_store(tmp_path / "cells.h5ad"), make_split()
    report = predict_closed_forms(store, honest, [], 4, 4)
    assert report["entries"]["n"] == len(honest.pairs("train"))
    table = honest.table.copy()
    table.loc[(table["perturbation"] == "F") & (table["cell_line"] == "k562"), "role"] = "train"
    with pytest.raises(PtragError, match="no held-out perturbation is measured: F"):
        predict_closed_forms(store, Split(table, honest.protocol, None), [], 4, 4)
