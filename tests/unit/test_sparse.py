"""Adaptive shrinkage against numerical integration and planted effects."""

import numpy as np
import pytest
from response_cases import draw_responses
from scipy.integrate import quad
from scipy.stats import norm

from ptrag.arms.expert.sparse import WIDTHS, Prior, shrunken


def test_the_factor_is_the_posterior_mean_by_integration():
    weights = np.array([0.5, 0, 0.1, 0.2, 0, 0.15, 0.05, 0, 0, 0])
    prior = Prior(weights)

    def density(theta):
        wide = WIDTHS > 0
        return (weights[wide] * norm.pdf(theta, scale=np.sqrt(WIDTHS[wide]))).sum()

    for z in (0.3, 1.0, 2.5, 5.0):
        limits = {"limit": 400, "points": [0, z]}
        above, _ = quad(lambda t, z=z: t * density(t) * norm.pdf(z - t), -60, 60, **limits)
        mass, _ = quad(lambda t, z=z: density(t) * norm.pdf(z - t), -60, 60, **limits)
        expected = above / (mass + weights[0] * norm.pdf(z))
        assert prior(np.array([z**2]))[0] * z == pytest.approx(expected, rel=1e-6)
        square, _ = quad(lambda t, z=z: t**2 * density(t) * norm.pdf(z - t), -60, 60, **limits)
        variance = square / (mass + weights[0] * norm.pdf(z)) - expected**2
        assert prior.variance(np.array([z**2]))[0] == pytest.approx(variance, rel=1e-5)


def test_the_factor_rises_from_noise_to_certainty():
    prior = Prior(np.array([0.9, 0, 0, 0, 0.05, 0.05, 0, 0, 0, 0]))
    factor = prior(np.array([0.0, 1.0, 4.0, 9.0, 100.0]))
    assert (np.diff(factor) > 0).all()
    assert factor[0] < 0.05
    assert factor[-1] > 0.9


def test_sparse_effects_are_told_from_noise():
    """Squared error of planted sparse effects: far below that of the best linear factor."""
    rng = np.random.default_rng(0)
    theta = np.where(rng.random(100_000) < 0.05, 5 * rng.normal(size=100_000), 0.0)
    z = theta + rng.normal(size=theta.shape)
    shrunk = Prior.fitted(z**2)(z**2) * z
    linear = (z @ theta) / (z @ z) * z
    assert ((shrunk - theta) ** 2).sum() < 0.5 * ((linear - theta) ** 2).sum()
    noise = rng.normal(size=100_000)
    assert np.abs(Prior.fitted(noise**2)(noise**2)).max() < 0.15


def test_what_is_known_exactly_is_not_shrunk():
    responses = draw_responses(seed=2, noise=0.0)
    assert shrunken(responses) is None
    clear = draw_responses(seed=2, noise=1e-3)
    entries = shrunken(clear)
    np.testing.assert_allclose(entries.values, clear.centred, rtol=0.01, atol=0.01)
