"""Intervals and tests: against scipy and statsmodels, by hand, and calibrated under the null."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ptrag.comparison.statistics import (
    bootstrap_mean_interval,
    detectable_difference,
    holm,
    paired_comparison,
    signed_rank,
)


def test_interval_is_about_the_t_interval():
    values = np.random.default_rng(0).normal(3, 2, 60)
    mean, low, high = bootstrap_mean_interval(values, np.arange(60), 5000, 0.95)
    expected = stats.t.interval(0.95, 59, values.mean(), stats.sem(values))
    assert mean == pytest.approx(values.mean())
    np.testing.assert_allclose([low, high], expected, atol=0.06)


def test_clusters_widen_the_interval():
    rng = np.random.default_rng(1)
    values = np.repeat(rng.normal(size=30), 4)
    names = np.repeat([f"P{i}" for i in range(30)], 4)
    _, low, high = bootstrap_mean_interval(values, names, 2000, 0.95)
    _, naive_low, naive_high = bootstrap_mean_interval(values, np.arange(120), 2000, 0.95)
    assert (high - low) / (naive_high - naive_low) == pytest.approx(2, rel=0.15)


def test_same_input_same_bytes_and_order_does_not_matter():
    rng = np.random.default_rng(2)
    values, names = rng.normal(size=20), np.array([f"P{i % 7}" for i in range(20)])
    order = rng.permutation(20)
    one = bootstrap_mean_interval(values, names, 500, 0.9)
    assert one == bootstrap_mean_interval(values, names, 500, 0.9)
    other = bootstrap_mean_interval(values[order], names[order], 500, 0.9)
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_too_few_for_an_interval():
    assert np.isnan(bootstrap_mean_interval(np.zeros(0), np.zeros(0), 100, 0.95)).all()
    mean, low, high = bootstrap_mean_interval(np.ones(3), np.zeros(3), 100, 0.95)
    assert mean == 1 and np.isnan([low, high]).all()


def test_coverage():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(1000):
        effect = np.repeat(rng.normal(0, 1, 40), 2) + rng.normal(0, 0.7, 80)
        _, low, high = bootstrap_mean_interval(effect, np.repeat(np.arange(40), 2), 1000, 0.95)
        covered += low <= 0 <= high
    assert 0.93 <= covered / 1000 <= 0.97


def test_wilcoxon_is_scipys_and_the_effect_is_by_hand():
    arm, against = np.array([3.0, 5, 1, 4]), np.array([1.0, 1, 2, 4])
    result = paired_comparison(arm, against, np.arange(4), 200, 0.95)
    assert result.difference == pytest.approx(1.25)
    assert result.wilcoxon_p == pytest.approx(stats.wilcoxon([2.0, 4, -1]).pvalue)
    assert result.effect_size == pytest.approx((2 + 3 - 1) / 6)


@pytest.mark.parametrize("n", [1, 2, 7, 13, 30, 50, 51, 200])
def test_signed_rank_without_ties_is_scipys(n):
    values = np.random.default_rng(n).normal(0.3, 1, n)
    assert signed_rank(values)[0] == pytest.approx(stats.wilcoxon(values).pvalue, rel=1e-9)


@pytest.mark.parametrize("n", [2, 6, 9, 13])
def test_signed_rank_with_ties_is_scipys_over_all_signs(n):
    values = np.random.default_rng(n).integers(1, 5, n) * np.where(np.arange(n) % 3, 1.0, -1.0)
    expected = stats.wilcoxon(values, method=stats.PermutationMethod(2**n)).pvalue
    assert signed_rank(values)[0] == pytest.approx(expected, rel=1e-9)
    assert signed_rank(np.append(values, [0.0, 0.0])) == signed_rank(values)


def test_signed_rank_with_ties_in_large_samples():
    values = np.random.default_rng(8).integers(-3, 5, 150).astype(float)
    moved = values[values != 0]
    expected = stats.wilcoxon(moved, method="approx").pvalue
    assert signed_rank(values)[0] == pytest.approx(expected, rel=1e-9)
    # where enumeration ends and the approximation begins, both say about the same
    approximate = stats.wilcoxon(moved[:50], method="approx").pvalue
    assert signed_rank(moved[:50])[0] == pytest.approx(approximate, rel=0.05)


def test_pairs_of_a_perturbation_are_one_unit_of_the_test():
    rng = np.random.default_rng(4)
    difference = rng.normal(size=12)
    once = paired_comparison(difference, np.zeros(12), np.arange(12), 200, 0.95)
    thrice = paired_comparison(
        np.repeat(difference, 3), np.zeros(36), np.repeat(np.arange(12), 3), 200, 0.95
    )
    assert thrice.wilcoxon_p == pytest.approx(once.wilcoxon_p)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert thrice.n_pairs == 36


def test_missing_pairs_and_no_difference():
    arm = np.array([1.0, np.nan, 2.0])
    result = paired_comparison(arm, np.array([1.0, 5.0, 2.0]), np.arange(3), 200, 0.95)
    assert (result.n_pairs, result.difference, result.wilcoxon_p) == (2, 0.0, 1.0)
    nothing = paired_comparison(np.full(2, np.nan), np.ones(2), np.arange(2), 200, 0.95)
    assert nothing.n_pairs == 0 and np.isnan(nothing.wilcoxon_p)


def test_a_detectable_difference_is_detected_as_often_as_it_says():
    rng = np.random.default_rng(7)
    n, seen = 60, 0
    first = paired_comparison(rng.normal(size=n), np.zeros(n), np.arange(n), 2000, 0.95)
    shift = detectable_difference(first.low, first.high, 0.95)
    se = 1 / np.sqrt(n)  # known here
    assert shift == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * se, rel=0.2)
    shift = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * se
    for _ in range(500):
        low = bootstrap_mean_interval(rng.normal(shift, 1, n), np.arange(n), 500, 0.95)[1]
        seen += low > 0
    assert seen / 500 == pytest.approx(0.8, abs=0.06)


def test_holm_is_statsmodels():
    p = np.random.default_rng(5).random(20) ** 3
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    np.testing.assert_allclose(holm(np.array([0.01, np.nan, 0.03])), [0.02, np.nan, 0.03])


def test_two_arms_of_one_distribution_are_rarely_called_different():
    rng = np.random.default_rng(6)
    called = covered = 0
    for _ in range(200):
        hard = rng.normal(0, 1, 50)  # pairs differ in difficulty, arms do not
        arm, against = hard + rng.normal(0, 0.5, (2, 50))
        names = np.arange(50) // 2
        result = paired_comparison(arm, against, names, 1000, 0.95)
        covered += result.low <= 0 <= result.high
        called += result.wilcoxon_p < 0.05 and not result.low <= 0 <= result.high
    assert called <= 10
    assert 186 <= covered <= 194
