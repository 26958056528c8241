"""Intervals and tests: against scipy, by hand, by brute force, and calibrated under the null."""

from itertools import product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ptrag.comparison.contrasts import better
from ptrag.comparison.permutation import EXACT, FLIPS, holm, sign_flip_p, smallest_p
from ptrag.comparison.statistics import Sample, bootstrap_mean_interval, paired_comparison


def brute_force_p(values, clusters):
    """Enumerate the signs of whole clusters and average over pairs, in plain Python."""
    names = sorted(set(clusters))
    means = []
    for signs in product([1, -1], repeat=len(names)):
        sign = dict(zip(names, signs, strict=True))
        means.append(
            abs(sum(sign[c] * v for v, c in zip(values, clusters, strict=True)) / len(values))
        )
    return np.mean([mean >= means[0] - 1e-12 for mean in means])


def test_interval_is_about_the_t_interval():
    values = np.random.default_rng(0).normal(3, 2, 60)
    mean, low, high = bootstrap_mean_interval(values, np.arange(60), 5000, 0.95)
    expected = stats.t.interval(0.95, 59, values.mean(), stats.sem(values))
    assert mean == pytest.approx(values.mean())
    np.testing.assert_allclose([low, high], expected, atol=0.08)


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


@pytest.mark.parametrize(("seeds", "least"), [(2, 0.88), (3, 0.91), (10, 0.93)])
def test_coverage_where_seeds_differ_more_than_perturbations(seeds, least):
    """The mean over infinitely many seeds and perturbations is 0; a fixed seed would miss it."""
    rng, covered, naive = np.random.default_rng(seeds), 0, 0
    for _ in range(400):
        values = rng.normal(0, 1, (30, 1)) + rng.normal(0, 0.4, seeds)
        values = values + rng.normal(0, 0.5, (30, seeds))
        _, low, high = bootstrap_mean_interval(values, np.arange(30), 500, 0.95)
        covered += low <= 0 <= high
        _, low, high = bootstrap_mean_interval(values.mean(axis=1), np.arange(30), 500, 0.95)
        naive += low <= 0 <= high
    assert least <= covered / 400 <= 0.99
    assert covered > naive


def test_seeds_of_each_arm_are_resampled_by_themselves():
    """The variance of the difference is that of both arms' seeds: by hand, without other noise."""
    a, b = np.array([0.0, 1.0, 2.0]), np.array([0.0, 4.0])
    sample = Sample(
        {"a": np.tile(a, (50, 1)), "b": np.tile(b, (50, 1))}, np.arange(50), 20_000, 0.95
    )
    expected = np.sqrt(a.var(ddof=1) / 3 + b.var(ddof=1) / 2)
    assert sample.difference("a", "b").error == pytest.approx(expected, rel=0.03)
    assert sample.difference("a", "b").value == pytest.approx(-1.0)
    fixed = Sample(
        {"a": np.full((50, 1), 1.0), "b": np.full((50, 1), 2.0)}, np.arange(50), 500, 0.95
    )
    assert fixed.difference("a", "b").error == 0


@pytest.mark.parametrize("n", [2, 5, 9, EXACT])
def test_exact_p_is_scipys_permutation_test(n):
    values = np.random.default_rng(n).normal(0.4, 1, n)
    expected = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert sign_flip_p(values[:, None])[0] == pytest.approx(expected, rel=1e-12)


def test_p_with_several_pairs_of_a_perturbation_is_that_of_brute_force():
    rng = np.random.default_rng(11)
    clusters = rng.integers(0, 8, 30)
    values = rng.normal(0.2, 1, 30) + rng.normal(0, 1, 8)[clusters]
    result = paired_comparison(values, np.zeros(30), clusters, 200, 0.95)
    assert result.difference == pytest.approx(values.mean())
    assert result.p == pytest.approx(brute_force_p(values, clusters), rel=1e-12)


def test_drawn_p_is_near_scipys_and_never_zero():
    values = np.random.default_rng(5).normal(0.35, 1, 40)
    expected = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=200_000, rng=1
    ).pvalue
    p = sign_flip_p(values[:, None])[0]
    assert p == pytest.approx(expected, abs=4 * np.sqrt(expected / FLIPS))
    assert sign_flip_p(np.ones((40, 1)))[0] == pytest.approx(1 / (1 + FLIPS))


@pytest.mark.parametrize("C", [1, 2, 7, EXACT, EXACT + 1, 60])
def test_the_smallest_p_is_that_of_equal_differences(C):
    p = sign_flip_p(np.ones((C, 1)))[0]
    assert p >= smallest_p(C)
    assert p == (2.0 ** (1 - C) if C <= EXACT else pytest.approx(1 / (1 + FLIPS), abs=4e-4))


def test_tests_together_are_tests_one_by_one():
    sums = np.random.default_rng(6).normal(0.3, 1, (33, 5))
    alone = [sign_flip_p(sums[:, [k]])[0] for k in range(5)]
    np.testing.assert_array_equal(sign_flip_p(sums), alone)


def heavy_tails(rng):
    """Draw differences of few or many perturbations with tails that no mean can stand."""
    n = int(rng.integers(2, 60))
    values = rng.standard_t(1.1, n) + rng.normal(0, 1)
    if rng.random() < 0.3:
        values[rng.integers(n)] = rng.choice([-1, 1]) * 10 ** rng.uniform(1, 6)
    return values, rng.integers(0, max(2, n // 2), n)


def test_effect_interval_and_p_never_disagree_in_sign():
    """Heavy tails: a signed-rank test and a mean often point different ways there."""
    rng, decided, ranks_disagree = np.random.default_rng(9), 0, 0
    for _ in range(600):
        values, clusters = heavy_tails(rng)
        sample = Sample({"a": values, "b": np.zeros(len(values))}, clusters, 400, 0.8)
        estimate, sums = sample.difference("a", "b"), sample.cluster_differences("a", "b")
        p = sign_flip_p(sums[:, None])[0]
        if np.isfinite(estimate.low):
            assert estimate.low <= estimate.value <= estimate.high
        if len(sums) <= 10:  # all of p is on the side of the difference, and its mirror image
            signs = np.array(list(product([1, -1], repeat=len(sums))))
            side = (np.sign(estimate.value) * (signs @ sums) >= abs(sums.sum()) * (1 - 1e-9)).mean()
            assert p == pytest.approx(2 * side)
        for higher in (True, False):
            decision = better(estimate, p, 0.2, higher)
            if decision != "neither":
                decided += 1
                assert (decision == "arm") == ((values.mean() > 0) == higher)
                assert np.sign(estimate.low) == np.sign(estimate.high) == np.sign(values.mean())
        up = stats.wilcoxon(values, alternative="greater").pvalue < 0.5
        ranks_disagree += up != (values.mean() > 0)
    assert decided > 100 and ranks_disagree > 50  # the cases are as hard as they are meant to be


def test_an_error_worse_on_100_of_120_perturbations_is_not_better():
    """Worse by a little on 100, better by much on 20: the mean alone decides, with its own p."""
    rng = np.random.default_rng(12)
    arm = np.concatenate([rng.uniform(0.01, 0.03, 100), -rng.uniform(0.05, 0.25, 20)])
    assert stats.wilcoxon(arm).pvalue < 0.01 and arm.mean() < 0  # what was combined
    result = paired_comparison(arm, np.zeros(120), np.arange(120), 2000, 0.95)
    by_t = stats.ttest_1samp(arm, 0).pvalue
    assert result.p == pytest.approx(by_t, abs=0.03)
    assert result.p > 0.05 and result.low < 0 < result.high


def test_pairs_of_a_perturbation_are_one_unit_of_the_test():
    rng = np.random.default_rng(4)
    difference = rng.normal(size=12)
    once = paired_comparison(difference, np.zeros(12), np.arange(12), 200, 0.95)
    thrice = paired_comparison(
        np.repeat(difference, 3), np.zeros(36), np.repeat(np.arange(12), 3), 200, 0.95
    )
    assert thrice.p == pytest.approx(once.p)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert thrice.n_pairs == 36


def test_missing_pairs_and_no_difference():
    arm = np.array([1.0, np.nan, 2.0])
    result = paired_comparison(arm, np.array([1.0, 5.0, 2.0]), np.arange(3), 200, 0.95)
    assert (result.n_pairs, result.difference, result.p) == (2, 0.0, 1.0)
    nothing = paired_comparison(np.full(2, np.nan), np.ones(2), np.arange(2), 200, 0.95)
    assert nothing.n_pairs == 0 and np.isnan(nothing.p)


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
        called += result.p < 0.05 and not result.low <= 0 <= result.high
    assert called <= 10
    assert 184 <= covered <= 196
