"""The plateau rule, on planted curves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptrag.base.plateau import GAIN, PATIENCE, WINDOW, smoothed, still_improving

STEPS = np.arange(61.0)
FALLING = 1.0 / (1.0 + STEPS)  # without end: from 3/4 of any run to its end by a quarter
SETTLED = 0.5 + 0.5 * np.exp(-STEPS / 4)  # within e^-11 of its limit at 3/4 of the run
OVER_FITTED = SETTLED + 0.01 * np.maximum(STEPS - 20, 0)
RISING = 1.0 + 0.02 * STEPS
FLAT = np.full(61, 0.7)


@pytest.mark.parametrize(
    ("curve", "improving"),
    [
        (FALLING, True), (SETTLED, False), (OVER_FITTED, False), (RISING, False), (FLAT, False),
        (1 + 1000 * np.exp(-2 * STEPS) + 0.5 * np.exp(-STEPS / 20), True),  # from far, then slowly
        (1.0 - 0.001 * STEPS, True),  # slowly, but by 1.6 % in the last quarter
        (1.0 - 0.0004 * STEPS, False),  # by .6 %
    ],
)  # fmt: skip
def test_planted_curves(curve, improving):
    assert still_improving(curve) == improving


def test_a_settled_curve_counts_as_improving_until_it_has_settled():
    verdicts = [still_improving(SETTLED[: n + 1]) for n in range(1, 61)]
    stop = verdicts.index(False)
    assert all(verdicts[:stop])
    assert not any(verdicts[stop:])
    # at the stop, what an endless training could still gain is less than the smallest that counts
    assert SETTLED[: stop + 2].min() - 0.5 < 2 * GAIN * 0.5


def test_noise_of_validation_neither_hides_a_plateau_nor_fakes_one():
    """200 draws of noise of 1 % of the value, which is as much as the smallest gain that counts."""
    rng = np.random.default_rng(0)
    noise = 1 + 0.01 * rng.standard_normal((200, 61))
    assert np.mean([still_improving(curve) for curve in FALLING * noise]) == 1.0
    assert np.mean([still_improving(curve) for curve in FLAT * noise]) < 0.05
    assert np.mean([still_improving(curve) for curve in OVER_FITTED * noise]) < 0.05


@pytest.mark.parametrize("patience", [1, 2, PATIENCE])
def test_a_run_too_short_to_judge_is_still_improving(patience):
    assert still_improving(FLAT[: WINDOW + patience], patience)
    assert not still_improving(FLAT[: WINDOW + patience + 1], patience)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=40), st.integers(1, 8), st.integers(1, 8))
def test_a_plateau_by_one_patience_is_one_by_any_smaller(values, patience, less):
    if not still_improving(values, patience + less):
        assert not still_improving(values, patience)


@given(st.lists(st.floats(0.01, 10), min_size=2, max_size=40), st.floats(0.01, 100))
def test_the_unit_of_the_metric_means_nothing(values, unit):
    smooth = smoothed(values)
    margins = np.abs(np.subtract.outer(smooth, smooth * (1 - GAIN)))
    if margins.min() > 1e-9:  # no comparison hangs on rounding
        assert still_improving(values) == still_improving([unit * value for value in values])


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20))
def test_smoothing_is_the_mean_of_the_value_and_two_before_it(values):
    direct = [np.mean(values[max(0, i - 2) : i + 1]) for i in range(len(values))]
    np.testing.assert_allclose(smoothed(values), direct, atol=1e-9)
