import faiss
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptrag.base.errors import PtragError
from ptrag.base.files import read_json, read_table
from ptrag.genes.embeddings import Embedding
from ptrag.retrieval.index import build_index, read_neighbours
from ptrag.splits.protocols import Split


def split(train, test=(), protocol="unseen_perturbation", **rules):
    rows = [("line0", p, 50, "train", "") for p in train]
    rows += [("line0", p, 50, "test", "") for p in test]
    rows += [("line0", "control", 99, "control", "")]
    table = pd.DataFrame(rows, columns=["cell_line", "perturbation", "n_cells", "role", "reason"])
    return Split(table, protocol, None, "0" * 64, **rules)


def embedding(names, vectors):
    coverage = pd.DataFrame({"perturbation": names, "level": "exact", "detail": ""})
    return Embedding(list(names), np.asarray(vectors, np.float32), coverage)


def brute_force(names, vectors, allowed, query, k):
    """Cosines in float64; ties (to six decimals) by name."""
    wide = np.asarray(vectors, np.float32).astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    cosine = np.round(wide @ wide[names.index(query)], 6)
    others = [name for name in allowed if name != query]
    return sorted((-cosine[names.index(name)], name) for name in others)[:k]


def build(tmp_path, names, vectors, train, test, k, **rules):
    build_index(embedding(names, vectors), split(train, test, **rules), k, tmp_path / "index")
    return read_neighbours(tmp_path / "index")


def test_neighbours_agree_with_brute_force(tmp_path):
    rng = np.random.default_rng(1)
    names = [f"G{i:02d}" for i in range(40)]
    vectors = rng.normal(size=(40, 12)) * rng.uniform(0.1, 50, (40, 1))
    found = build(tmp_path, names, vectors, names[:30], names[30:], 7)
    assert found.names == names
    assert found.k == 7
    for query in names:
        expected = brute_force(names, vectors, names[:30], query, 7)
        candidates, similarity = found.candidates(query)
        assert candidates == [name for _, name in expected]
        np.testing.assert_allclose(similarity, [-s for s, _ in expected], atol=2e-6)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(0, 4), st.integers(1, 12))
def test_ties_are_ranked_by_key_and_no_row_finds_itself(tmp_path, seed, n_train, n_test, k):
    rng = np.random.default_rng(seed)
    names = [f"G{i}" for i in range(n_train + n_test)]
    # Few directions, many lengths: most similarities are tied.
    directions = np.array([[1, 0], [0, 1], [1, 1]])[rng.integers(3, size=len(names))]
    vectors = directions * rng.uniform(0.5, 2, (len(names), 1))
    order = rng.permutation(len(names))
    found = build(
        tmp_path, [names[i] for i in order], vectors[order], names[:n_train], names[n_train:], k,
        same_vector="report",
    )  # fmt: skip
    assert found.k == min(k, n_train - 1)
    for query in names:
        candidates, _ = found.candidates(query)
        expected = brute_force(names, vectors, names[:n_train], query, found.k)
        assert candidates == [name for _, name in expected]
        assert query not in candidates


def test_reassigned_candidates_are_the_neighbours_of_another_perturbation(tmp_path):
    rng = np.random.default_rng(4)
    names = [f"G{i:02d}" for i in range(24)]
    vectors, k = rng.normal(size=(24, 6)), 5
    build_index(
        embedding(names, vectors), split(names[:16], names[16:]), k, tmp_path, reassigned=True
    )
    found, givers = read_neighbours(tmp_path), []
    for query in names:
        candidates, similarity = found.candidates(query)
        # whose neighbours they are: the one perturbation that explains candidates and similarities
        expected = {
            other: [(-s, name) for s, name in ranked if name != query][:k]
            for other in names
            if (ranked := brute_force(names, vectors, names[:16], other, k + 1))
        }
        givers += [
            other
            for other, rows in expected.items()
            if [name for _, name in rows] == candidates
            and np.allclose([s for s, _ in rows], similarity, atol=2e-6)
        ]
        assert query not in candidates
        assert givers[-1] not in (query, *candidates)
    assert sorted(givers) == names  # each gives once
    with pytest.raises(PtragError, match="retrieval needs 3"):
        build_index(embedding(["A", "B"], np.eye(2)), split(["A", "B"]), 1, tmp_path, True)


def test_files_say_the_same_and_do_not_vary(tmp_path):
    rng = np.random.default_rng(2)
    names = [f"G{i}" for i in range(6)]
    vectors = rng.normal(size=(6, 4))
    for folder in ("a", "b"):
        build(tmp_path / folder, names, vectors, names[:4], names[4:], 32)
    first, second = (tmp_path / folder / "index" for folder in ("a", "b"))
    for name in ("index.faiss", "keys.tsv", "neighbours.tsv", "audit.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    keys = read_table(first / "keys.tsv")
    index = faiss.read_index(str(first / "index.faiss"))
    assert index.metric_type == faiss.METRIC_INNER_PRODUCT
    unit = vectors[:4] / np.linalg.norm(vectors[:4], axis=1, keepdims=True)
    np.testing.assert_allclose(index.reconstruct_n(0, len(keys)), unit, atol=1e-6)
    assert list(keys["perturbation"]) == names[:4]


def test_only_what_has_a_vector_is_asked_or_indexed_and_the_rest_is_told(tmp_path):
    names = ["A", "B", "C", "D"]
    build_index(
        embedding([*names, "ELSE"], np.eye(5) + 1),
        split(["A", "B", "LOST"], ["C", "D", "GONE"]),
        5,
        tmp_path,
    )
    assert read_neighbours(tmp_path).names == names
    report = read_json(tmp_path / "audit.json")
    assert report["without_vector"] == ["GONE", "LOST"]
    assert report["indexed"]["keys"] == ["A", "B"]
    assert report["k"] == 1
    with pytest.raises(PtragError, match="'GONE' was not embedded"):
        read_neighbours(tmp_path).candidates("GONE")


def test_nothing_to_retrieve_is_an_error(tmp_path):
    with pytest.raises(PtragError, match="1 of 2 training perturbations have a vector"):
        build_index(embedding(["A", "C"], np.eye(2)), split(["A", "B"], ["C"]), 5, tmp_path)
    assert not (tmp_path / "index.faiss").exists()


def test_a_held_out_gene_with_the_vector_of_an_indexed_one_stops_the_build(tmp_path):
    vectors = [[1, 0], [0, 1], [0, 2]]
    with pytest.raises(PtragError, match="vector of an indexed one: C = B"):
        build(tmp_path, ["A", "B", "C"], vectors, ["A", "B"], ["C"], 1)
    assert not (tmp_path / "index/neighbours.tsv").exists()


def test_names_held_out_in_the_target_line_alone_stay_candidates(tmp_path):
    table = split(["A", "B", "C"]).table
    extra = pd.DataFrame([("line1", "A", 50, "test", "")], columns=table.columns)
    combination = Split(pd.concat([table, extra]), "unseen_combination", "line1", "0" * 64)
    build_index(embedding(["A", "B", "C"], np.eye(3) + 1), combination, 5, tmp_path)
    assert "A" in read_neighbours(tmp_path).candidates("B")[0]
