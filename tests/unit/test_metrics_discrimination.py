"""Discrimination against a loop over its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ptrag.base.discrimination import discrimination

DISTANCES = {
    "l1": lambda a, b: np.abs(a - b).sum(),
    "l2": lambda a, b: np.sqrt(((a - b) ** 2).sum()),
    "cosine": lambda a, b: 1 - a @ b / np.sqrt((a @ a) * (b @ b)),
}


@pytest.mark.parametrize("distance", DISTANCES)
def test_is_its_definition(distance):
    rng = np.random.default_rng(0)
    real = rng.normal(size=(9, 12))
    own = np.array([4, 0, 8, 2])
    predicted = real[own] + rng.normal(size=(4, 12))
    scores = discrimination(predicted, real, own, distance)
    for x, p, score in zip(predicted, own, scores, strict=True):
        d = [DISTANCES[distance](x, y) for y in real]
        assert score == pytest.approx(np.mean([d[u] > d[p] for u in range(9) if u != p]))


@pytest.mark.parametrize("distance", DISTANCES)
def test_ideal_worst_and_chance(distance):
    real = np.eye(6) * np.arange(1, 7)[:, None]
    own = np.arange(6)
    assert (discrimination(real, real, own, distance) == 1).all()
    guess = np.random.default_rng(1).normal(size=(4000, 6))
    answers = np.random.default_rng(2).integers(0, 6, 4000)
    score = discrimination(guess, real, answers, distance)
    assert score.mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("distance", DISTANCES)
def test_ties_count_half(distance):
    real = np.tile(np.array([1.0, 2.0, 0.3]), (5, 1))
    scores = discrimination(np.ones((5, 3)), real, np.arange(5), distance)
    np.testing.assert_allclose(scores, 0.5)


@given(
    hnp.arrays(np.float64, (7, 5), elements=st.integers(-3, 3).map(float)),
    hnp.arrays(np.float64, 5, elements=st.integers(-3, 3).map(float)),
    st.sampled_from(sorted(DISTANCES)),
)
def test_one_vector_for_all_is_chance(real, guess, distance):
    """Whatever it is, and however many ties: the mid-ranks of one order add up."""
    scores = discrimination(np.tile(guess, (7, 1)), real, np.arange(7), distance)
    assert scores.mean() == pytest.approx(0.5)


def test_no_change_is_chance_by_cosine():
    real = np.random.default_rng(0).normal(size=(5, 4))
    scores = discrimination(np.zeros((5, 4)), real, np.arange(5), "cosine")
    np.testing.assert_allclose(scores, 0.5)


@pytest.mark.parametrize(("genes", "others"), [(3, 1), (0, 4)])
def test_without_another_perturbation_or_gene_it_is_undefined(genes, others):
    vectors = np.ones((others, genes))
    assert np.isnan(discrimination(vectors, vectors, np.arange(others), "l1")).all()
