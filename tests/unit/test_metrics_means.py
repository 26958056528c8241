"""Metrics of vectors against scipy, scikit-learn and what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics as sk

from ptrag.base.correlation import pearson, spearman
from ptrag.metrics import means

VECTORS = hnp.arrays(np.float64, (2, 12), elements=st.floats(-5, 5).map(lambda x: round(x, 3)))


@given(VECTORS)
def test_agrees_with_scipy_and_sklearn(pair):
    x, y = pair
    assert means.mse(x, y) == pytest.approx(sk.mean_squared_error(y, x))
    assert means.mae(x, y) == pytest.approx(sk.mean_absolute_error(y, x))
    if np.ptp(y) > 1e-2:
        assert means.r2(x, y) == pytest.approx(sk.r2_score(y, x))
        if np.ptp(x) > 1e-2:
            assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
            assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)


@given(VECTORS, st.randoms(use_true_random=False))
def test_order_of_genes_does_not_matter(pair, random):
    order = list(range(pair.shape[1]))
    random.shuffle(order)
    for metric in (pearson, spearman, means.mse, means.mae, means.r2):
        assert metric(*pair[:, order]) == pytest.approx(metric(*pair), nan_ok=True, abs=1e-9)


@pytest.mark.parametrize("metric", [pearson, spearman])
def test_what_is_undefined(metric):
    moving, still = np.arange(5.0), np.full(5, 0.1)
    assert metric(still, moving) == 0.0
    assert np.isnan(metric(moving, still))
    assert np.isnan(metric(moving[:2], moving[:2]))
    assert metric(moving, moving) == 1.0
    assert metric(-moving, moving) == -1.0


def test_no_genes_is_undefined():
    none = np.zeros(0)
    assert np.isnan(means.mse(none, none))
    assert np.isnan(means.mae(none, none))


def test_worse_predictions_score_worse():
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    noise = rng.normal(size=200)
    for metric, sign in (
        (pearson, 1), (spearman, 1), (means.r2, 1), (means.mse, -1), (means.mae, -1),
    ):  # fmt: skip
        scores = [sign * metric(y + s * noise, y) for s in (0.0, 0.3, 1.0, 3.0)]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(("size", "kept"), [(1e-8, False), (1e-7, False), (1e-4, True)])
def test_a_displacement_that_is_rounding_has_no_direction(size, kept):
    rng = np.random.default_rng(1)
    origin = rng.uniform(0, 3, 500)
    profile = origin * (1 + size * rng.normal(size=500))
    delta = means.displacement(profile, origin)
    assert delta.any() == kept
    if kept:
        np.testing.assert_array_equal(delta, profile - origin)


def test_a_profile_that_was_stored_in_single_precision_is_where_it_was():
    origin = np.random.default_rng(2).uniform(0, 3, 500)
    assert not means.displacement(origin.astype(np.float32), origin).any()
    assert not means.displacement(np.zeros(3), np.zeros(3)).any()
