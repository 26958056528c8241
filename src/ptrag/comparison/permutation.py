"""Tests of a mean over clusters by flipping their signs, and Holm's adjustment of several.

The statistic is the difference that is reported, D = Σ S_c / Σ n_c with S_c the summed difference
of cluster c. Under the null hypothesis that two arms are exchangeable within each cluster, every
choice of signs s_c = ±1 is as likely: p is the share of the choices with |Σ s_c S_c| ≥ |Σ S_c|.
"""

from functools import lru_cache

import numpy as np

from ptrag.base.random import keyed_rng

EXACT = 14
"""Clusters up to which all signs are enumerated."""

FLIPS = 9_999
"""Choices of signs that are drawn where there are more clusters."""

ROUNDING = 1e-9
"""Relative distance within which two sums count as equal."""


def sign_flip_p(sums: np.ndarray) -> np.ndarray:
    """Two-sided p of Σ S_c under independent signs of the clusters.

    Up to :data:`EXACT` clusters all 2^C choices of signs are enumerated; above,
    p = (1 + b) / (1 + m) for b of m = :data:`FLIPS` drawn choices that reach as far (Phipson and
    Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010), 39).

    Parameters
    ----------
    sums
        (C, K) summed difference of each cluster, for K tests.

    Returns
    -------
    p
        (K,); 1 where every sum is zero, NaN for no cluster.
    """
    C, K = sums.shape
    if not C:
        return np.full(K, np.nan)
    signs, exact = _signs(C)
    observed = np.abs(sums.sum(axis=0)) - ROUNDING * np.abs(sums).sum(axis=0)
    reached = np.zeros(K)
    for start in range(0, len(signs), 1024):
        flipped = np.abs(signs[start : start + 1024].astype(np.float64) @ sums)
        reached += (flipped >= observed).sum(axis=0)
    return reached / len(signs) if exact else (1 + reached) / (1 + len(signs))


@lru_cache(maxsize=2)
def _signs(clusters: int) -> tuple[np.ndarray, bool]:
    """(choices, clusters) of ±1, and whether these are all; a choice stands for its mirror."""
    if clusters <= EXACT:
        bits = np.arange(2 ** (clusters - 1))[:, None] >> np.arange(clusters) & 1
        return (1 - 2 * bits).astype(np.int8), True
    rng = keyed_rng("sign flips", clusters)
    return (1 - 2 * rng.integers(0, 2, (FLIPS, clusters))).astype(np.int8), False


def smallest_p(clusters: int) -> float:
    """Return the smallest p that :func:`sign_flip_p` can reach: 2^(1 − C), or 1 / (1 + m)."""
    return 2.0 ** (1 - clusters) if clusters <= EXACT else 1 / (1 + FLIPS)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values max_{j ≤ i} min(1, (n − j + 1) p_(j)); NaN stays NaN.

    Holm, Scand. J. Stat. 6 (1979), 65-70.
    """
    p = np.asarray(p, np.float64)
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.maximum.accumulate(np.minimum(p[order] * factors, 1.0))
    return adjusted
