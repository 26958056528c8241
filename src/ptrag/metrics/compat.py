"""Metrics under the names and parameters of gge-eval 1.0.1 and cell-eval 0.8.2.

For comparison with published tables alone; ``docs/evaluators-agreement.md`` has how near they
come and where those packages go wrong. As in those packages both sides are measured from *all*
controls of the line, whose noise they share, and the mean of the predicted cells stands for the
prediction. Computed where ``evaluation.compat`` is true.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ptrag.base.correlation import spearman
from ptrag.base.discrimination import Distance, discrimination
from ptrag.metrics import means, recovery
from ptrag.metrics.degs import benjamini_hochberg
from ptrag.metrics.distribution import Distances, energy_halved, mmd, w2
from ptrag.metrics.pair import ScoredPair, Side

Score = Callable[[np.ndarray, np.ndarray], float]


class Rule(NamedTuple):
    """Which genes gge-eval takes for DEGs.

    Attributes
    ----------
    p
        Largest p of Welch's test, not adjusted.
    log2_fold
        Smallest |log2(r + 1) − log2(k + 1)| of the log1p means r and k (a double logarithm).
    """

    p: float
    log2_fold: float


GGE_RULES = {"paper": Rule(0.1, 0.05), "default": Rule(0.05, 1.0)}
GGE_MEANS: dict[str, Score] = {"mse": means.mse, "r_squared": means.r2}
ERRORS: dict[str, Score] = {"mse": means.mse, "mae": means.mae}
SMALLEST_P = 1e-10  # below it cell-eval's areas tell no gene from another


def on_means(score: Score, pair: ScoredPair) -> float:
    """``score`` of the means of predicted and real cells, all genes."""
    return score(pair.predicted.moments.mean, pair.real.moments.mean)


def on_effects(score: Score, pair: ScoredPair) -> float:
    """``score`` of these means minus the mean of all controls, the perturbed gene among them."""
    return score(effect(pair.predicted), effect(pair.real))


def effect(side: Side) -> np.ndarray:
    """Mean of the cells minus that of all controls of the line, (G,)."""
    return side.moments.mean - side.compat.control


def gge_degs(pair: ScoredPair, rule: Rule) -> np.ndarray:
    """Genes that ``rule`` calls DEGs, (n,) columns; the perturbed one among them."""
    r, k = pair.real.moments.mean, pair.real.compat.control
    fold = np.abs(np.log2(r + 1) - np.log2(k + 1))
    return np.flatnonzero((pair.real.compat.welch_p <= rule.p) & (fold >= rule.log2_fold))


def gge_on_degs(pair: ScoredPair, rule: Rule, score: Score) -> float:
    """Correlation of absolute mean profiles over :func:`gge_degs`; NaN where there are < 3.

    (gge-eval falls back to all genes in silence.)
    """
    genes = gge_degs(pair, rule)
    return score(pair.predicted.moments.mean[genes], pair.real.moments.mean[genes])


def gge_per_component(pair: ScoredPair, name: str) -> float:
    """Mean over PCA components of a one-dimensional ``energy``, ``w2`` or ``mmd``.

    ``energy``: ½ V. ``w2``: exact ½ W2² (gge-eval's is not fully converged). ``mmd``: squared,
    unbiased, clipped at 0, its bandwidth the median of the non-zero differences.
    """
    score = {"energy": energy_halved, "w2": _half_squared_w2, "mmd": _gge_mmd}[name]
    columns = zip(pair.predicted.cells.T, pair.real.cells.T, strict=True)
    return float(np.mean([score(Distances.of(q[:, None], r[:, None])) for q, r in columns]))


def _half_squared_w2(d: Distances) -> float:
    return 0.5 * w2(d) ** 2


def _gge_mmd(d: Distances) -> float:
    n, m = len(d.predicted), len(d.real)
    every = np.concatenate([
        d.between.ravel(), d.predicted[np.triu_indices(n, 1)], d.real[np.triu_indices(m, 1)],
    ])  # fmt: skip
    moved = every[every > 0]
    return max(mmd(d, float(np.median(moved))), 0.0) if len(moved) else 0.0


def log2_fold(mean: np.ndarray, control: np.ndarray) -> np.ndarray:
    """log2 of the ratio of expm1 of two log1p means, (G,) float32 as cell-eval keeps it.

    0 for a gene without a count on either side (0/0, which is no change), ±∞ for one that only
    one side has.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        fold = np.log2(np.expm1(mean) / np.expm1(control))
    return np.where(np.isnan(fold), 0.0, fold).astype(np.float32)


class DEGs(NamedTuple):
    """DEGs as cell-eval sees them: Mann-Whitney, BH < 0.05, :func:`log2_fold`.

    Attributes
    ----------
    predicted, real
        (G,) bool, S_Q and S_R.
    predicted_fold, real_fold
        (G,) log2 fold changes.
    score
        (G,) −log10 of the adjusted p of the prediction, those below :data:`SMALLEST_P` the same.
    """

    predicted: np.ndarray
    real: np.ndarray
    predicted_fold: np.ndarray
    real_fold: np.ndarray
    score: np.ndarray

    @classmethod
    def of(cls, pair: ScoredPair) -> "DEGs":
        """Test both sides of a pair."""
        sides = pair.predicted, pair.real
        q = [benjamini_hochberg(side.compat.rank_p) for side in sides]
        folds = [log2_fold(side.moments.mean, side.compat.control) for side in sides]
        score = -np.log10(np.maximum(q[0], SMALLEST_P))
        return cls(q[0] < 0.05, q[1] < 0.05, *folds, score)


def _overlap(degs: DEGs, k: int | None = None) -> float:
    sizes = np.abs(degs.predicted_fold), np.abs(degs.real_fold)
    return recovery.overlap(degs.predicted, degs.real, *sizes, k)


def _precision(degs: DEGs, k: int | None = None) -> float:
    """|top_K(S_Q) ∩ top_K(S_R)| / K with K = min(k, |S_Q|): not the precision of the name.

    With k = None all of S_Q are taken, but of S_R only the K that changed most. 0 where S_Q is
    empty, NaN where S_R is.
    """
    if not degs.real.any():
        return float("nan")
    sizes = np.abs(degs.real_fold), np.abs(degs.predicted_fold)
    overlap = recovery.overlap(degs.real, degs.predicted, *sizes, k)
    return 0.0 if np.isnan(overlap) else overlap


def _spearman_of_folds(degs: DEGs) -> float:
    """Rank correlation of fold changes over S_R; two genes are enough, and give ±1."""
    predicted, real = degs.predicted_fold[degs.real], degs.real_fold[degs.real]
    if len(real) == 2 and real[0] != real[1]:
        return float(np.sign(predicted[1] - predicted[0]) * np.sign(real[1] - real[0]))
    return spearman(predicted, real)


CELL_EVAL: dict[str, Callable[[DEGs], float]] = {
    "overlap_at_N": _overlap,
    "overlap_at_50": lambda degs: _overlap(degs, 50),
    "precision_at_N": _precision,
    "precision_at_50": lambda degs: _precision(degs, 50),
    "de_sig_genes_recall": lambda degs: recovery.recall(degs.predicted, degs.real),
    "de_direction_match": lambda degs: recovery.direction(
        degs.predicted_fold, degs.real_fold, degs.real
    ),
    "de_spearman_lfc_sig": _spearman_of_folds,
    "pr_auc": lambda degs: recovery.average_precision(degs.score, degs.real),
    "roc_auc": lambda degs: recovery.roc_auc(degs.score, degs.real),
}


def cell_eval(pair: ScoredPair, name: str) -> float:
    """One of cell-eval's metrics of DEGs, by its own name; NaN where there is no real DEG."""
    return CELL_EVAL[name](DEGs.of(pair))


def discrimination_score(
    predicted: np.ndarray,
    real: np.ndarray,
    own: np.ndarray,
    distance: Distance,
    targets: list[np.ndarray],
) -> np.ndarray:
    """cell-eval's: 1 − rank / N, only the own target left out of each comparison; worst 1/N.

    With s of :func:`ptrag.base.discrimination.discrimination` it is (s (N − 1) + 1) / N; ties
    count half (cell-eval leaves them to the order of an unstable sort).

    Parameters
    ----------
    predicted, real
        (P, G) and (N, G) effects, from all controls.
    own
        (P,) row of ``real`` that is each prediction's own.
    distance
        Of vectors.
    targets
        For each prediction the columns left out.
    """
    n = len(real)
    score = np.empty(len(predicted))
    for i, columns in enumerate(targets):
        one, others = np.delete(predicted[i : i + 1], columns, 1), np.delete(real, columns, 1)
        score[i] = discrimination(one, others, own[i : i + 1], distance)[0]
    return (score * (n - 1) + 1) / n
