"""Distances between samples against brute force, closed forms and what they promise."""

import itertools

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.spatial.distance import cdist

from ptrag.metrics import distribution as dist
from ptrag.metrics import sinkhorn
from ptrag.metrics.pca import fit_pca
from ptrag.metrics.sinkhorn import diagonal, w2_halved

SAMPLES = st.tuples(
    *(
        hnp.arrays(np.float64, (n, 3), elements=st.floats(-3, 3).map(lambda x: round(x, 2)))
        for n in (4, 5)
    )
)


def brute_mean(x, y, kernel, distinct=False):
    values = [
        kernel(a, b)
        for (i, a), (j, b) in itertools.product(enumerate(x), enumerate(y))
        if not (distinct and i == j)
    ]
    return sum(values) / len(values)


def norm(a, b):
    return float(np.sqrt(((a - b) ** 2).sum()))


@settings(max_examples=30)
@given(SAMPLES)
def test_energy_is_its_definition(samples):
    Q, R = samples
    d = dist.Distances.of(Q, R)
    within = [brute_mean(x, x, norm, distinct=True) for x in (Q, R)]
    assert dist.energy(d) == pytest.approx(2 * brute_mean(Q, R, norm) - sum(within), abs=1e-9)
    within = [brute_mean(x, x, norm) for x in (Q, R)]
    halved = brute_mean(Q, R, norm) - 0.5 * sum(within)
    assert dist.energy_halved(d) == pytest.approx(halved, abs=1e-9)


@settings(max_examples=30)
@given(SAMPLES, st.floats(0.3, 3))
def test_mmd_is_its_definition(samples, sigma):
    Q, R = samples

    def kernel(a, b):
        return np.exp(-(norm(a, b) ** 2) / (2 * sigma**2))

    expected = sum(brute_mean(x, x, kernel, distinct=True) for x in (Q, R))
    expected -= 2 * brute_mean(Q, R, kernel)
    assert dist.mmd(dist.Distances.of(Q, R), sigma) == pytest.approx(expected, abs=1e-9)


def test_transport_is_the_best_assignment_of_equal_samples():
    rng = np.random.default_rng(0)
    Q, R = rng.normal(size=(2, 6, 3))
    d = dist.Distances.of(Q, R)
    plans = [list(p) for p in itertools.permutations(range(6))]
    rows = np.arange(6)
    assert dist.w1_joint(d) == pytest.approx(min(d.between[rows, p].mean() for p in plans))
    best = min((d.between[rows, p] ** 2).mean() for p in plans)
    assert dist.w2(d) == pytest.approx(np.sqrt(best))


@pytest.mark.parametrize(("m", "n"), [(30, 30), (30, 20)])
def test_transport_is_pots(m, n):
    rng = np.random.default_rng(1)
    d = dist.Distances.of(rng.normal(size=(m, 4)), rng.normal(0.3, 1.0, size=(n, 4)))
    assert dist.w1_joint(d) == pytest.approx(ot.emd2([], [], d.between), rel=1e-9)
    assert dist.w2(d) ** 2 == pytest.approx(ot.emd2([], [], d.between**2), rel=1e-9)


@pytest.mark.parametrize(("n", "genes"), [(12, 30), (60, 30)])
def test_pca_is_that_of_the_singular_values(n, genes):
    rng = np.random.default_rng(2)
    cells = (rng.normal(size=(n, genes)) * np.linspace(3, 0.5, genes)).astype(np.float32)
    pca = fit_pca(cells, 5)
    centred = cells.astype(float) - cells.mean(axis=0, dtype=float)
    expected = np.linalg.svd(centred, full_matrices=False)[2][:5]
    np.testing.assert_allclose(np.abs(pca.components @ expected.T), np.eye(5), atol=1e-9)
    assert (pca.components[np.arange(5), np.abs(pca.components).argmax(axis=1)] > 0).all()


def test_pca_of_equal_cells_is_still_orthonormal():
    components = fit_pca(np.ones((6, 20), np.float32), 4).components
    np.testing.assert_allclose(components @ components.T, np.eye(4), atol=1e-12)


@settings(max_examples=30)
@given(SAMPLES)
def test_w1_is_scipys_per_dimension(samples):
    Q, R = samples
    expected = np.mean([stats.wasserstein_distance(Q[:, j], R[:, j]) for j in range(3)])
    assert dist.w1(Q, R) == pytest.approx(expected, abs=1e-9)


def test_closed_forms_of_a_shift():
    R = np.random.default_rng(1).normal(size=(50, 4))
    shift = np.array([3.0, 0.0, 4.0, 0.0])
    d = dist.Distances.of(R + shift, R)
    assert dist.w2(d) == pytest.approx(5.0)
    assert dist.w1_joint(d) == pytest.approx(5.0)
    assert dist.w1(R + shift, R) == pytest.approx(np.abs(shift).mean())


@settings(max_examples=30)
@given(SAMPLES)
def test_never_negative_and_zero_only_for_equal_samples(samples):
    Q, R = samples
    same = dist.Distances.of(R, R[::-1])
    for metric in (dist.energy_halved, dist.w2, dist.w1_joint):
        assert metric(same) == pytest.approx(0, abs=1e-7)
    assert dist.w1(R, R[::-1]) == pytest.approx(0, abs=1e-12)
    other = dist.Distances.of(Q, R)
    equal = len({tuple(r) for r in Q} | {tuple(r) for r in R}) == 1
    for metric in (dist.energy_halved, dist.w2, dist.w1_joint):
        assert metric(other) >= -1e-9
        if not equal and not np.array_equal(np.unique(Q, axis=0), np.unique(R, axis=0)):
            assert metric(other) > 1e-9


def test_unbiased_ones_are_zero_on_average_for_equal_distributions():
    rng = np.random.default_rng(2)
    draws = [dist.Distances.of(*rng.normal(size=(2, 20, 3))) for _ in range(400)]
    for values in ([dist.energy(d) for d in draws], [dist.mmd(d, 1.5) for d in draws]):
        assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))


def test_order_of_cells_does_not_matter():
    rng = np.random.default_rng(3)
    Q, R = rng.normal(size=(7, 4)), rng.normal(size=(9, 4))
    one = dist.Distances.of(Q, R)
    other = dist.Distances.of(Q[rng.permutation(7)], R[rng.permutation(9)])
    for metric in (dist.energy, dist.energy_halved, dist.w1_joint, dist.w2):
        assert metric(other) == pytest.approx(metric(one), rel=1e-12)


def test_farther_samples_score_worse():
    rng = np.random.default_rng(4)
    R, Q = rng.normal(size=(2, 40, 5))
    shifted = [dist.Distances.of(Q + s, R) for s in (0, 0.5, 1, 3)]
    for metric in (dist.energy, dist.energy_halved, dist.w1_joint, dist.w2):
        scores = [metric(d) for d in shifted]
        assert scores == sorted(scores)
    scores = [dist.mmd(d, 2.0) for d in shifted]
    assert scores == sorted(scores)


def test_single_cells_are_undefined_only_where_they_must_be():
    d = dist.Distances.of(np.zeros((1, 3)), np.ones((4, 3)))
    assert np.isnan(dist.energy(d))
    assert np.isnan(dist.mmd(d, 1.0))
    assert dist.w2(d) == pytest.approx(np.sqrt(3))
    assert dist.energy_halved(d) == pytest.approx(np.sqrt(3))


def test_median_distance():
    cells = np.array([[0.0], [1.0], [3.0]])
    assert dist.median_distance(cells) == 2.0


def test_sinkhorn_is_near_half_the_squared_exact_distance():
    rng = np.random.default_rng(5)
    for shift in (0.0, 1.0, 4.0):
        Q, R = rng.normal(shift, 2, (60, 8)), rng.normal(size=(45, 8))
        d = dist.Distances.of(Q, R)
        assert w2_halved(d, diagonal(Q, R)) == pytest.approx(0.5 * dist.w2(d) ** 2, rel=0.05)


def test_sinkhorn_is_pots_where_both_converge(monkeypatch):
    rng = np.random.default_rng(6)
    Q, R = rng.normal(1, 1, (20, 2)), rng.normal(size=(15, 2))
    monkeypatch.setattr(sinkhorn, "BLUR", 1.0)
    monkeypatch.setattr(sinkhorn, "SCALING", 0.99)  # hundreds of iterations
    ours = w2_halved(dist.Distances.of(Q, R), diagonal(Q, R))
    cost = [0.5 * cdist(a, b, "sqeuclidean") for a, b in ((Q, R), (Q, Q), (R, R))]

    def entropic(C):  # with the entropy relative to the product measure
        a, b = np.full(C.shape[0], 1 / C.shape[0]), np.full(C.shape[1], 1 / C.shape[1])
        plan = ot.sinkhorn(a, b, C, 1.0, method="sinkhorn_log", numItermax=10_000, stopThr=1e-12)
        return (plan * C).sum() + (plan * np.log(plan / np.outer(a, b))).sum()

    parts = [entropic(C) for C in cost]
    assert ours == pytest.approx(parts[0] - 0.5 * parts[1] - 0.5 * parts[2], rel=1e-3)


def test_sinkhorn_of_one_and_the_same_sample():
    R = np.random.default_rng(7).normal(size=(30, 4))
    assert w2_halved(dist.Distances.of(R[::-1], R), diagonal(R)) == pytest.approx(0, abs=1e-6)
    still = np.ones((3, 2))
    assert w2_halved(dist.Distances.of(still, still), diagonal(still)) == 0
