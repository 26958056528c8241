"""The pooled scale, trust in a metric, power and plateaus: by hand, by theory, by simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ptrag.comparison.power import reach
from ptrag.comparison.scale import Scale
from ptrag.comparison.statistics import Estimate, paired_comparison
from ptrag.metrics.registry import METRICS

EVALUATION = {"bootstrap": 1000, "confidence": 0.95}


def scale_of(metric, value, floor, ceiling):
    """Return the scale of a metric on planted pairs, with one arm ``x``."""
    pairs = pd.DataFrame(
        {"perturbation": [f"P{i}" for i in range(len(floor))], "floor": floor, "ceiling": ceiling}
    )
    return Scale(METRICS[metric], {"x": np.asarray(value)[:, None]}, pairs, EVALUATION)


def test_one_ratio_of_means_and_no_mean_of_ratios():
    """Pairs whose noisy ends lie the wrong way round count like all others."""
    value, floor = np.array([0.5, 0.6, 0.4, 0.5]), np.array([0.9, 0.2, 0.9, 1.0])
    ceiling = np.array([0.1, 0.25, 0.1, 0.05])
    scale = scale_of("mae", value, floor, ceiling)
    expected = (value.mean() - floor.mean()) / (ceiling.mean() - floor.mean())
    scaled = scale.scaled("x")
    assert not scale.trust.trusted or scaled.value == pytest.approx(expected)
    many = scale_of("mae", *(np.tile(x, 10) for x in (value, floor, ceiling)))
    assert many.trust.trusted and many.scaled("x").value == pytest.approx(expected)
    assert many.scaled("x").low < expected < many.scaled("x").high


def test_a_correlation_of_halves_is_that_of_full_size_by_spearman_and_brown():
    """Two samples of n cells correlate as 2r / (1 + r) of two halves: by simulation."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(40, 500))
    halves = truth + rng.normal(0, 1.5 * np.sqrt(2), (2, 2, *truth.shape))  # two samples, halves

    def correlations(a, b):
        return np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)])

    half = correlations(*halves[0])
    full = correlations(*halves.mean(axis=1))
    scale = scale_of("pearson_delta", full, np.zeros(40), half)
    assert scale.trust.replicate == pytest.approx(full.mean(), abs=0.01)
    assert half.mean() < full.mean() - 0.1
    assert scale.scaled("x").value == pytest.approx(1, abs=0.03)  # a full replicate is 1
    assert scale_of("mae", full, np.ones(40), half).trust.replicate == pytest.approx(half.mean())


def test_a_squared_error_of_halves_is_twice_that_of_full_size():
    """Means of n cells differ by half the squared error of means of n/2: by simulation."""
    rng = np.random.default_rng(3)
    halves = rng.normal(0, 1 / np.sqrt(24), (2, 2, 40, 500))  # two samples of 48, in halves
    half = ((halves[0, 0] - halves[0, 1]) ** 2).mean(axis=1)
    full = (np.subtract(*halves.mean(axis=1)) ** 2).mean(axis=1)
    scale = scale_of("mse", full, np.ones(40), half)
    assert scale.trust.replicate == pytest.approx(full.mean(), rel=0.02)
    assert scale.scaled("x").value == pytest.approx(1, abs=0.01)


def test_the_interval_of_the_scale_covers():
    rng, covered = np.random.default_rng(1), 0
    for _ in range(300):
        floor, ceiling = rng.normal(0.2, 0.1, 30), rng.normal(0.6, 0.1, 30)
        scale = scale_of("centroid_accuracy", rng.normal(0.4, 0.1, 30), floor, ceiling)
        scaled = scale.scaled("x")
        covered += scaled.low <= 0.5 <= scaled.high
    assert 0.92 <= covered / 300 <= 0.98


def test_a_metric_that_cannot_tell_replicates_from_the_baseline_has_no_scale():
    """At most as often as the level says, when both ends have one distribution."""
    rng, trusted = np.random.default_rng(2), 0
    for _ in range(300):
        floor, ceiling = rng.normal(0.5, 0.2, (2, 20))
        scale = scale_of("pds_cosine", floor, floor, ceiling)
        trusted += scale.trust.trusted
        if not scale.trust.trusted:
            assert np.isnan(scale.scaled("x").value)
    assert trusted / 300 <= 0.05  # one side of a 95 % interval


def test_trust_by_hand():
    floor, ceiling = np.array([1.0, 1, 1, 1, 1]), np.array([0.5, 0.6, 0.4, 0.5, 0.5])
    trust = scale_of("mae", floor, floor, ceiling).trust
    gain = floor - ceiling
    assert trust.dynamic_range == pytest.approx(gain.mean() / gain.std(ddof=1))
    assert trust.separation == 1 and trust.trusted
    worse = scale_of("mae", floor, ceiling, floor).trust  # a replicate that is worse
    assert worse.dynamic_range < 0 and worse.separation == 0 and not worse.trusted


def test_a_correlation_is_trusted_by_what_a_replicate_of_full_size_would_reach():
    """Halves that correlate .33 stand for samples that correlate .5: a mean baseline of .4."""
    rng = np.random.default_rng(5)
    floor, ceiling = rng.normal(0.4, 0.05, 30), rng.normal(1 / 3, 0.05, 30)
    assert scale_of("pearson_delta", floor, floor, ceiling).trust.trusted
    assert not scale_of("pds_cosine", floor, floor, ceiling).trust.trusted  # not correctable


@pytest.mark.parametrize(("n", "tests"), [(20, 1), (60, 12)])
def test_a_detectable_difference_is_called_four_times_in_five(n, tests):
    """By the rule that decides: interval without zero and p below α after Holm's first step."""
    rng, called = np.random.default_rng(n), 0
    estimate = Estimate(0.0, 0.0, 0.0, error=1 / np.sqrt(n), degrees=n - 1)
    limits = reach(estimate, n, tests, 0.95, 1.0, same=False)
    for _ in range(800):
        result = paired_comparison(
            rng.normal(limits.detectable, 1, n), np.zeros(n), np.arange(n), 400, 0.95
        )
        called += result.low > 0 and tests * result.p < 0.05
    assert called / 800 == pytest.approx(0.8, abs=0.06)


def test_power_names_what_cannot_be_decided():
    estimate = Estimate(0.0, 0.0, 0.0, error=0.1, degrees=6)
    none = reach(estimate, 7, 12, 0.95, 1.0, same=False)
    assert none.power == "none" and none.smallest_p == 12 / 64 and np.isinf(none.detectable)
    assert reach(estimate, 7, 3, 0.95, 1.0, same=False).power == "low"
    assert reach(estimate, 7, 3, 0.95, 100.0, same=False).power == "enough"
    assert reach(estimate, 7, 3, 0.95, np.nan, same=False).power == "unknown"
    same = reach(estimate, 7, 3, 0.95, 1.0, same=True)
    assert same.power == "same" and np.isnan(same.detectable)


def test_t_and_sign_flips_order_differences_alike():
    """Why the detectable difference may use the quantiles of t."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        values = rng.normal(0.3, 1, 40)
        p = paired_comparison(values, np.zeros(40), np.arange(40), 100, 0.95).p
        assert p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.03)
