"""Discrimination against a loop over its definition."""

import numpy as np
import pytest

from ptrag.metrics.discrimination import discrimination

DISTANCES = {
    "l1": lambda a, b: np.abs(a - b).sum(),
    "l2": lambda a, b: np.sqrt(((a - b) ** 2).sum()),
    "cosine": lambda a, b: 1 - a @ b / np.sqrt((a @ a) * (b @ b)),
}
NONE = np.zeros(0, int)


@pytest.mark.parametrize("distance", DISTANCES)
def test_is_its_definition(distance):
    rng = np.random.default_rng(0)
    real = rng.normal(size=(9, 12))
    own = np.array([4, 0, 8, 2])
    predicted = real[own] + rng.normal(size=(4, 12))
    left_out = [np.array([3]), NONE, np.array([0, 5]), NONE]
    scores = discrimination(predicted, real, own, distance, left_out)
    for x, p, genes, score in zip(predicted, own, left_out, scores, strict=True):
        d = [DISTANCES[distance](np.delete(x, genes), np.delete(y, genes)) for y in real]
        assert score == pytest.approx(np.mean([d[u] > d[p] for u in range(9) if u != p]))


@pytest.mark.parametrize("distance", DISTANCES)
def test_ideal_worst_and_chance(distance):
    real = np.eye(6) * np.arange(1, 7)[:, None]
    own = np.arange(6)
    nothing = [NONE] * 6
    assert (discrimination(real, real, own, distance, nothing) == 1).all()
    guess = np.random.default_rng(1).normal(size=(4000, 6))
    answers = np.random.default_rng(2).integers(0, 6, 4000)
    score = discrimination(guess, real, answers, distance, [NONE] * 4000)
    assert score.mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("distance", DISTANCES)
def test_ties_count_half(distance):
    real = np.tile(np.array([1.0, 2.0, 0.3]), (5, 1))
    own = np.arange(5)
    scores = discrimination(np.ones((5, 3)), real, own, distance, [NONE] * 5)
    np.testing.assert_allclose(scores, 0.5)


def test_no_change_is_chance_by_cosine():
    real = np.random.default_rng(0).normal(size=(5, 4))
    scores = discrimination(np.zeros((5, 4)), real, np.arange(5), "cosine", [NONE] * 5)
    np.testing.assert_allclose(scores, 0.5)


def test_alone_in_its_line_is_undefined():
    assert np.isnan(
        discrimination(np.ones((1, 3)), np.ones((1, 3)), np.zeros(1, int), "l1", [NONE])
    )
