import hashlib

import numpy as np
import pandas as pd
import pytest

from ptrag.base.errors import PtragError
from ptrag.splits.leakage import audit, key_hash
from ptrag.splits.protocols import Split

ROWS = [
    ("a", "A", "train"), ("b", "A", "train"), ("a", "B", "train"), ("b", "B", "train"),
    ("a", "T", "test"), ("b", "T", "test"), ("a", "V", "val"), ("b", "V", "val"),
    ("a", "control", "control"), ("b", "control", "control"), ("a", "X", "excluded"),
]  # fmt: skip


def split(rows=ROWS, protocol="unseen_perturbation", target=None):
    table = pd.DataFrame(rows, columns=["cell_line", "perturbation", "role"])
    return Split(table.assign(n_cells=50, reason=""), protocol, target, "0" * 64)


def test_a_clean_index_passes_with_counts_and_hashes_by_role():
    report = audit(split(), ["A", "B"], np.eye(2), [("A", "B"), ("T", "A")])
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
        audit(split(), indexed, np.ones((2, 3)), neighbours)


def test_the_zero_vector_of_the_control_or_of_anything_is_refused():
    with pytest.raises(PtragError, match="all zeros: B"):
        audit(split(), ["A", "B"], np.array([[1.0, 0], [0, 0]]))


def test_a_pair_in_two_roles_is_refused():
    with pytest.raises(PtragError, match="no pair has two roles: a/A"):
        audit(split([*ROWS, ("a", "A", "test")], "unseen_combination", "a"), ["A", "B"], np.eye(2))


def test_a_name_held_out_in_the_target_alone_may_be_indexed_if_trained_elsewhere():
    rows = [("a", "A", "train"), ("b", "A", "test"), ("a", "B", "train"), ("b", "Z", "test")]
    combination = split(rows, "unseen_combination", "b")
    audit(combination, ["A", "B"], np.eye(2))
    with pytest.raises(PtragError, match="training pair: Z"):
        audit(combination, ["A", "Z"], np.eye(2))
