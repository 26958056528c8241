"""Differential expression of a sample of cells against controls, all genes at once.

Both tests give two-sided p-values. ``size`` lets a sample be tested as if it had that many
cells: a model may predict any number, and more cells make more genes significant.
"""

import numpy as np
from scipy.special import ndtr, stdtr

from ptrag.base.moments import Moments
from ptrag.metrics.ranks import SortedControls


def welch(sample: Moments, controls: Moments, size: int | None = None) -> np.ndarray:
    """Welch's t-test: t = (x̄ − ȳ) / √(s_x²/n + s_y²/m), degrees of freedom by Satterthwaite.

    Parameters
    ----------
    sample, controls
        Moments over the same genes.
    size
        n of the sample in the test; its own where None.

    Returns
    -------
    p
        (G,). 1 where neither sample varies and the means are equal, 0 where they differ;
        NaN where a sample has a single cell.
    """
    n = sample.n if size is None else size
    a, b = sample.variance / n, controls.variance / controls.n
    error = a + b
    difference = sample.mean - controls.mean
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = error**2 / (a**2 / (n - 1) + b**2 / (controls.n - 1))
        p = 2 * stdtr(freedom, -np.abs(difference) / np.sqrt(error))
    return np.where(error == 0, (difference == 0).astype(float), np.minimum(p, 1.0))


def wilcoxon(sample: np.ndarray, controls: SortedControls, size: int | None = None) -> np.ndarray:
    """Wilcoxon rank-sum (Mann-Whitney) test, normal approximation.

    U from mid-ranks; variance with tie correction nm/12 · ((n+m+1) − Σ(t³−t)/((n+m)(n+m−1)));
    continuity correction ½.

    Parameters
    ----------
    sample
        (n, G) cells, tested in the type of the controls.
    controls
        The m controls, sorted once for all samples.
    size
        n of the sample in the test; its own where None (the share U/nm is kept).

    Returns
    -------
    p
        (G,); 1 where all values are equal.
    """
    n, m = len(sample), controls.n
    u, ties = controls.u_and_ties(sample)
    if size is not None and size != n:
        u, ties, n = u * (size / n), ties * ((size + m) / (n + m)) ** 3, size
    N = n + m
    variance = n * m / 12 * ((N + 1) - ties / (N * (N - 1)))
    deviation = np.maximum(np.abs(u - n * m / 2) - 0.5, 0.0)
    varies = variance > 1e-9 * n * m
    z = np.divide(deviation, np.sqrt(np.maximum(variance, 0)), out=np.zeros_like(u), where=varies)
    return np.where(varies, np.minimum(2 * ndtr(-z), 1.0), 1.0)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Return adjusted p-values q_(i) = min_{j ≥ i} min(1, p_(j) · n / j); NaN stays NaN.

    Benjamini & Hochberg, J. R. Stat. Soc. B 57 (1995), 289-300.
    """
    q = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    n = len(order)
    steps = p[order] * n / np.arange(1, n + 1)
    q[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return q
