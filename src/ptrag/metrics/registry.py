"""The metrics by name: what each is called in files, its direction, its ideal, how to get it.

Everything is on the log1p scale and in float64. Metrics of means (families ``means``, ``systema``
and ``discrimination``) read the predicted profile, those of distributions and of DEGs the predicted
cells. A predicted delta is the predicted profile minus the control profile that the arm knows
(the mean of the given controls, or that mean freed of its noise), an observed
delta the mean of the real cells minus that of the yardstick controls; DEGs are tested against the
same two. Metrics of deltas and of DEGs leave the perturbed gene out where
``evaluation.exclude_target`` says so; distributions are compared in the PCA.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ptrag.base.correlation import pearson, spearman
from ptrag.base.discrimination import DISTANCES
from ptrag.metrics import compat, distribution, means, recovery
from ptrag.metrics.pair import ScoredPair
from ptrag.metrics.sinkhorn import diagonal, w2_halved
from ptrag.metrics.vcc2026 import MEMBERS


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes
    ----------
    name
        As in ``metrics.tsv``.
    family
        ``means``, ``systema``, ``distribution``, ``discrimination``, ``degs``, ``compat`` (the
        conventions of published tables), ``gge`` and ``cell_eval`` (only on request), or
        ``vcc2026`` (where there are counts).
    higher
        Whether more is better.
    ideal
        Value of a perfect prediction; NaN where that depends on the cells.
    label
        For tables and plots.
    text
        One line for a reader.
    score
        From a pair to its value; None where the other pairs of the line are needed.
    per_line
        Whether all pairs of a line share one value: perturbations are no sample of it then, and no
        claim rests on it.
    """

    name: str
    family: str
    higher: bool
    ideal: float
    label: str
    text: str
    score: Callable[[ScoredPair], float] | None = None
    per_line: bool = False


Score = Callable[[np.ndarray, np.ndarray], float]
CORRELATIONS = {"pearson": pearson, "spearman": spearman}


def _deltas(score: Score, p: ScoredPair) -> float:
    return score(p.predicted_delta, p.delta)


def _weighted(score: Callable[[np.ndarray, np.ndarray, np.ndarray], float], p: ScoredPair) -> float:
    return score(p.predicted_delta, p.delta, p.weights[p.kept])


def _on_degs(score: Score, p: ScoredPair) -> float:
    return score(p.predicted_delta[p.degs], p.delta[p.degs])


def _on_significant(score: Score, p: ScoredPair) -> float:
    return score(p.predicted_delta[p.significant], p.delta[p.significant])


def _profiles(score: Score, p: ScoredPair) -> float:
    return score(p.predicted.profile, p.real.profile)


def pearson_systema(p: ScoredPair) -> float:
    """Correlation ρ(μ̂ − o, μ − o), o the mean of the line's training perturbation profiles.

    Systema (Nature Biotechnology 2025): without what all perturbations share. NaN in a line
    without training pairs; 0 for the mean baseline, whose μ̂ − o is rounding
    (:func:`ptrag.metrics.means.displacement`).
    """
    q, r, o = (x[p.kept] for x in (p.predicted.profile, p.real.profile, p.centroid))
    return pearson(means.displacement(q, o), means.displacement(r, o))


def mse_pca(p: ScoredPair) -> float:
    """Mean over PCA components of the squared difference of the profiles' coordinates."""
    return means.mse(p.predicted.coordinates, p.real.coordinates)


def mse_cells(p: ScoredPair) -> float:
    """Mean over genes and over all pairs (predicted cell, real cell) of their squared difference.

    The expectation of the MSE of cells paired in arbitrary order: (μ̂ − μ)² + Var Q + Var R.
    """
    sides = p.predicted.moments, p.real.moments
    noise = [np.nan_to_num(side.variance) * (side.n - 1) / side.n for side in sides]
    return compat.on_means(means.mse, p) + float((noise[0] + noise[1]).mean())


def _overlap(p: ScoredPair, k: int | None = None) -> float:
    return recovery.overlap(
        p.predicted_significant, p.significant, np.abs(p.predicted_delta), np.abs(p.delta), k
    )


def _precision(p: ScoredPair, k: int | None = None) -> float:
    return recovery.precision(p.predicted_significant, p.significant, np.abs(p.predicted_delta), k)


def _ranking(area: Callable[[np.ndarray, np.ndarray], float], p: ScoredPair) -> float:
    return area(-p.predicted.p[p.kept], p.significant)


def _compat(
    name: str, family: str, higher: bool, score: Callable[[ScoredPair], float] | None
) -> Metric:
    package = {"gge": "gge-eval", "cell_eval": "cell-eval"}[family]
    label = f"{package} {name}"
    text = f"as {package} has it (docs/evaluators-agreement.md)"
    return Metric(f"{family}_{name}", family, higher, float(higher), label, text, score)


_CHALLENGE = {
    "vcc_pds_cosine": ("discrimination", 1.0, "share of the panel's other perturbations whose "
                       "response is farther by cosine distance, without the panel's target genes"),
    "vcc_expression_error": ("expression error", 0.0, "squared distance of profiles of summed "
                             "counts, freed of sampling noise, over that of real response to "
                             "control"),
    "vcc_direction_yield": ("direction yield", 1.0, "predicted calls that go the right way, over "
                            "the larger of the numbers of predicted and real calls"),
    "vcc_direction_reach": ("direction reach", 1.0, "how deep into the real calls, most confident "
                            "predictions first, 90 % of the directions are right"),
    "vcc_sig_jaccard": ("calls in common", 1.0, "Jaccard index of predicted and real calls"),
    "vcc_fold_error": ("fold change error", 0.0, "absolute error of log fold changes of the real "
                       "calls, over their size"),
}  # fmt: skip

_ALL = (
    Metric("pearson_delta", "means", True, 1.0, "Pearson Δ",
           "correlation of predicted and real delta over all genes",
           partial(_deltas, pearson)),
    Metric("pearson_delta_degs", "means", True, 1.0, "Pearson Δ (DEGs)",
           "the same over the pair's DEGs (at most max_degs)",
           partial(_on_degs, pearson)),
    Metric("spearman_delta", "means", True, 1.0, "Spearman Δ",
           "rank correlation of predicted and real delta over all genes",
           partial(_deltas, spearman)),
    Metric("spearman_delta_degs", "means", True, 1.0, "Spearman Δ (DEGs)",
           "the same over the pair's DEGs (at most max_degs)",
           partial(_on_degs, spearman)),
    Metric("mse", "means", False, 0.0, "MSE",
           "mean squared difference of mean profiles, all genes",
           partial(_profiles, means.mse)),
    Metric("mae", "means", False, 0.0, "MAE",
           "mean absolute difference of mean profiles, all genes",
           partial(_profiles, means.mae)),
    Metric("mse_delta", "means", False, 0.0, "MSE Δ",
           "mean squared difference of deltas",
           partial(_deltas, means.mse)),
    Metric("mae_delta", "means", False, 0.0, "MAE Δ",
           "mean absolute difference of deltas",
           partial(_deltas, means.mae)),
    Metric("wmse_delta", "means", False, 0.0, "Weighted MSE Δ",
           "mean squared difference of deltas, genes weighted by how far they respond in training",
           partial(_weighted, means.weighted_mse)),
    Metric("wr2_delta", "means", True, 1.0, "Weighted R² Δ",
           "coefficient of determination of deltas with the same weights",
           partial(_weighted, means.weighted_r2)),
    Metric("mode_collapse", "means", False, 0.0, "Mode collapse",
           "how much less the predictions of a line differ from one another than its real "
           "responses do, noise taken off", per_line=True),
    Metric("r2", "means", True, 1.0, "R²",
           "coefficient of determination of mean profiles, all genes",
           partial(_profiles, means.r2)),
    Metric("r2_delta", "means", True, 1.0, "R² Δ",
           "coefficient of determination of deltas",
           partial(_deltas, means.r2)),
    Metric("mse_pca", "means", False, 0.0, "MSE (PCA)",
           "mean squared difference of the profiles' coordinates in the PCA",
           mse_pca),
    Metric("pearson_systema", "systema", True, 1.0, "Pearson (Systema)",
           "correlation of what differs from the mean trained perturbation of the line",
           pearson_systema),
    Metric("centroid_accuracy", "systema", True, 1.0, "Centroid accuracy",
           "share of the line's other perturbations, trained ones too, whose profile is farther "
           "by L2, without the genes that any of them targets"),
    Metric("w1", "distribution", False, 0.0, "W1",
           "1-Wasserstein distance per PCA component, mean over components",
           lambda p: distribution.w1(p.predicted.cells, p.real.cells)),
    Metric("w2", "distribution", False, 0.0, "W2",
           "2-Wasserstein distance in the PCA, exact and rooted",
           lambda p: distribution.w2(p.distances)),
    Metric("mmd", "distribution", False, 0.0, "MMD²",
           "squared maximum mean discrepancy in the PCA, RBF kernel, unbiased",
           lambda p: distribution.mmd(p.distances, p.bandwidth)),
    Metric("energy", "distribution", False, 0.0, "Energy distance",
           "2E‖X−Y‖ − E‖X−X'‖ − E‖Y−Y'‖ in the PCA, unbiased",
           lambda p: distribution.energy(p.distances)),
    Metric("pds_cosine", "discrimination", True, 1.0, "Discrimination (cosine)",
           "share of the line's other scored perturbations whose delta is farther by cosine "
           "distance, without the genes that any of them targets"),
    Metric("pds_l1", "discrimination", True, 1.0, "Discrimination (L1)",
           "the same by L1"),
    Metric("pds_l2", "discrimination", True, 1.0, "Discrimination (L2)",
           "the same by L2"),
    Metric("deg_overlap", "degs", True, 1.0, "DEG overlap",
           "shared genes of the K largest predicted and real DEGs, K their real number",
           _overlap),
    Metric("deg_overlap_50", "degs", True, 1.0, "DEG overlap @50",
           "the same for at most 50",
           partial(_overlap, k=50)),
    Metric("deg_precision", "degs", True, 1.0, "DEG precision",
           "share of predicted DEGs that are real ones",
           _precision),
    Metric("deg_precision_50", "degs", True, 1.0, "DEG precision @50",
           "the same for the 50 of largest delta",
           partial(_precision, k=50)),
    Metric("deg_recall", "degs", True, 1.0, "DEG recall",
           "share of real DEGs that are predicted",
           lambda p: recovery.recall(p.predicted_significant, p.significant)),
    Metric("deg_direction", "degs", True, 1.0, "DEG direction",
           "share of real DEGs that move the right way",
           lambda p: recovery.direction(p.predicted_delta, p.delta, p.significant)),
    Metric("deg_spearman", "degs", True, 1.0, "DEG Spearman",
           "rank correlation of log fold changes over all real DEGs",
           partial(_on_significant, spearman)),
    Metric("deg_pr_auc", "degs", True, 1.0, "DEG PR AUC",
           "average precision of finding real DEGs by predicted p",
           partial(_ranking, recovery.average_precision)),
    Metric("deg_roc_auc", "degs", True, 1.0, "DEG ROC AUC",
           "area under the ROC curve of the same",
           partial(_ranking, recovery.roc_auc)),
    Metric("deg_count_error", "degs", False, 0.0, "DEG count error",
           "doublings between the numbers of predicted and real DEGs",
           lambda p: recovery.count_error(p.predicted_significant, p.significant)),
    Metric("energy_halved", "compat", False, 0.0, "Energy, ½ V",
           "half the energy distance, self-distances counted: the paper's convention",
           lambda p: distribution.energy_halved(p.distances)),
    Metric("w1_joint", "compat", False, 0.0, "W1, joint",
           "1-Wasserstein distance of the joint distribution in the PCA, exact",
           lambda p: distribution.w1_joint(p.distances)),
    Metric("w2_halved", "compat", False, 0.0, "½ W2², Sinkhorn",
           "half the squared 2-Wasserstein distance in the PCA, entropic: the paper's convention",
           lambda p: w2_halved(p.distances, diagonal(p.predicted.cells, p.real.cells))),
    Metric("mse_cells", "compat", False, float("nan"), "MSE of cells",
           "mean squared difference of cells in arbitrary pairing, so that their variance counts",
           mse_cells),
    *(_compat(name, "gge", score is means.r2, partial(compat.on_means, score))
      for name, score in compat.GGE_MEANS.items()),
    *(_compat(f"perturbation_effect_{name}", "gge", True, partial(compat.on_effects, score))
      for name, score in CORRELATIONS.items()),
    *(_compat(f"{name}_degs_{label}", "gge", True,
              partial(compat.gge_on_degs, rule=rule, score=score))
      for label, rule in compat.GGE_RULES.items() for name, score in CORRELATIONS.items()),
    *(_compat(name, "gge", False, partial(compat.gge_per_component, name=name))
      for name in ("energy", "w2", "mmd")),
    *(_compat(name, "cell_eval", False, partial(compat.on_means, score))
      for name, score in compat.ERRORS.items()),
    *(_compat(f"{name}_delta", "cell_eval", name == "pearson", partial(compat.on_effects, score))
      for name, score in {"pearson": pearson, **compat.ERRORS}.items()),
    *(_compat(f"discrimination_score_{distance}", "cell_eval", True, None)
      for distance in DISTANCES),
    *(_compat(name, "cell_eval", True, partial(compat.cell_eval, name=name))
      for name in compat.CELL_EVAL),
    *(Metric(name, "vcc2026", MEMBERS[name].higher, ideal, f"VCC 2026 {label}", text)
      for name, (label, ideal, text) in _CHALLENGE.items()),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
ON_REQUEST = ("gge", "cell_eval")
ON_COUNTS = ("vcc2026",)


def metric_names(on_request: bool = False, counts: bool = False) -> list[str]:
    """Return the names of the metrics.

    Parameters
    ----------
    on_request
        With those of the families :data:`ON_REQUEST`.
    counts
        With those of the families :data:`ON_COUNTS`.
    """
    left_out = (() if on_request else ON_REQUEST) + (() if counts else ON_COUNTS)
    return [name for name, metric in METRICS.items() if metric.family not in left_out]


def score_pair(pair: ScoredPair, on_request: bool = False) -> dict[str, float]:
    """Return every metric of a pair that needs no other pair."""
    return {
        name: score(pair) for name in metric_names(on_request) if (score := METRICS[name].score)
    }
