"""Merging a sample into sorted controls, against counting all pairs and against scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ptrag.metrics.degs import wilcoxon
from ptrag.metrics.ranks import SortedControls

VALUES = st.lists(st.sampled_from([-2.0, -0.0, 0.0, 0.5, 1.0, 7.0]), min_size=1, max_size=12)


def counted(sample, controls):
    """U and ties of one gene by counting."""
    above = (sample[:, None] > controls).sum() + 0.5 * (sample[:, None] == controls).sum()
    _, sizes = np.unique(np.concatenate([sample, controls]) + 0.0, return_counts=True)
    return above, (sizes.astype(float) ** 3 - sizes).sum()


@given(VALUES, VALUES)
@settings(max_examples=200, deadline=None)
def test_u_and_ties_are_exact(sample, controls):
    sample, controls = np.array(sample), np.array(controls)
    u, ties = SortedControls.of(controls[:, None]).u_and_ties(sample[:, None])
    assert (u[0], ties[0]) == counted(sample, controls)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 7, 400])
def test_many_genes_at_once_are_scipys(dtype, n):
    """Counts with many zeros, values without ties, and samples beyond every control."""
    rng = np.random.default_rng(n)
    sample, controls = (
        np.concatenate(
            [rng.poisson(0.3, (k, 20)), rng.normal(size=(k, 20)), rng.poisson(40, (k, 20))], axis=1
        ).astype(dtype)
        for k in (n, 90)
    )
    sample[:, 20] += 1e3
    sample[:, 21] -= 1e3
    expected = stats.mannwhitneyu(
        sample.astype(float), controls.astype(float), method="asymptotic", axis=0
    )
    ranked = SortedControls.of(controls)
    np.testing.assert_array_equal(ranked.u_and_ties(sample)[0], expected.statistic)
    np.testing.assert_allclose(wilcoxon(sample, ranked), expected.pvalue, rtol=1e-12)


def test_nothing_that_is_given_is_changed():
    rng = np.random.default_rng(0)
    sample, controls = rng.normal(size=(2, 5, 3))
    before = sample.copy(), controls.copy()
    SortedControls.of(controls).u_and_ties(sample)
    np.testing.assert_array_equal((sample, controls), before)
