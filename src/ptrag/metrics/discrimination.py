"""Whether a prediction looks more like its own perturbation than like the line's others."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist

TIE = 1e-12  # distances nearer than this, absolutely or relatively, are the same


def discrimination(
    predicted: np.ndarray,
    real: np.ndarray,
    own: np.ndarray,
    distance: str,
    left_out: Sequence[np.ndarray],
) -> np.ndarray:
    """Share of the other perturbations whose real delta is farther than the true one.

    s_p = (#{u ≠ p : d(x_p, y_u) > d(x_p, y_p)} + ½ #{u ≠ p : d(x_p, y_u) = d(x_p, y_p)}) / (N−1)

    Range 0 to 1, ideal 1, chance ½. (Packages that divide by N: worst 1/N.)

    Parameters
    ----------
    predicted
        (P, G) predicted deltas x.
    real
        (N, G) real deltas y of the same line.
    own
        (P,) row of ``real`` that is each prediction's own.
    distance
        ``l1``, ``l2`` or ``cosine``; a zero delta is as far as an orthogonal one.
    left_out
        For each prediction, the genes that do not count (its own targets).

    Returns
    -------
    score
        (P,), NaN where the line has no other perturbation.
    """
    if len(real) < 2:
        return np.full(len(predicted), np.nan)
    d = _DISTANCES[distance](predicted, real, left_out)
    mine = d[np.arange(len(d)), own][:, None]
    tied = np.isclose(d, mine, rtol=TIE, atol=TIE)
    farther = ((d > mine) & ~tied).sum(axis=1) + 0.5 * (tied.sum(axis=1) - 1)
    return farther / (len(real) - 1)


def _l1(x: np.ndarray, y: np.ndarray, left_out: Sequence[np.ndarray]) -> np.ndarray:
    d = cdist(x, y, "cityblock")
    for i, genes in enumerate(left_out):
        d[i] -= np.abs(x[i, genes] - y[:, genes]).sum(axis=1)
    return d


def _l2_squared(x: np.ndarray, y: np.ndarray, left_out: Sequence[np.ndarray]) -> np.ndarray:
    d = cdist(x, y, "sqeuclidean")  # orders as the root does
    for i, genes in enumerate(left_out):
        d[i] -= ((x[i, genes] - y[:, genes]) ** 2).sum(axis=1)
    return d


def _cosine(x: np.ndarray, y: np.ndarray, left_out: Sequence[np.ndarray]) -> np.ndarray:
    dot = x @ y.T
    squares = np.outer((x**2).sum(axis=1), (y**2).sum(axis=1))
    for i, genes in enumerate(left_out):
        dot[i] -= y[:, genes] @ x[i, genes]
        rest = (y**2).sum(axis=1) - (y[:, genes] ** 2).sum(axis=1)
        squares[i] = ((x[i] ** 2).sum() - (x[i, genes] ** 2).sum()) * rest
    norm = np.sqrt(np.maximum(squares, 0.0))
    return 1.0 - np.divide(dot, norm, out=np.zeros_like(dot), where=norm > 0)


_DISTANCES = {"l1": _l1, "l2": _l2_squared, "cosine": _cosine}
