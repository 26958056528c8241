"""The 0-1 scale of a metric on one screen, and whether the metric can be trusted there.

0 is the mean baseline (``floor``), 1 a replicate of the experiment (``ceiling``: one half of a
pair's real cells as the prediction of the other half). The scale of a split is *one* ratio of
means over all pairs that have both ends,

    scaled = (mean value − mean floor) / (replicate − mean floor),

never a mean of ratios of single pairs. A half has half the cells: where the metric is a
correlation r the replicate is 2r̄ / (1 + r̄), what two samples of the full size would reach
(Spearman, Br. J. Psychol. 3 (1910), 271-295; Brown, the same, 296-322). Where it is a mean squared
error of means it is half of that of the halves, exactly: nothing but sampling tells two halves
apart, and its variance falls as the number of cells grows. Other metrics are not corrected, so
that their replicate is a cautious one.

A metric that cannot tell a replicate from the mean baseline cannot tell models apart either.
It is trusted where the interval of (replicate − mean floor) excludes zero on the better side; else
there is no scale, and no claim rests on the metric.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ptrag.base.names import CEILING, FLOOR, PERTURBATION
from ptrag.comparison.permutation import ROUNDING
from ptrag.comparison.statistics import Estimate, Sample
from ptrag.metrics.registry import Metric

REPLICATE = (CEILING,)
BASELINE = (FLOOR,)
"""Names of the two ends in the sample; tuples, so that they meet no arm's name."""

NO_ESTIMATE = Estimate(np.nan, np.nan, np.nan, np.nan, np.nan)


def is_correlation(metric: str) -> bool:
    """Return whether a metric is a correlation over genes, for the Spearman-Brown correction."""
    return metric.startswith(("pearson_", "spearman_")) or metric == "deg_spearman"


def is_squared_error(metric: str) -> bool:
    """Return whether a metric is a mean squared error of means, which halves at full size."""
    return metric in ("mse", "mse_delta", "wmse_delta", "mse_pca")


def full_size(metric: str, replicate: Any) -> Any:
    """Correct the score(s) of a replicate of half size, where that is known how."""
    if is_correlation(metric):
        return 2 * replicate / (1 + replicate)
    return replicate / 2 if is_squared_error(metric) else replicate


@dataclass(frozen=True)
class Trust:
    """How well a metric tells a replicate from the mean baseline on the pairs of one role.

    Attributes
    ----------
    floor, replicate
        The ends of the scale: means over the pairs that have both; ``replicate`` is corrected
        for half size where the metric is a correlation or a mean squared error.
    dynamic_range
        (replicate − floor) over the standard deviation of (ceiling − floor) over perturbations;
        positive where the replicate is better.
    separation
        Share of bootstrap draws in which the replicate is better than the mean baseline.
    trusted
        Whether the interval of the mean excludes zero on the better side.
    """

    floor: float
    replicate: float
    dynamic_range: float
    separation: float
    trusted: bool


class Scale:
    """The scale of one metric on the pairs of one role.

    Parameters
    ----------
    metric
        The metric.
    values
        Per arm, (n, S), without NaN.
    pairs
        The n pairs: perturbation, floor, ceiling.
    evaluation
        ``bootstrap`` and ``confidence``.
    """

    def __init__(
        self,
        metric: Metric,
        values: Mapping[str, np.ndarray],
        pairs: pd.DataFrame,
        evaluation: Mapping[str, Any],
    ) -> None:
        ends = pairs[[FLOOR, CEILING]].to_numpy(np.float64)
        usable = np.isfinite(ends).all(axis=1)
        of_ends = {BASELINE: ends[usable, 0], REPLICATE: ends[usable, 1]}
        self.sample = Sample(
            {arm: array[usable] for arm, array in values.items()} | of_ends,
            pairs[PERTURBATION].to_numpy()[usable],
            evaluation["bootstrap"],
            evaluation["confidence"],
        )
        self.metric = metric
        self.trust = self._trust()

    def _trust(self) -> Trust:
        sign, sample = (1 if self.metric.higher else -1), self.sample
        floor, replicate = (
            sample.means[BASELINE],
            full_size(self.metric.name, sample.means[REPLICATE]),
        )
        draws = full_size(self.metric.name, sample.draws[REPLICATE]) - sample.draws[BASELINE]
        gain = sample.estimate(replicate - floor, draws, REPLICATE, BASELINE)
        per_cluster = sample.cluster_differences(REPLICATE, BASELINE) / sample.sizes
        spread = per_cluster.std(ddof=1) if sample.C > 1 else np.nan
        return Trust(
            floor=floor,
            replicate=float(replicate),
            dynamic_range=(
                float(sign * gain.value / spread) if spread > ROUNDING * abs(gain.value) else np.nan
            ),
            separation=float((sign * draws > 0).mean()) if sample.C > 1 else np.nan,
            trusted=bool(gain.low > 0 if self.metric.higher else gain.high < 0),
        )

    def scaled(self, arm: Hashable) -> Estimate:
        """Return an arm on the scale, with its interval; NaN where the metric is not trusted."""
        if not self.trust.trusted:
            return NO_ESTIMATE
        means, draws = self.sample.means, self.sample.draws
        floor, floors = means[BASELINE], draws[BASELINE]
        return self.sample.ratio(
            (means[arm] - floor, draws[arm] - floors),
            (self.trust.replicate - floor, full_size(self.metric.name, draws[REPLICATE]) - floors),
            arm,
        )
