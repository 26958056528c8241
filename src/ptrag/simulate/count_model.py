"""The count model of the simulated screen: draws, and exact expectations of log1p profiles.

A cell with expected fractions π (G, summing to one) and library size N has

    m_g = N π_g,   N ~ LogNormal(log LIBRARY, LIBRARY_SIGMA²)
    x_g ~ NB(mean m_g, variance m_g + DISPERSION m_g²),
    x_g lost (set to zero) with probability DROPOUT / (1 + m_g),

and its profile is log1p(10⁴ x_g / Σ x). The expectation of that profile needs
no sampling: it depends on a gene's mean and on the total of the other genes
alone, so it is summed exactly once on a grid of both and interpolated.
"""

from functools import cache

import numpy as np
from scipy.ndimage import map_coordinates, spline_filter
from scipy.stats import nbinom

LIBRARY = 2500.0  # median counts of a cell
LIBRARY_SIGMA = 0.3
DISPERSION = 0.3
DROPOUT = 0.3
SCALE = 1e4  # counts that a profile is normalised to

_LIBRARY_NODES = 5
_LOG_MEANS = np.linspace(np.log(1e-4), np.log(3e3), 140)
_LOG_TOTALS = np.linspace(np.log(100.0), np.log(3e4), 40)


def draw_counts(fractions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw counts.

    Parameters
    ----------
    fractions
        (n, G) expected fractions of every cell, rows summing to one.
    rng
        Source of all randomness.

    Returns
    -------
    counts
        (n, G) int64.
    """
    library = LIBRARY * np.exp(LIBRARY_SIGMA * rng.standard_normal((len(fractions), 1)))
    mean = library * fractions
    counts = rng.poisson(rng.gamma(1 / DISPERSION, DISPERSION * mean))
    counts[rng.random(counts.shape) < DROPOUT / (1 + mean)] = 0
    return counts


def expected_profile(fractions: np.ndarray) -> np.ndarray:
    """Return E[log1p(10⁴ x / Σ x)] over library size, counts and dropout.

    Parameters
    ----------
    fractions
        (..., G) expected fractions of a cell.

    Returns
    -------
    profile
        (..., G) float64.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_LIBRARY_NODES)
    profile = np.zeros(fractions.shape)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        mean = LIBRARY * np.exp(LIBRARY_SIGMA * node) * fractions
        kept = 1 - DROPOUT / (1 + mean)
        others = _but_own(kept * mean)
        variance = _but_own(kept * (mean + DISPERSION * mean**2 + (1 - kept) * mean**2))
        # The total of many genes is nearly log-normal and enters by its logarithm:
        # its geometric mean stands for it.
        typical = others * np.exp(-0.5 * variance / others**2)
        profile += weight * kept * _without_dropout(mean, typical)
    return profile


def _but_own(values: np.ndarray) -> np.ndarray:
    """For every gene, the sum over the other genes."""
    return values.sum(axis=-1, keepdims=True) - values


def _without_dropout(mean: np.ndarray, others: np.ndarray) -> np.ndarray:
    """E[log1p(10⁴ x / (x + others))] for x ~ NB(mean), interpolated."""
    at = [
        (np.log(np.clip(value, np.exp(grid[0]), None)) - grid[0]) / (grid[1] - grid[0])
        for value, grid in ((mean, _LOG_MEANS), (others, _LOG_TOTALS))
    ]
    return np.exp(map_coordinates(_table(), at, order=3, mode="nearest", prefilter=False))


@cache
def _table() -> np.ndarray:
    """Spline coefficients of the log expectation on the grid, summed over all counts.

    The logarithm is smooth down to the smallest means, where the expectation is
    proportional to the mean.
    """
    table = np.empty((len(_LOG_MEANS), len(_LOG_TOTALS)))
    totals = np.exp(_LOG_TOTALS)[:, None]
    for row, mean in enumerate(np.exp(_LOG_MEANS)):
        size = 1 / DISPERSION
        law = nbinom(size, size / (size + mean))
        x = np.arange(1, int(law.isf(1e-10)) + 2)
        table[row] = np.log(np.log1p(SCALE * x / (x + totals)) @ law.pmf(x))
    return spline_filter(table, order=3, mode="nearest")
