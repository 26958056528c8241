"""Errors weighted by training pairs, and mode collapse, against loops over genes and pairs."""

import numpy as np
import pandas as pd
import pytest

from ptrag.cells.noise import Precision
from ptrag.metrics import means


def test_weighted_errors_by_hand():
    x, y, w = np.array([1.0, 2, 3]), np.array([1.0, 0, 6]), np.array([1.0, 1, 2])
    assert means.weighted_mse(x, y, w) == (0 + 4 + 2 * 9) / 4
    mean = (1 + 0 + 12) / 4
    spread = (1 - mean) ** 2 + mean**2 + 2 * (6 - mean) ** 2
    assert means.weighted_r2(x, y, w) == pytest.approx(1 - 22 / spread)
    assert means.weighted_r2(y, y, w) == 1
    assert np.isnan(means.weighted_mse(x, y, 0 * w)) and np.isnan(means.weighted_r2(x, y, 0 * w))
    assert np.isnan(means.weighted_r2(x, np.ones(3), w))


def test_equal_weights_are_the_plain_errors():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 50))
    assert means.weighted_mse(x, y, np.full(50, 0.3)) == pytest.approx(means.mse(x, y))
    assert means.weighted_r2(x, y, np.full(50, 0.3)) == pytest.approx(means.r2(x, y))


def test_weights_are_the_share_of_signal():
    precision = Precision(np.array([1.0, 2, 0, 1]), np.array([1.0, 0, 0, 3]), pd.DataFrame())
    assert precision.weights.tolist() == [0.5, 0, 0, 0.75]


def test_mode_collapse():
    """True responses score 0 on average whatever the noise, one for all 1, half of each ½."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(80, 400))
    noise = rng.uniform(0.5, 3, 80)
    real = truth + rng.normal(size=truth.shape) * np.sqrt(noise)[:, None]
    known = 400 * noise
    assert means.mode_collapse(truth, real, known) < 0.01
    assert means.mode_collapse(truth / 2, real, known) == pytest.approx(0.5, abs=0.01)
    one = np.tile(truth[0], (80, 1))
    assert means.mode_collapse(one, real, known) == pytest.approx(1)
    assert means.mode_collapse(3 * truth, real, known) == 0
    assert np.isnan(means.mode_collapse(truth[:1], real, known))
    assert np.isnan(means.mode_collapse(truth, real, 1e3 * known))
