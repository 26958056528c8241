"""Distances between two samples of cells, here in the components of a PCA.

Notation: predicted cells Q (m × d), real cells R (n × d), all distances Euclidean and in
float64. "U" leaves a cell's distance to itself out of the within-terms (unbiased, may be
slightly negative), "V" counts it (never negative, zero only for equal samples).
"""

import os
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist


class Distances(NamedTuple):
    """All pairwise distances of two samples, shared by the metrics built on them.

    Attributes
    ----------
    between
        (m, n) predicted to real.
    predicted, real
        (m, m) and (n, n) within each sample.
    """

    between: np.ndarray
    predicted: np.ndarray
    real: np.ndarray

    @classmethod
    def of(cls, predicted: np.ndarray, real: np.ndarray) -> "Distances":
        """Compute the distances of ``predicted`` (m, d) and ``real`` (n, d)."""
        Q, R = np.asarray(predicted, np.float64), np.asarray(real, np.float64)
        return cls(cdist(Q, R), cdist(Q, Q), cdist(R, R))


def energy(d: Distances) -> float:
    """Energy distance 2E‖X−Y‖ − E‖X−X'‖ − E‖Y−Y'‖, U; ideal 0, NaN with a single cell.

    Székely & Rizzo, J. Stat. Plan. Inference 143 (2013), 1249-1272.
    """
    return float(2 * d.between.mean() - _mean_of_distinct(d.predicted) - _mean_of_distinct(d.real))


def energy_halved(d: Distances) -> float:
    """½ (2E‖X−Y‖ − E‖X−X'‖ − E‖Y−Y'‖), V: the convention of geomloss; ≥ 0, ideal 0."""
    return float(d.between.mean() - 0.5 * d.predicted.mean() - 0.5 * d.real.mean())


def mmd(d: Distances, bandwidth: float) -> float:
    """Squared MMD E k(X,X') + E k(Y,Y') − 2E k(X,Y), k = exp(−‖x−y‖² / 2σ²), U; ideal 0.

    Gretton et al., JMLR 13 (2012), 723-773, eq. 3. NaN with a single cell.

    Parameters
    ----------
    d
        Distances of the samples.
    bandwidth
        σ, the median distance among cells that are not scored.
    """
    k = Distances(*(np.exp(part**2 / (-2 * bandwidth**2)) for part in d))
    return float(_mean_of_distinct(k.predicted) + _mean_of_distinct(k.real) - 2 * k.between.mean())


def w1_joint(d: Distances) -> float:
    """1-Wasserstein distance min_π Σ π_ij ‖q_i − r_j‖ of the joint samples, exact; ideal 0."""
    return _transport(d.between)


def w2(d: Distances) -> float:
    """2-Wasserstein distance √(min_π Σ π_ij ‖q_i − r_j‖²), exact and rooted; ideal 0."""
    return float(np.sqrt(_transport(d.between**2)))


def w1(predicted: np.ndarray, real: np.ndarray) -> float:
    """Mean over dimensions of the exact 1-Wasserstein distance ∫|F_q(t) − F_r(t)| dt; ideal 0.

    Parameters
    ----------
    predicted, real
        (m, d) and (n, d) cells.
    """
    m, n = len(predicted), len(real)
    values = np.concatenate([predicted, real])  # (m + n, d)
    order = np.argsort(values, axis=0, kind="stable")
    step = np.concatenate([np.full(m, 1 / m), np.full(n, -1 / n)])
    gap = np.abs(np.cumsum(step[order], axis=0)[:-1])
    width = np.diff(np.take_along_axis(values, order, axis=0), axis=0)
    return float((gap * width).sum(axis=0).mean())


def median_distance(cells: np.ndarray) -> float:
    """Median distance between distinct cells of (n, d) ``cells``: the bandwidth of :func:`mmd`."""
    above = np.triu_indices(len(cells), 1)
    return float(np.median(cdist(cells, cells)[above]))


def _mean_of_distinct(matrix: np.ndarray) -> float:
    """Mean off the diagonal of (n, n); NaN for n = 1."""
    n = len(matrix)
    return float((matrix.sum() - np.trace(matrix)) / (n * (n - 1))) if n > 1 else float("nan")


def _transport(cost: np.ndarray) -> float:
    """Cost of the optimal plan between uniform weights, exact.

    Between equally many cells some optimal plan pairs them one to one (Birkhoff), which is an
    assignment; else by the network simplex.
    """
    m, n = cost.shape
    if m == n:
        return float(cost[linear_sum_assignment(cost)].mean())
    os.environ.setdefault("POT_BACKEND_DISABLE_PYTORCH", "1")  # it would take seconds to import
    import ot

    plan_cost = ot.emd2(np.full(m, 1 / m), np.full(n, 1 / n), cost, numItermax=10_000_000)
    return max(float(plan_cost), 0.0)
