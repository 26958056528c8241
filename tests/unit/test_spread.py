"""The spread of truth about predictions, on data drawn from its own model."""

import numpy as np
import pytest

from ptrag.arms.expert.spread import Spread


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


def test_a_little_known_pair_and_an_uncertain_level_widen_the_spread():
    spread = Spread(np.array([0.2, 0.4]), 0.1, 2.0)
    beyond, level = np.array([1.0, 0.0]), np.array([0.09, 0.0])
    expected = np.sqrt([1.5 * 0.2 + 0.1 + 0.09, 1.5 * 0.4])
    np.testing.assert_allclose(spread.sd(beyond, 3.0, level), expected)


def test_a_left_out_entry_of_unknown_variance_does_not_hide_that_of_the_others():
    gene = np.random.default_rng(1).uniform(0.05, 0.5, 20)
    beyond, _, measured, noise, known = draw(0, gene)
    known[7] = np.nan
    spread = Spread.fitted(beyond, measured, noise, known)
    others = np.delete(known, 7)
    assert spread.usual == pytest.approx(others.mean())
    expected = Spread.fitted(*(np.delete(x, 7, 0) for x in (beyond, measured, noise)), others)
    np.testing.assert_allclose(spread.gene, expected.gene, rtol=0.05)
    well, little, unknown = (spread.sd(beyond[0], v, 0 * gene) for v in (0.5, 1.5, np.nan))
    assert (well < unknown).all() and (unknown < little).all()
    nothing = Spread.fitted(beyond, measured, noise, np.full(len(known), np.nan))
    np.testing.assert_allclose(
        nothing.sd(beyond[0], 1.0, 0 * gene), nothing.sd(beyond[0], 9.0, 0 * gene)
    )


def test_residuals_within_their_noise_leave_some_spread():
    beyond = np.zeros((50, 4))
    spread = Spread.fitted(beyond, beyond, np.ones_like(beyond), np.ones(50))
    assert (spread.sd(beyond[0], 1.0, np.zeros(4)) > 0).all()
