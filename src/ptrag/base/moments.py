"""Mean and variance of a sample of cells, read in blocks."""

from typing import NamedTuple

import numpy as np


class Moments(NamedTuple):
    """Mean and variance of a sample of cells.

    Attributes
    ----------
    mean
        (G,) float64.
    variance
        (G,) unbiased; NaN for a single cell.
    n
        Number of cells.
    """

    mean: np.ndarray
    variance: np.ndarray
    n: int


def moments(cells: np.ndarray, rows: int = 4096) -> Moments:
    """Return the moments of (n, G) ``cells``, in float64, read ``rows`` at a time."""
    n, genes = cells.shape
    starts = range(0, n, rows)
    mean = sum((cells[a : a + rows].sum(axis=0, dtype=np.float64) for a in starts), np.zeros(genes))
    mean = mean / n
    squares = np.zeros(genes)
    for a in starts:
        difference = cells[a : a + rows] - mean
        squares += np.einsum("ng,ng->g", difference, difference)
    return Moments(mean, squares / (n - 1) if n > 1 else np.full(genes, np.nan), n)


def pooled(one: Moments, other: Moments) -> Moments:
    """Return the moments of two disjoint samples together.

    Σ(x − x̄)² = Σ₁ + Σ₂ + (x̄₁ − x̄₂)² n₁ n₂ / (n₁ + n₂): Chan, Golub & LeVeque, The American
    Statistician 37 (1983), 242-247.
    """
    n = one.n + other.n
    difference = other.mean - one.mean
    squares = difference**2 * (one.n * other.n / n)
    for sample in (one, other):
        if sample.n > 1:
            squares = squares + sample.variance * (sample.n - 1)
    return Moments(one.mean + difference * (other.n / n), squares / (n - 1), n)
