"""The spread of truth about predictions: calibrated on data drawn from its own model."""

import numpy as np
import pytest
from scipy.stats import norm

from ptrag.arms.expert.spread import Spread, false_sign_rate


def draw(seed, gene, n=400, growth=0.1):
    """Predictions, truth and noisy measurements with genes of different variance."""
    rng = np.random.default_rng(seed)
    known = rng.uniform(0.5, 1.5, n)
    beyond = rng.normal(size=(n, len(gene))) * rng.uniform(0.1, 1, len(gene))
    variance = np.outer(known / known.mean(), gene) + growth * beyond**2
    truth = beyond + np.sqrt(variance) * rng.normal(size=beyond.shape)
    noise = rng.uniform(0.1, 0.4, beyond.shape) ** 2
    measured = truth + np.sqrt(noise) * rng.normal(size=beyond.shape)
    return beyond, truth, measured, noise, known


def test_planted_variances_are_estimated():
    gene = np.random.default_rng(1).uniform(0.05, 0.5, 80)
    beyond, _, measured, noise, known = draw(0, gene, n=1500)
    spread = Spread.fitted(beyond, measured, noise, known)
    assert spread.growth == pytest.approx(0.1, abs=0.04)
    estimated = spread.sd(np.zeros(80), known.mean(), np.zeros(80)) ** 2
    assert np.corrcoef(estimated, gene)[0, 1] > 0.95
    assert estimated.sum() == pytest.approx(gene.sum(), rel=0.1)


def test_false_signs_come_as_often_as_their_rate_says():
    gene = np.random.default_rng(2).uniform(0.02, 0.2, 60)
    beyond, _, measured, noise, known = draw(3, gene)
    spread = Spread.fitted(beyond, measured, noise, known)
    beyond, truth, *_, known = draw(4, gene, n=2000)
    sd = np.array([spread.sd(b, k, np.zeros(60)) for b, k in zip(beyond, known, strict=True)])
    rate = false_sign_rate(beyond, sd)
    wrong = np.sign(truth) != np.sign(beyond)
    for low, high in ((0.0, 0.01), (0.01, 0.1), (0.1, 0.3), (0.3, 0.5)):
        here = (rate > low) & (rate <= high)
        assert here.sum() > 500
        assert wrong[here].mean() == pytest.approx(rate[here].mean(), abs=0.02)


def test_no_prediction_says_nothing_of_the_sign():
    assert false_sign_rate(np.zeros(3), np.ones(3)).tolist() == [0.5] * 3
    assert false_sign_rate(np.array([-2.0]), np.ones(1))[0] == pytest.approx(norm.cdf(-2))


def test_a_little_known_pair_and_an_uncertain_level_widen_the_spread():
    spread = Spread(np.array([0.2, 0.4]), 0.1, 2.0)
    beyond, level = np.array([1.0, 0.0]), np.array([0.09, 0.0])
    expected = np.sqrt([1.5 * 0.2 + 0.1 + 0.09, 1.5 * 0.4])
    np.testing.assert_allclose(spread.sd(beyond, 3.0, level), expected)


def test_residuals_within_their_noise_leave_some_spread():
    beyond = np.zeros((50, 4))
    spread = Spread.fitted(beyond, beyond, np.ones_like(beyond), np.ones(50))
    assert (spread.sd(beyond[0], 1.0, np.zeros(4)) > 0).all()
