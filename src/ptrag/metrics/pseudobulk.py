"""Profiles of summed counts with their sampling error, and the two metrics that read them.

The profile of a group of cells is b_g = log(1 + TS · P_g / Σ_g P_g) of its summed counts P, with
TS = :data:`TARGET_SUM`. Its squared error is estimated by leaving out one cell at a time (the
jackknife: Efron and Stein, Ann. Stat. 9 (1981), 586-596), so that a squared distance between two
profiles can be freed of what sampling of cells alone adds to it. The metrics are two members of
:mod:`ptrag.metrics.vcc2026`; float64 throughout.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from ptrag.base.discrimination import discrimination

TARGET_SUM = 5e4


class Pseudobulk(NamedTuple):
    """The profile of a group of cells.

    Attributes
    ----------
    level
        (G,) b.
    noise
        C, the jackknife estimate of the squared error of ``level``, summed over all genes:
        (n − 1)/n Σ_g Σ_i (v_ig − v̄_g)², v_ig the level without cell i; 0 for a single cell, which
        says nothing of its error.
    """

    level: np.ndarray
    noise: float

    @classmethod
    def of(cls, counts: np.ndarray) -> "Pseudobulk":
        """Sum up (n, G) ``counts``; a group without any count has level 0."""
        counts = np.ascontiguousarray(counts)
        n, genes = counts.shape
        P, totals = counts.sum(axis=0, dtype=np.float64), counts.sum(axis=1, dtype=np.float64)
        T = totals.sum()
        level = np.log1p(TARGET_SUM * P / (T or 1.0))
        sums = np.zeros((2, genes))
        _jackknife(counts, totals, P, level, sums)
        first, second = sums
        return cls(level, max(float((second - first**2 / n).sum()), 0.0) * (n - 1) / n)


@njit(nogil=True, cache=True)
def _jackknife(counts, totals, P, level, sums):  # pragma: no cover - compiled
    """Σ d and Σ d² over cells of d_ig = v_ig − b_g.

    With A_g = T + TS · P_g, v_ig = log((A_g − t_i − TS · x_ig) / (T − t_i)) and b_g = log(A_g / T),
    so that d_ig = log(1 − (t_i + TS · x_ig) / A_g) − log(1 − t_i / T), without loss of digits. A
    group that has counts in one cell alone is at level 0 without it.
    """
    n, genes = counts.shape
    T = totals.sum()
    A = T + TARGET_SUM * P
    for i in range(n):
        alone = totals[i] == T
        shift = 0.0 if alone else np.log1p(-totals[i] / T)
        for g in range(genes):
            if alone:
                d = -level[g]
            else:
                d = np.log1p(-(totals[i] + TARGET_SUM * counts[i, g]) / A[g]) - shift
            sums[0, g] += d
            sums[1, g] += d * d


class Panel(NamedTuple):
    """Pseudobulks of all scored perturbations of one context, real or predicted.

    Attributes
    ----------
    level
        (P, G) as in :class:`Pseudobulk`.
    noise
        (P,).
    """

    level: np.ndarray
    noise: np.ndarray

    @classmethod
    def of(cls, groups: Sequence[Pseudobulk]) -> "Panel":
        """Stack pseudobulks."""
        return cls(*(np.array([getattr(group, key) for group in groups]) for key in cls._fields))


def pds_cosine(
    predicted: np.ndarray, real: np.ndarray, targets: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """Discrimination of each prediction among the real responses, by cosine distance.

    :func:`ptrag.metrics.discrimination.discrimination` without the genes that any perturbation of
    the panel targets: ½ for a prediction that knows nothing, 1 where each is nearest to its own.

    Parameters
    ----------
    predicted, real
        (N, G) and (P, G) levels minus that of the controls.
    targets
        (P, G) bool, the genes that each perturbation targets.
    own
        (N,) row of ``real`` that is each prediction's own.
    """
    kept = ~targets.any(axis=0)
    return discrimination(predicted[:, kept], real[:, kept], own, "cosine")


def errors(predicted: Panel, real: Panel, targets: np.ndarray) -> np.ndarray:
    """Return N_p = (‖b̂_p − b_p‖² − ρ · min(Ĉ_p, C_p) − C_p) / G_p, (P,): predicted to real.

    The distance and the spread B are taken over the G_p genes that p does not target, the
    jackknife errors C and Ĉ over all. What is subtracted for the noise of a prediction is never
    more than that of the real cells, and over the panel never more than the spread of the
    predicted profiles: ρ = min(1, B / Σ_q min(Ĉ_q, C_q)/G_q) with B = Σ_p ‖b̂_p − b̄‖² / G_p and
    b̄ the mean of the predictions that do not target the gene, so that cells that vary for show win
    nothing.

    Parameters
    ----------
    predicted, real
        The panel.
    targets
        (P, G) bool, the genes that each perturbation targets.
    """
    kept = ~targets
    genes = kept.sum(axis=1)
    weights = kept / genes[:, None]
    centre = (weights * predicted.level).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-300)
    capped = np.minimum(predicted.noise, real.noise) / genes
    spread = (weights * (predicted.level - centre) ** 2).sum()
    rho = min(1.0, spread / capped.sum()) if capped.any() else 1.0
    squared = (weights * (predicted.level - real.level) ** 2).sum(axis=1)
    return squared - rho * capped - real.noise / genes


def mean_distance(real: Panel, control: Pseudobulk, targets: np.ndarray) -> float:
    """Return the mean over perturbations of D_p = (‖b_p − b_ctrl‖² − C_p − C_ctrl) / G_p.

    Real to control. NaN where it is not positive: the panel shows no response.
    """
    genes = (~targets).sum(axis=1)
    squared = np.where(targets, 0.0, (real.level - control.level) ** 2).sum(axis=1)
    mean = float(((squared - real.noise - control.noise) / genes).mean())
    return mean if mean > 0 else float("nan")
