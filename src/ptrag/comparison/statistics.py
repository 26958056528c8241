"""Means over pairs, with perturbations and seeds as the independent units.

The statistic is the mean over pairs of a metric, or of the difference of two arms, seeds averaged
within a pair. The pairs of one perturbation in several lines are not independent: they are one
cluster. With S_c the sum of the differences over the n_c pairs of cluster c, the difference is
D = Σ S_c / Σ n_c. Its interval is a bootstrap: clusters are drawn with replacement, and so are the
seeds of every arm that has several (crossed, as in Owen, Ann. Appl. Stat. 1 (2007), 386-411). It
always contains D. The p-value is that of the same D (:mod:`ptrag.comparison.permutation`), so that
the difference, an interval that excludes zero and a small p-value always point the same way.

With two seeds that differ more than the perturbations do, an interval of 95 % covers about 90 %:
two values say little of their own spread.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri, stdtrit

from ptrag.base.random import keyed_rng
from ptrag.comparison.permutation import ROUNDING, sign_flip_p


@dataclass(frozen=True)
class Estimate:
    """A mean over pairs, or a difference of two.

    Attributes
    ----------
    value, low, high
        The estimate and its interval; NaN where there is none (fewer than two clusters).
    error
        Standard error, from the same bootstrap.
    degrees
        Degrees of freedom of that error.
    """

    value: float
    low: float
    high: float
    error: float
    degrees: float


class Sample:
    """Values of several arms over the same pairs, resampled together.

    Parameters
    ----------
    values
        Per name, (n, S) finite values of n pairs and S seeds; (n,) is one seed.
    clusters
        (n,) cluster of each pair: its perturbation.
    resamples
        Bootstrap resamples.
    confidence
        Coverage of the intervals.

    Attributes
    ----------
    n, C
        Pairs and clusters.
    means
        The mean of each name.
    draws
        (resamples,) means of each name, over the same resampled clusters.
    """

    def __init__(
        self,
        values: Mapping[Hashable, np.ndarray],
        clusters: np.ndarray,
        resamples: int,
        confidence: float,
    ) -> None:
        codes, names = pd.factorize(np.asarray(clusters), sort=True)
        self.n, self.C = len(codes), len(names)
        self.sizes = np.bincount(codes, minlength=self.C).astype(float)
        self.confidence, self.resamples = confidence, resamples
        self._sums = {name: _cluster_sums(array, codes, self.C) for name, array in values.items()}
        self.means = {name: float(sums.mean(axis=1).sum() / self.n) if self.n else np.nan
                      for name, sums in self._sums.items()}  # fmt: skip
        self.draws = {name: self._resampled(name) for name in values}

    def _resampled(self, name: Hashable) -> np.ndarray:
        if self.C < 2:
            return np.full(self.resamples, np.nan)
        counts, sums = _cluster_draws(self.C, self.resamples), self._sums[name]
        weights = _seed_draws(str(name), sums.shape[1], self.resamples)
        return ((counts @ sums) * weights).sum(axis=1) / (counts @ self.sizes)

    def seeds(self, name: Hashable) -> int:
        """Return S of one name."""
        return self._sums[name].shape[1]

    def mean(self, name: Hashable) -> Estimate:
        """Return the mean of one name over the pairs."""
        return self.estimate(self.means[name], self.draws[name], name)

    def difference(self, name: Hashable, against: Hashable) -> Estimate:
        """Return the mean paired difference, ``name`` minus ``against``."""
        value = float(self.cluster_differences(name, against).sum() / self.n) if self.n else np.nan
        return self.estimate(value, self.draws[name] - self.draws[against], name, against)

    def cluster_differences(self, name: Hashable, against: Hashable) -> np.ndarray:
        """Return S_c, (C,): the summed difference of each cluster, seeds averaged.

        A difference that is rounding alone is zero.
        """
        a, b = (self._sums[arm].mean(axis=1) for arm in (name, against))
        return np.where(np.abs(a - b) > ROUNDING * (np.abs(a) + np.abs(b)), a - b, 0.0)

    def ratio(
        self, above: tuple[float, np.ndarray], below: tuple[float, np.ndarray], name: Hashable
    ) -> Estimate:
        """Return a ratio of two means, each given as (value, draws), for the arm ``name``.

        A draw whose denominator has another sign than the estimate's says nothing about size:
        it counts as infinitely far on the side of its numerator. An end that is not finite is
        NaN.
        """
        (top, tops), (bottom, bottoms) = above, below
        direction = np.sign(bottom)
        draws = np.divide(
            tops, bottoms, out=np.copysign(np.inf, tops * direction),
            where=bottoms * direction > 0,
        )  # fmt: skip
        return self.estimate(top / bottom, draws, name)

    def estimate(
        self, value: float, draws: np.ndarray, name: Hashable, against: Hashable | None = None
    ) -> Estimate:
        """Return any function of the means as an estimate.

        Parameters
        ----------
        value, draws
            The function of :attr:`means`, and (resamples,) of :attr:`draws`.
        name, against
            What it is about: degrees of freedom are those of this mean or difference.
        """
        if self.C < 2:
            return Estimate(value, np.nan, np.nan, np.nan, np.nan)
        degrees = self._degrees(name, against)
        low, high = expanded_interval(value, draws, self.C, degrees, self.confidence)
        finite = draws[np.isfinite(draws)]
        error = float(np.sqrt(self.C / (self.C - 1)) * finite.std()) if len(finite) else np.nan
        return Estimate(value, low, high, error, degrees)

    def _degrees(self, name: Hashable, against: Hashable | None = None) -> float:
        """Degrees of freedom of a mean or a difference (Satterthwaite, 1946).

        (v_c + v_s)² / (v_c² / (C − 1) + Σ v_s² / (S − 1)) for the variance v_c that comes from
        clusters and the v_s that come from the seeds of each arm.
        """
        if self.C < 2:
            return np.nan
        arms = [name] if against is None else [name, against]
        summed = (
            self._sums[name].mean(axis=1)
            if against is None
            else self.cluster_differences(name, against)
        )
        rest = summed - summed.sum() / self.n * self.sizes
        of_clusters = self.C / (self.C - 1) * float(rest @ rest) / self.n**2
        total, over = of_clusters, of_clusters**2 / (self.C - 1)
        for sums in (self._sums[arm] for arm in arms):
            S = sums.shape[1]
            if S > 1:
                of_seeds = float((sums.sum(axis=0) / self.n).var(ddof=1)) / S
                total, over = total + of_seeds, over + of_seeds**2 / (S - 1)
        return total**2 / over if over > 0 else float(self.C - 1)


def _by_seed(values: np.ndarray) -> np.ndarray:
    """(n,) or (n, S) values as (n, S) float64."""
    values = np.asarray(values, np.float64)
    return values[:, None] if values.ndim == 1 else values


def _cluster_sums(values: np.ndarray, codes: np.ndarray, C: int) -> np.ndarray:
    """Sum (n, S) or (n,) values within clusters: (C, S) float64."""
    values = _by_seed(values)
    return np.stack([np.bincount(codes, column, C) for column in values.T], axis=1)


def expanded_interval(
    value: float, draws: np.ndarray, clusters: int, degrees: float, confidence: float
) -> tuple[float, float]:
    """Percentile interval of bootstrap draws, expanded for few clusters and seeds.

    The plain one is too narrow for few clusters (Hesterberg, Am. Stat. 69 (2015), 371-386):
    both arms of it are lengthened by √(C / (C − 1)) · t_degrees / z.

    Parameters
    ----------
    value
        The estimate, which the interval contains.
    draws
        (resamples,) of it; infinite draws are allowed.
    clusters, degrees
        C, and the degrees of freedom of the estimate's error.
    confidence
        Coverage.

    Returns
    -------
    low, high
        NaN for an end that is not finite.
    """
    z = float(ndtri(0.5 + confidence / 2))
    factor = np.sqrt(clusters / (clusters - 1)) * float(stdtrit(degrees, 0.5 + confidence / 2)) / z
    ends = np.quantile(draws, ndtr([-z, z]), method="nearest")
    low, high = value - factor * max(value - ends[0], 0), value + factor * max(ends[1] - value, 0)
    return tuple(float(end) if np.isfinite(end) else np.nan for end in (low, high))


@lru_cache(maxsize=4)
def _cluster_draws(clusters: int, resamples: int) -> np.ndarray:
    """(resamples, clusters) how often each cluster is drawn."""
    rng = keyed_rng("cluster draws", clusters)
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), resamples).astype(float)


@lru_cache(maxsize=256)
def _seed_draws(name: str, seeds: int, resamples: int) -> np.ndarray:
    """(resamples, seeds) weight of each seed, drawn for each arm by itself.

    1/S for a single seed. Else (count / S − 1/S) √(S / (S − 1)) + 1/S, so that the variance of
    the weighted mean is the unbiased one of a mean of S seeds.
    """
    if seeds == 1:
        return np.ones((1, 1))
    counts = keyed_rng("seed draws", name, seeds).multinomial(
        seeds, np.full(seeds, 1 / seeds), resamples
    )
    return 1 / seeds + (counts - 1) / seeds * np.sqrt(seeds / (seeds - 1))


def bootstrap_mean_interval(
    values: np.ndarray, clusters: np.ndarray, resamples: int, confidence: float
) -> tuple[float, float, float]:
    """Return the mean of (n,) or (n, S) finite values and its interval (see :class:`Sample`)."""
    estimate = Sample({"values": values}, clusters, resamples, confidence).mean("values")
    return estimate.value, estimate.low, estimate.high


def wilson(share: float, units: int, confidence: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of independent units; NaN without any."""
    if not units:
        return np.nan, np.nan
    z = float(ndtri(0.5 + confidence / 2))
    centre = (share + z**2 / (2 * units)) / (1 + z**2 / units)
    spread = share * (1 - share) / units + z**2 / (4 * units**2)
    half = z * np.sqrt(spread) / (1 + z**2 / units)
    low, high = float(centre - half), float(centre + half)
    return 0.0 if share == 0 else low, 1.0 if share == 1 else high  # exactly, without rounding


@dataclass(frozen=True)
class PairedComparison:
    """One arm against another over the pairs that both have.

    Attributes
    ----------
    n_pairs
        Pairs compared.
    difference, low, high
        Mean paired difference, arm minus against, with its interval.
    p
        Of the sign-flip permutation of this difference.
    """

    n_pairs: int
    difference: float
    low: float
    high: float
    p: float


def paired_comparison(
    arm: np.ndarray,
    against: np.ndarray,
    clusters: Sequence[Hashable],
    resamples: int,
    confidence: float,
) -> PairedComparison:
    """Compare two arms on the same pairs.

    Parameters
    ----------
    arm, against
        (n,) or (n, S) values of a metric, pair by pair; a pair with a NaN is left out.
    clusters
        (n,) perturbation of each pair.
    resamples, confidence
        Of the interval.
    """
    arrays = [
        np.asarray(values, np.float64).reshape(len(clusters), -1) for values in (arm, against)
    ]
    finite = np.isfinite(np.concatenate(arrays, axis=1)).all(axis=1)
    kept = {name: values[finite] for name, values in zip("ab", arrays, strict=True)}
    sample = Sample(kept, np.asarray(clusters)[finite], resamples, confidence)
    estimate = sample.difference("a", "b")
    p = sign_flip_p(sample.cluster_differences("a", "b")[:, None])[0]
    return PairedComparison(sample.n, estimate.value, estimate.low, estimate.high, float(p))
