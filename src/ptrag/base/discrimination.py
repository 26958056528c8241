"""Whether a prediction looks more like its own perturbation than like the line's others."""

from typing import Literal, get_args

import numpy as np
from scipy.spatial.distance import cdist

Distance = Literal["cosine", "l1", "l2"]
DISTANCES: tuple[Distance, ...] = get_args(Distance)

TIE = 1e-12
"""Two distances that differ by less, relative to the largest norm involved, are equal."""


def discrimination(
    predicted: np.ndarray, real: np.ndarray, own: np.ndarray, distance: Distance
) -> np.ndarray:
    """Share of the other perturbations whose real vector is farther than the true one.

    s_p = (#{u ≠ p : d(x_p, y_u) > d(x_p, y_p)} + ½ #{u ≠ p : d(x_p, y_u) = d(x_p, y_p)}) / (N−1)

    Range 0 to 1, ideal 1, chance ½. (Packages that divide by N: worst 1/N.) One x for all p scores
    ½ on average, whatever x is, since every order of the y is then the same for all; it does so
    only if all p are compared on the same genes, which is why the genes of the panel are left out
    before (:func:`ptrag.evaluation.scoring.score_all`).

    Parameters
    ----------
    predicted
        (P, G) predicted vectors x.
    real
        (N, G) real vectors y of the same line.
    own
        (P,) row of ``real`` that is each prediction's own.
    distance
        ``cosine`` (a zero vector is as far as an orthogonal one), ``l1`` or ``l2``.

    Returns
    -------
    score
        (P,), NaN where the line has no other perturbation, or no gene is left.
    """
    if len(real) < 2 or not real.shape[1]:
        return np.full(len(predicted), np.nan)
    distances, size = _BY_NAME[distance](predicted, real)
    to_own = distances[np.arange(len(distances)), own][:, None]
    tied = np.abs(distances - to_own) <= TIE * size
    farther = ((distances > to_own) & ~tied).sum(axis=1) + 0.5 * (tied.sum(axis=1) - 1)
    return farther / (len(real) - 1)


def _cosine(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    norms = np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1))
    dot = x @ y.T
    return 1.0 - np.divide(dot, norms, out=np.zeros_like(dot), where=norms > 0), 1.0


def _l1(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    distances = cdist(x, y, "cityblock")
    return distances, float(distances.max(initial=0.0))


def _l2_squared(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """‖x‖² + ‖y‖² − 2x·y, which orders as the root does: one matrix product."""
    of_x, of_y = np.einsum("pg,pg->p", x, x), np.einsum("ng,ng->n", y, y)
    size = float(of_x.max(initial=0.0) + of_y.max(initial=0.0))
    return of_x[:, None] + of_y - 2 * (x @ y.T), size


_BY_NAME = {"cosine": _cosine, "l1": _l1, "l2": _l2_squared}
