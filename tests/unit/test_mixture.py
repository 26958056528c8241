"""The weights of the expert's members."""

import numpy as np
from response_cases import draw_embedding, draw_responses, nearest

from ptrag.arms.expert.expert import fit_expert
from ptrag.arms.expert.mixture import LeftOut, clear, fit_weights, mix
from ptrag.genes.providers import derive_control


def left_out(shrunk=0.3, n=40, n_genes=30, seed=0):
    """A line's mean, what is shrunk towards it, and a noisy member that is not shrunk."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=n_genes)
    own = rng.normal(size=(n, n_genes)) * rng.uniform(0.2, 2, n)[:, None]
    said = {
        "posterior": mean + shrunk * own + 0.1 * rng.normal(size=own.shape),
        "line_mean": np.tile(mean, (n, 1)),
        "knn": mean + own + 1.5 * rng.normal(size=own.shape),
    }
    line = np.zeros(n, int)
    return LeftOut(said, mean + own + 0.3 * rng.normal(size=own.shape), line, np.arange(n))


def test_weights_are_least_squares_and_only_where_they_clearly_gain():
    left = left_out()
    weights = fit_weights(left)
    error = left.errors(mix(left, weights)).sum()
    for member in weights:
        for step in (0.97, 1.03):
            moved = weights | {member: step * weights[member]}
            assert left.errors(mix(left, moved)).sum() > error
    rng = np.random.default_rng(0)
    noise = {k: its + rng.normal(size=its.shape) for k, its in left.said.items()}
    mean = left.said["line_mean"]
    real = mean + rng.normal(size=mean.shape)
    assert fit_weights(LeftOut(noise | {"line_mean": mean}, real, *left[2:])) == {"line_mean": 1.0}


def test_a_gain_is_clear_beyond_one_standard_error():
    assert clear(np.array([1.0, 1.2, 0.8]))
    assert not clear(np.array([3.0, -2.9, 0.1]))
    assert not clear(np.array([5.0]))


def test_errors_are_numpys():
    left = left_out(n=5)
    said = left.said["knn"]
    doubled = LeftOut(left.said, left.real, left.line, np.array([0, 0, 1, 3, 3]))
    squares = ((said - left.real) ** 2).sum(axis=1)
    expected = [squares[:2].sum(), squares[2], squares[3:].sum()]
    np.testing.assert_allclose(doubled.errors(said), expected)


def test_texts_that_do_not_help_are_rarely_read():
    """Where other lines were measured, an embedding that says nothing changes nothing."""
    read = []
    for seed in range(6):
        known = draw_responses(seed, n_perturbations=24, n_genes=30, missing=0.2, target="b")
        experts = []
        for shuffle in (seed, seed + 100):
            embedding = derive_control(draw_embedding(24, seed=1), "shuffled", shuffle)
            neighbours = nearest(embedding, known.perturbations)
            experts.append(fit_expert(known, embedding, neighbours, {"topk_rag": 4}))
        reads = [its.variances.text > 0 or "knn" in its.weights for its in experts]
        if not any(reads):
            for name in known.perturbations:
                np.testing.assert_array_equal(*(its("b", name).delta for its in experts))
        read += reads
    assert sum(read) <= 1
