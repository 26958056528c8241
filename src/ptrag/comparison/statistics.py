"""Intervals and paired tests over pairs, with perturbations as the independent units.

The pairs of one perturbation in several lines are not independent: intervals resample whole
perturbations, and tests see one difference per perturbation.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri, stdtrit

from ptrag.base.correlation import mid_ranks

SEED = 20_260_101
EXACT = 50  # differences up to which the signed-rank test enumerates its null distribution


def bootstrap_mean_interval(
    values: np.ndarray, clusters: np.ndarray, resamples: int, confidence: float
) -> tuple[float, float, float]:
    """Mean of values and its bootstrap interval, clusters drawn with replacement.

    The interval is that of the percentiles, expanded as Hesterberg (Am. Stat. 69 (2015),
    371-386) has it, since the plain one is too narrow for few clusters: percentiles at
    Φ(±√(C/(C−1)) t_{C−1}) for C clusters.

    Parameters
    ----------
    values
        (n,) finite values.
    clusters
        (n,) cluster of each, such as the perturbation.
    resamples
        Bootstrap resamples.
    confidence
        Coverage of the interval.

    Returns
    -------
    mean, low, high
        NaN for no value; no interval (NaN) with fewer than two clusters.
    """
    values = np.asarray(values, np.float64)
    if not len(values):
        return np.nan, np.nan, np.nan
    codes = pd.factorize(np.asarray(clusters), sort=True)[0]
    sizes = np.bincount(codes)
    C = len(sizes)
    mean = float(values.mean())
    if C < 2:
        return mean, np.nan, np.nan
    draws = _draws(C, resamples)
    means = (draws @ np.bincount(codes, values)) / (draws @ sizes)
    wide = np.sqrt(C / (C - 1)) * stdtrit(C - 1, 0.5 + confidence / 2)
    low, high = np.quantile(means, ndtr([-wide, wide]))
    return mean, float(low), float(high)


@lru_cache(maxsize=4)
def _draws(clusters: int, resamples: int) -> np.ndarray:
    """(resamples, clusters) how often each cluster is drawn."""
    rng = np.random.default_rng([SEED, clusters])
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), resamples).astype(float)


@dataclass(frozen=True)
class PairedComparison:
    """One arm against another over the pairs that both have.

    Attributes
    ----------
    n_pairs
        Pairs compared.
    difference, low, high
        Mean paired difference, arm minus against, with its bootstrap interval.
    wilcoxon_p
        Two-sided signed-rank p over perturbations; 1 where no difference differs from zero,
        NaN for no pair.
    effect_size
        Matched-pairs rank-biserial correlation (W₊ − W₋) / (W₊ + W₋), −1 to 1.
    """

    n_pairs: int
    difference: float
    low: float
    high: float
    wilcoxon_p: float
    effect_size: float


def paired_comparison(
    arm: np.ndarray, against: np.ndarray, clusters: np.ndarray, resamples: int, confidence: float
) -> PairedComparison:
    """Compare two arms on the same pairs.

    Parameters
    ----------
    arm, against
        (n,) values of a metric, pair by pair; pairs with a NaN are left out.
    clusters
        (n,) perturbation of each pair; the test sees the mean difference of each.
    resamples, confidence
        Of the interval.
    """
    difference = np.asarray(arm, np.float64) - np.asarray(against, np.float64)
    there = np.isfinite(difference)
    difference, clusters = difference[there], np.asarray(clusters)[there]
    interval = bootstrap_mean_interval(difference, clusters, resamples, confidence)
    codes = pd.factorize(clusters)[0]
    per_cluster = np.bincount(codes, difference) / np.bincount(codes)
    return PairedComparison(len(difference), *interval, *signed_rank(per_cluster))


def signed_rank(differences: np.ndarray) -> tuple[float, float]:
    """Wilcoxon signed-rank test of (n,) differences, and the rank-biserial correlation.

    W₊ = Σ ranks of the positive |d|, mid-ranks where they tie, zeros left out (Wilcoxon,
    Biometrics Bull. 1 (1945), 80-83). Up to :data:`EXACT` differences that are not zero, p comes
    from the distribution of W₊ over all 2ⁿ choices of signs given those ranks, ties or not;
    above, from the normal approximation with variance Σ rank² / 4, uncorrected for continuity.

    Returns
    -------
    p, effect
        Two-sided p and (W₊ − W₋) / (W₊ + W₋); (1, 0) where all are zero, NaN for none at all.
    """
    if not len(differences):
        return np.nan, np.nan
    moved = differences[differences != 0]
    if not len(moved):
        return 1.0, 0.0
    ranks = mid_ranks(np.abs(moved))
    up, total = ranks[moved > 0].sum(), ranks.sum()
    effect = float((2 * up - total) / total)
    if len(moved) > EXACT:
        return float(2 * ndtr(-abs(up - total / 2) / np.sqrt((ranks**2).sum() / 4))), effect
    share = _subset_sums(np.rint(2 * ranks).astype(int))
    tail = share[: round(2 * min(up, total - up)) + 1].sum()
    return float(min(1.0, 2 * tail)), effect


def _subset_sums(ranks: np.ndarray) -> np.ndarray:
    """Share of all subsets of the whole-numbered ``ranks`` that sum to 0, 1, ..., Σ ranks."""
    share = np.zeros(ranks.sum() + 1)
    share[0] = 1.0
    for rank in ranks:
        share[rank:] = 0.5 * (share[rank:] + share[:-rank])
        share[:rank] *= 0.5
    return share


def detectable_difference(low: float, high: float, confidence: float, power: float = 0.8) -> float:
    """Smallest true difference whose interval excludes zero with probability ``power``.

    (z_{½ + confidence/2} + z_power) · SE, with SE from the interval's half width
    z_{½ + confidence/2} · SE; a normal approximation, before any adjustment for several tests.
    """
    return (high - low) / 2 * (1 + float(ndtri(power) / ndtri(0.5 + confidence / 2)))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values max_{j ≤ i} min(1, (n − j + 1) p_(j)); NaN stays NaN.

    Holm, Scand. J. Stat. 6 (1979), 65-70.
    """
    p = np.asarray(p, np.float64)
    adjusted = np.full(len(p), np.nan)
    there = np.flatnonzero(~np.isnan(p))
    order = there[np.argsort(p[there], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.maximum.accumulate(np.minimum(p[order] * factors, 1.0))
    return adjusted
