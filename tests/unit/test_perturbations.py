import numpy as np
import pytest
from small_screen import PERTURBATIONS, K, make_embedding, make_split

from ptrag.arms.neural.perturbations import Perturbations
from ptrag.base.errors import PtragError
from ptrag.retrieval.index import build_index, read_neighbours


@pytest.fixture
def known(tmp_path):
    build_index(make_embedding(), make_split(), K, tmp_path / "index")
    return Perturbations.embedded(make_embedding(), read_neighbours(tmp_path / "index"), K)


def test_features_and_candidates_are_those_of_the_embedding_by_cosine(known):
    embedding = make_embedding()
    unit = embedding.vectors / np.linalg.norm(embedding.vectors, axis=1, keepdims=True)
    cosine = {
        (a, b): float(unit[i] @ unit[j])
        for i, a in enumerate(embedding.names)
        for j, b in enumerate(embedding.names)
    }
    for name in PERTURBATIONS:
        row = known.number(name)
        np.testing.assert_array_equal(
            known.features[row], embedding.vectors[embedding.names.index(name)]
        )
        others = [other for other in PERTURBATIONS[:-1] if other != name]  # F is not trained on
        wanted = sorted(others, key=lambda other: -cosine[name, other])[:K]
        assert [known.names[i] for i in known.candidates[row]] == wanted
        np.testing.assert_allclose(
            known.similarity[row], [cosine[name, other] for other in wanted], atol=1e-6
        )


def test_fewer_candidates_are_the_best_ones(known, tmp_path):
    fewer = Perturbations.embedded(make_embedding(), read_neighbours(tmp_path / "index"), 2)
    np.testing.assert_array_equal(fewer.candidates, known.candidates[:, :2])
    np.testing.assert_array_equal(fewer.similarity, known.similarity[:, :2])


def test_one_hot_gives_each_trained_perturbation_a_column_of_its_own():
    made = Perturbations.one_hot(["B", "A", "C"], {"C", "A"})
    np.testing.assert_array_equal(made.features, [[0, 0], [1, 0], [0, 1]])
    assert made.candidates.shape == made.similarity.shape == (3, 0)


def test_look_up_finds_every_query_and_candidate_among_the_distinct(known):
    numbers = np.array([4, 0, 4, 5])
    distinct, query, candidates = known.look_up(numbers)
    assert len(set(distinct)) == len(distinct)
    np.testing.assert_array_equal(distinct[query], numbers)
    np.testing.assert_array_equal(distinct[candidates], known.candidates[numbers])
    assert set(distinct) == set(numbers) | set(known.candidates[numbers].ravel())


def test_look_up_without_retrieval_has_no_candidates():
    made = Perturbations.one_hot(["A", "B"], {"A", "B"})
    distinct, query, candidates = made.look_up(np.array([1, 1]))
    assert distinct.tolist() == [1]
    assert query.tolist() == [0, 0]
    assert candidates.shape == (2, 0)


def test_the_parts_of_a_double_come_in_any_order(known):
    assert known.number("C+B") == known.number("B+C") == known.names.index("B+C")


def test_an_unknown_perturbation_is_named_with_a_near_one(known):
    with pytest.raises(PtragError, match=r"'B\+X'.*B\+C"):
        known.number("X+B")
    assert "A" in known
    assert "X" not in known
