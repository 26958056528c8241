"""The metrics by name: what each is called in files, its direction, its ideal, how to get it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ptrag.metrics import distribution, means
from ptrag.metrics.pair import ScoredPair


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes
    ----------
    name
        As in ``metrics.tsv``.
    family
        ``means``, ``systema``, ``distribution``, ``discrimination``, ``degs`` or ``compat``
        (the conventions of published tables).
    higher
        Whether more is better.
    ideal
        Value of a perfect prediction.
    label
        For tables and plots.
    text
        One line for a reader.
    score
        From a pair to its value; None where the other pairs of the line are needed.
    """

    name: str
    family: str
    higher: bool
    ideal: float
    label: str
    text: str
    score: Callable[[ScoredPair], float] | None = None


def _on_degs(score: Callable, pair: ScoredPair) -> float:
    return score(pair.predicted_delta[pair.degs], pair.delta[pair.degs])


def _profiles(score: Callable, pair: ScoredPair) -> float:
    return score(pair.predicted.moments.mean, pair.real.moments.mean)


_ALL = (
    Metric("pearson_delta", "means", True, 1.0, "Pearson Δ",
           "correlation of predicted and real delta over all genes",
           lambda p: means.pearson(p.predicted_delta, p.delta)),
    Metric("pearson_delta_degs", "means", True, 1.0, "Pearson Δ (DEGs)",
           "the same over the pair's DEGs",
           lambda p: _on_degs(means.pearson, p)),
    Metric("spearman_delta", "means", True, 1.0, "Spearman Δ",
           "rank correlation of predicted and real delta over all genes",
           lambda p: means.spearman(p.predicted_delta, p.delta)),
    Metric("spearman_delta_degs", "means", True, 1.0, "Spearman Δ (DEGs)",
           "the same over the pair's DEGs",
           lambda p: _on_degs(means.spearman, p)),
    Metric("mse", "means", False, 0.0, "MSE",
           "mean squared difference of mean profiles, all genes",
           lambda p: _profiles(means.mse, p)),
    Metric("mae", "means", False, 0.0, "MAE",
           "mean absolute difference of mean profiles, all genes",
           lambda p: _profiles(means.mae, p)),
    Metric("mse_delta", "means", False, 0.0, "MSE Δ",
           "the same of deltas: as MSE, without the perturbed gene",
           lambda p: means.mse(p.predicted_delta, p.delta)),
    Metric("r2", "means", True, 1.0, "R²",
           "coefficient of determination of mean profiles, all genes",
           lambda p: _profiles(means.r2, p)),
    Metric("energy", "distribution", False, 0.0, "Energy distance",
           "2E‖X−Y‖ − E‖X−X'‖ − E‖Y−Y'‖ in the PCA, unbiased",
           lambda p: distribution.energy(p.distances)),
    Metric("w2", "distribution", False, 0.0, "W2",
           "2-Wasserstein distance in the PCA, exact and rooted",
           lambda p: distribution.w2(p.distances)),
    Metric("pds_l1", "discrimination", True, 1.0, "Discrimination (L1)",
           "share of the line's other scored perturbations whose delta is farther by L1"),
    Metric("pds_l2", "discrimination", True, 1.0, "Discrimination (L2)",
           "the same by L2"),
    Metric("pds_cosine", "discrimination", True, 1.0, "Discrimination (cosine)",
           "the same by cosine distance"),
    Metric("energy_halved", "compat", False, 0.0, "Energy, ½ V",
           "half the energy distance with self-distances counted: the paper's convention",
           lambda p: distribution.energy_halved(p.distances)),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}


def score_pair(pair: ScoredPair) -> dict[str, float]:
    """Return every metric of a pair that needs no other pair."""
    with np.errstate(all="ignore"):
        return {name: metric.score(pair) for name, metric in METRICS.items() if metric.score}
