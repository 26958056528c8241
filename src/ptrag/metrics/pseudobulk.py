"""Profiles of summed counts with their sampling error, and the two metrics that read them.

The profile of a group of cells is b_g = log(1 + TS · P_g / Σ_g P_g) of its summed counts P, with
TS = :data:`TARGET_SUM`. Its squared error is estimated gene by gene by leaving out one cell at a time
(the jackknife: Efron and Stein, Ann. Stat. 9 (1981), 586-596), so that a squared distance between two
profiles can be freed of what sampling of cells alone adds to it. The metrics are two members of
:mod:`ptrag.metrics.vcc2026`; float64 throughout.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from ptrag.metrics.discrimination import discrimination

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


def pds_cosine(predicted: np.ndarray, real: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Discrimination of each prediction among the real responses, by cosine distance.

    :func:`ptrag.metrics.discrimination.discrimination` without the genes that any perturbation of
    the panel targets.

    Parameters
    ----------
    predicted, real
        (P, G) levels minus that of the controls.
    targets
        (P, G) bool, the genes that each perturbation targets.

    Returns
    -------
    score
        (P,), ½ for a prediction that knows nothing, 1 where each is nearest to its own.
    """
    kept = ~targets.any(axis=0)
    return discrimination(predicted[:, kept], real[:, kept], np.arange(len(real)), "cosine")


class Errors(NamedTuple):
    """Noise-corrected squared distances of each perturbation, (P,), means over its genes.

    Attributes
    ----------
    error
        N_p = (‖b̂_p − b_p‖² − ρ · min(Ĉ_p, C_p) − C_p) / G_p, predicted to real.
    distance
        D_p = (‖b_p − b_ctrl‖² − C_p − C_ctrl) / G_p, real to control.
    """

    error: np.ndarray
    distance: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """(P,) N_p / mean(D): the mean is Σ N / Σ D, 0 for the truth, about 1 for no change.

        NaN everywhere where the real cells show no response, Σ D ≤ 0.
        """
        mean = self.distance.mean()
        return self.error / mean if mean > 0 else np.full(len(self.error), np.nan)


def errors(predicted: Panel, real: Panel, control: Pseudobulk, targets: np.ndarray) -> Errors:
    """Return the parts of the normalised expression error.

    Distances and spread are taken over the G_p genes that p does not target, the jackknife errors C,
    Ĉ and C_ctrl over all. What is subtracted for the noise of a prediction is never more than that of the real cells, and over the
    panel never more than the spread of the predicted profiles: ρ = min(1, B / Σ_q min(Ĉ_q, C_q)/G_q)
    with B = Σ_p ‖b̂_p − b̄‖² / G_p, so that cells that vary for show win nothing.

    Parameters
    ----------
    predicted, real
        The panel.
    control
        The real controls.
    targets
        (P, G) bool, the genes that each perturbation targets.
    """
    kept = ~targets
    genes = kept.sum(axis=1)

    def over_genes(values: np.ndarray) -> np.ndarray:
        return np.where(kept, values, 0.0).sum(axis=1) / genes

    capped = np.minimum(predicted.noise, real.noise) / genes
    weights = kept / genes[:, None]
    centre = (weights * predicted.level).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-300)
    spread = over_genes((predicted.level - centre) ** 2).sum()
    rho = min(1.0, spread / capped.sum()) if capped.any() else 1.0
    of_real = real.noise / genes
    distance = over_genes((real.level - control.level) ** 2) - of_real - control.noise / genes
    error = over_genes((predicted.level - real.level) ** 2) - rho * capped - of_real
    return Errors(error, distance)
