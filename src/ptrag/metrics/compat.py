"""Metrics under the names and parameters of gge-eval 1.0.1 and cell-eval 0.8.2.

For comparison with published tables alone; ``docs/evaluators-agreement.md`` has how near they
come and where those packages go wrong. Computed where ``evaluation.compat`` is true.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ptrag.base.correlation import pearson, spearman
from ptrag.metrics import recovery
from ptrag.metrics.degs import benjamini_hochberg
from ptrag.metrics.distribution import Distances, energy_halved, mmd, w2
from ptrag.metrics.pair import ScoredPair


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


SMALLEST_P = 1e-10  # below it cell-eval's areas tell no gene from another
PAPER = Rule(0.1, 0.05)
DEFAULT = Rule(0.05, 1.0)


def gge_degs(pair: ScoredPair, rule: Rule) -> np.ndarray:
    """Genes that ``rule`` calls DEGs, (n,) columns; the perturbed one among them."""
    r, k = pair.real.moments.mean, pair.line.control.mean
    fold = np.abs(np.log2(r + 1) - np.log2(k + 1))
    return np.flatnonzero((pair.real.compat.welch_p <= rule.p) & (fold >= rule.log2_fold))


def gge_on_degs(pair: ScoredPair, rule: Rule, correlation: str) -> float:
    """Correlation of absolute mean profiles over :func:`gge_degs`; NaN where there are < 3.

    (gge-eval falls back to all genes in silence.)
    """
    genes = gge_degs(pair, rule)
    score = {"pearson": pearson, "spearman": spearman}[correlation]
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


class Recovery(NamedTuple):
    """DEGs as cell-eval sees them: Mann-Whitney, BH < 0.05, log2 ratio of expm1 of log1p means.

    Attributes
    ----------
    predicted, real
        (G,) bool.
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
    def of(cls, pair: ScoredPair) -> "Recovery":
        """Test both sides of a pair."""
        q = [benjamini_hochberg(its.compat.rank_p) for its in (pair.predicted, pair.real)]
        with np.errstate(divide="ignore", invalid="ignore"):
            folds = [np.log2(its.compat.fold) for its in (pair.predicted, pair.real)]
        score = -np.log10(np.maximum(q[0], SMALLEST_P))
        return cls(q[0] < 0.05, q[1] < 0.05, *folds, score)


def _sizes(its: Recovery) -> tuple[np.ndarray, np.ndarray]:
    """Absolute fold changes, by which cell-eval orders DEGs."""
    return tuple(np.nan_to_num(np.abs(fold)) for fold in (its.predicted_fold, its.real_fold))


CELL_EVAL: dict[str, Callable[[Recovery], float]] = {
    "overlap_at_N": lambda its: recovery.overlap(its.predicted, its.real, *_sizes(its)),
    "overlap_at_50": lambda its: recovery.overlap(its.predicted, its.real, *_sizes(its), 50),
    "precision_at_N": lambda its: recovery.precision(its.predicted, its.real, _sizes(its)[0]),
    "de_sig_genes_recall": lambda its: recovery.recall(its.predicted, its.real),
    "de_direction_match": lambda its: recovery.direction(
        its.predicted_fold, its.real_fold, its.real
    ),
    "de_spearman_lfc_sig": lambda its: spearman(
        its.predicted_fold[its.real], its.real_fold[its.real]
    ),
    "pr_auc": lambda its: recovery.average_precision(its.score, its.real),
    "roc_auc": lambda its: recovery.roc_auc(its.score, its.real),
}


def cell_eval(pair: ScoredPair, name: str) -> float:
    """One of cell-eval's metrics of DEGs, by its own name; NaN where there is no real DEG."""
    return CELL_EVAL[name](Recovery.of(pair))
