"""Tests of differential expression and recovery of DEGs, against scipy, statsmodels, sklearn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk
from statsmodels.stats.multitest import multipletests

from ptrag.base.moments import moments, pooled
from ptrag.metrics import recovery
from ptrag.metrics.degs import benjamini_hochberg, welch, wilcoxon
from ptrag.metrics.ranks import SortedControls


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    sample = rng.normal(rng.normal(size=30), 1.0, (20, 30)).astype(np.float32)
    controls = rng.normal(size=(50, 30)).astype(np.float32)
    sample[:, :10], controls[:, :10] = np.round(sample[:, :10]), np.round(controls[:, :10])
    sample[:, 0], controls[:, 0] = 1, 1  # no variance at all
    sample[:, 1] = -0.0
    return sample, controls


def test_moments_in_blocks(cells):
    for sample in cells:
        m = moments(sample, rows=7)
        np.testing.assert_allclose(m.mean, sample.astype(float).mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(m.variance, sample.astype(float).var(axis=0, ddof=1), atol=1e-12)
    assert np.isnan(moments(cells[0][:1]).variance).all()


@pytest.mark.parametrize("n", [1, 20])
def test_pooled_moments_are_those_of_both_samples_together(cells, n):
    one, other = cells[0][:n], cells[1]
    together, pool = moments(np.concatenate([one, other])), pooled(moments(one), moments(other))
    assert pool.n == together.n
    np.testing.assert_allclose(pool.mean, together.mean, rtol=1e-12)
    np.testing.assert_allclose(pool.variance, together.variance, atol=1e-12)


def test_welch_is_scipys(cells):
    sample, controls = (x.astype(float) for x in cells)
    p = welch(moments(sample), moments(controls))
    expected = stats.ttest_ind(sample[:, 1:], controls[:, 1:], equal_var=False).pvalue
    np.testing.assert_allclose(p[1:], expected, rtol=1e-9)
    assert p[0] == 1.0


def test_welch_without_variance():
    same, other = moments(np.ones((3, 2))), moments(np.full((3, 2), 2.0))
    assert (welch(same, same) == 1).all()
    assert (welch(same, other) == 0).all()
    assert np.isnan(welch(moments(np.ones((1, 2))), same)).all()


def test_wilcoxon_is_scipys(cells):
    sample, controls = cells
    wide = (x.astype(float) for x in cells)  # scipy computes in the type it gets
    expected = stats.mannwhitneyu(*wide, method="asymptotic", axis=0).pvalue
    p = wilcoxon(sample, SortedControls.of(controls))
    np.testing.assert_allclose(p[1:], expected[1:], rtol=1e-12)
    assert p[0] == 1.0


@pytest.mark.parametrize("many", [1, 3])
def test_size_takes_away_the_power_of_many_cells(many):
    rng = np.random.default_rng(1)
    controls = rng.normal(size=(300, 200)).astype(np.float32)
    sample = rng.normal(0.3, 1, (60, 200)).astype(np.float32)
    more = np.tile(sample, (many, 1))
    plain = welch(moments(sample), moments(controls))
    as_few = welch(moments(more), moments(controls), size=60)
    np.testing.assert_allclose(np.log(as_few), np.log(plain), rtol=0.05, atol=0.02)
    ranked = SortedControls.of(controls)
    plain, as_few = wilcoxon(sample, ranked), wilcoxon(more, ranked, size=60)
    np.testing.assert_allclose(np.log(as_few), np.log(plain), rtol=0.05, atol=0.02)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_benjamini_hochberg_is_statsmodels(p):
    expected = multipletests(p, method="fdr_bh")[1]
    np.testing.assert_allclose(benjamini_hochberg(np.array(p)), expected, rtol=1e-12)


def test_benjamini_hochberg_leaves_missing_out():
    q = benjamini_hochberg(np.array([0.01, np.nan, 0.04]))
    np.testing.assert_allclose(q, [0.02, np.nan, 0.04])


def test_null_is_calibrated():
    rng = np.random.default_rng(2)
    sample, controls = rng.normal(size=(25, 4000)), rng.normal(size=(80, 4000))
    for p in (
        welch(moments(sample), moments(controls)),
        wilcoxon(sample, SortedControls.of(controls)),
    ):
        assert abs((p < 0.05).mean() - 0.05) < 0.015


LABELS = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=3, max_size=25)


@settings(max_examples=100)
@given(LABELS)
def test_areas_are_sklearns(rows):
    score = np.array([float(s) for s, _ in rows])
    real = np.array([r for _, r in rows])
    if real.any() and not real.all():
        assert recovery.roc_auc(score, real) == pytest.approx(sk.roc_auc_score(real, score))
        expected = sk.average_precision_score(real, score)
        assert recovery.average_precision(score, real) == pytest.approx(expected)
    else:
        assert np.isnan(recovery.roc_auc(score, real))
        assert np.isnan(recovery.average_precision(score, real))


def test_recovery_by_hand():
    real = np.array([1, 1, 1, 0, 0, 0], bool)
    predicted = np.array([1, 0, 1, 1, 1, 0], bool)
    real_rank = np.array([3.0, 2, 1, 0, 0, 0])
    predicted_rank = np.array([1.0, 0, 2, 4, 3, 0])
    assert recovery.recall(predicted, real) == pytest.approx(2 / 3)
    assert recovery.precision(predicted, real, predicted_rank) == 0.5
    assert recovery.precision(predicted, real, predicted_rank, 3) == pytest.approx(1 / 3)
    # top 3 of S_Q: genes 3, 4, 2; of S_R: 0, 1, 2
    assert recovery.overlap(predicted, real, predicted_rank, real_rank) == pytest.approx(1 / 3)
    assert recovery.overlap(predicted, real, predicted_rank, real_rank, 1) == 0.0
    delta, guess = np.array([1.0, -1, 1, 0, 0, 0]), np.array([2.0, 1, 0, 0, 0, 0])
    assert recovery.direction(guess, delta, real) == pytest.approx(1 / 3)
    assert recovery.count_error(predicted, real) == pytest.approx(np.log2(5 / 4))


def test_empty_sets():
    none, some = np.zeros(3, bool), np.array([1, 0, 0], bool)
    rank = np.arange(3.0)
    for value in (
        recovery.overlap(some, none, rank, rank), recovery.precision(some, none, rank),
        recovery.recall(some, none), recovery.direction(rank, rank, none),
    ):  # fmt: skip
        assert np.isnan(value)
    assert recovery.overlap(none, some, rank, rank) == 0
    assert recovery.precision(none, some, rank) == 0
    assert recovery.recall(none, some) == 0
