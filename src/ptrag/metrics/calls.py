"""Differential expression on counts, and how well predicted calls meet the real ones.

Cells are counts per 10⁶, tested by ranks against one set of controls. Only genes above
:data:`FEWEST_PER_MILLION` in the *controls* are tested (a gate that looked at perturbed cells would
give the direction away). The metrics are members of :mod:`ptrag.metrics.vcc2026`.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from ptrag.metrics.degs import benjamini_hochberg, wilcoxon
from ptrag.metrics.ranks import SortedControls

FEWEST_PER_MILLION = 5.0
ALPHA = 0.05
EPSILON = 1e-9  # added to both means of a fold change
PURE = 0.9  # share of right directions down to which a prediction reaches
FEWEST_CALLS = 10  # real calls below which fold changes are not compared

_TOGETHER = 16  # columns that are read at once: a line of the processor's cache


def per_million(counts: np.ndarray, genes: np.ndarray | None = None) -> np.ndarray:
    """Return counts per 10⁶ of each cell, gene by gene.

    Parameters
    ----------
    counts
        (n, G).
    genes
        (G,) bool, K of them; all where None. A cell is divided by its counts of all genes.

    Returns
    -------
    values
        (K, n) float64; an empty cell stays empty.
    """
    counts = np.ascontiguousarray(counts)
    columns = np.arange(counts.shape[1]) if genes is None else np.flatnonzero(genes)
    totals = counts.sum(axis=1, dtype=np.float64)
    values = np.empty((len(columns), len(counts)))
    _per_million(counts, np.where(totals > 0, totals, 1.0), columns, values)
    return values


@njit(nogil=True, cache=True)
def _per_million(counts, totals, columns, values):  # pragma: no cover - compiled
    for first in range(0, len(columns), _TOGETHER):
        last = min(first + _TOGETHER, len(columns))
        for i in range(len(counts)):
            for k in range(first, last):
                values[k, i] = np.float64(counts[i, columns[k]]) * 1e6 / totals[i]


class Calls(NamedTuple):
    """What predictions are compared with.

    Attributes
    ----------
    fold
        (K,) log2 fold changes.
    called
        (K,) bool, adjusted p below :data:`ALPHA`.
    """

    fold: np.ndarray
    called: np.ndarray

    def without(self, targets: np.ndarray) -> "Calls":
        """Return the same without some of the genes, (K,) bool."""
        return Calls(*(values[~targets] for values in self))


class Tested(NamedTuple):
    """What a test of a group of cells against controls says of the K tested genes.

    Attributes
    ----------
    fold
        (K,) log2 of the ratio of mean counts per 10⁶.
    p, q
        (K,) p-values, and adjusted over the tested genes (Benjamini-Hochberg).
    """

    fold: np.ndarray
    p: np.ndarray
    q: np.ndarray

    @property
    def called(self) -> np.ndarray:
        """(K,) bool, adjusted p below :data:`ALPHA`."""
        return self.q < ALPHA

    @property
    def calls(self) -> Calls:
        """What of it others are compared with."""
        return Calls(self.fold, self.called)

    def without(self, targets: np.ndarray) -> "Tested":
        """Return the same without some of the genes, (K,) bool."""
        return Tested(*(values[~targets] for values in self))


class Pool(NamedTuple):
    """The controls that groups of cells are tested against.

    Attributes
    ----------
    genes
        (G,) bool, the K genes that are tested.
    mean
        (K,) mean counts per 10⁶.
    ranked
        The K genes of the controls, sorted.
    """

    genes: np.ndarray
    mean: np.ndarray
    ranked: SortedControls

    @classmethod
    def of(cls, counts: np.ndarray, genes: np.ndarray | None = None) -> "Pool":
        """Sum up (m, G) control ``counts``; ``genes`` replaces the gate."""
        if genes is None:
            genes = per_million(counts).mean(axis=1) > FEWEST_PER_MILLION
        values = per_million(counts, genes)
        return cls(genes, values.mean(axis=1), SortedControls.of(values.T))

    def tested(self, counts: np.ndarray) -> Tested:
        """Test (n, G) ``counts`` of a group of cells."""
        values = per_million(counts, self.genes)
        fold = np.log2((values.mean(axis=1) + EPSILON) / (self.mean + EPSILON))
        p = wilcoxon(values.T, self.ranked)
        return Tested(fold, p, benjamini_hochberg(p))


def direction_yield(predicted: Tested, real: Calls) -> float:
    """Right predicted calls k over max(n_pred, n_real); about ½ by chance, 1 at best.

    n_pred counts the predicted calls of genes that have a real direction, n_real the real calls.
    NaN where neither calls a gene.
    """
    called = predicted.called & (real.fold != 0)
    most = max(int(called.sum()), int(real.called.sum()))
    right = np.sign(predicted.fold[called]) == np.sign(real.fold[called])
    return float(right.sum() / most) if most else float("nan")


def direction_reach(predicted: Tested, real: Calls, order: np.ndarray) -> float:
    """How deep into the real calls the predicted directions stay right: k* / n_real, at best 1.

    The real calls are ordered by the prediction's confidence: its own calls first, then smaller
    adjusted p, smaller p, larger fold change, then ``order``. k* is the longest prefix of which
    :data:`PURE` go the right way. NaN where no gene is really called.

    Parameters
    ----------
    predicted, real
        The tests.
    order
        (K,) rank of each gene by name, the last resort among equals.
    """
    genes = np.flatnonzero(real.called)
    if not len(genes):
        return float("nan")
    q, p, fold = (values[genes] for values in (predicted.q, predicted.p, predicted.fold))
    ranking = np.lexsort((order[genes], -np.abs(fold), p, q, ~predicted.called[genes]))
    right = (np.sign(fold) == np.sign(real.fold[genes]))[ranking]
    depth = np.arange(1, len(genes) + 1)
    deep = np.flatnonzero(np.cumsum(right) >= PURE * depth)
    return float(depth[deep[-1]] / len(genes)) if len(deep) else 0.0


def sig_jaccard(predicted: Tested, real: Calls) -> float:
    """|R ∩ R̂| / |R ∪ R̂| of the called genes; 1 where both are empty."""
    both, either = predicted.called & real.called, predicted.called | real.called
    return float(both.sum() / either.sum()) if either.any() else 1.0


def fold_error(
    predicted: np.ndarray, real: np.ndarray, called: np.ndarray, sizes: np.ndarray | None = None
) -> float:
    """Σ_S |l̂ − l| / Σ_S |l| over the real calls S: 1 for no change, 0 at best.

    NaN with fewer than :data:`FEWEST_CALLS`. A predicted fold change that is not finite is 0.

    Parameters
    ----------
    predicted, real
        (K,) fold changes.
    called
        (K,) bool.
    sizes
        Fold changes that the denominator takes instead of the real ones.
    """
    if called.sum() < FEWEST_CALLS:
        return float("nan")
    guess = np.where(np.isfinite(predicted), predicted, 0.0)[called]
    total = np.abs((real if sizes is None else sizes)[called]).sum()
    return float(np.abs(guess - real[called]).sum() / total) if total > 0 else float("nan")
