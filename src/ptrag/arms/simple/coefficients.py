"""The simple predictors as coefficients ω of measured responses: δ̂(p, t) = Σ_i ω_i δ_i.

Each takes a mask of the entries it may use, so that leaving one out is asking again without it.
"""

import numpy as np

from ptrag.cells.responses import Responses


def line_mean(responses: Responses, line: str, keep: np.ndarray) -> np.ndarray:
    """Equal parts of the line's entries; of all entries where the line has none.

    Parameters
    ----------
    responses
        N entries.
    line
        The target line t.
    keep
        (N,) bool, entries that may be used.

    Returns
    -------
    coefficients
        (N,) ω; all zero where nothing may be used.
    """
    here = keep & _in_line(responses, line)
    return _equal(here if here.any() else keep)


def perturbation_mean(
    responses: Responses, line: str, perturbation: str, keep: np.ndarray
) -> np.ndarray:
    """Equal parts of the perturbation's entries in other lines; else :func:`line_mean`."""
    elsewhere = keep & _of(responses, perturbation) & ~_in_line(responses, line)
    return _equal(elsewhere) if elsewhere.any() else line_mean(responses, line, keep)


def additive(responses: Responses, line: str, perturbation: str, keep: np.ndarray) -> np.ndarray:
    """Perturbation effect + line effect by least squares; else :func:`line_mean`.

    δ(q, l) = α_q + β_l + ε. With α eliminated, β solves the L × L equations M β = Qᵀ δ, where Q
    (N × L) are the lines' indicators minus their mean over the entries of each perturbation and
    M = QᵀQ. Then δ̂(p, t) = mean over the lines l of p of (δ(p, l) − β_l) + β_t. Where lines
    share no perturbation, β is the solution of least norm.
    """
    own = keep & _of(responses, perturbation)
    if not own.any():
        return line_mean(responses, line, keep)
    lines = np.eye(len(responses.lines))[responses.line_of] * keep[:, None]  # N × L
    of = responses.perturbation_of
    per = np.zeros((len(responses.perturbations), lines.shape[1]))
    np.add.at(per, of, lines)
    share = per / np.maximum(per.sum(axis=1, keepdims=True), 1)
    Q = (lines - share[of]) * keep[:, None]
    contrast = -lines[own].mean(axis=0)
    contrast[responses.lines.index(line)] += 1
    return _equal(own) + Q @ (np.linalg.pinv(Q.T @ Q, hermitian=True) @ contrast)


def knn(
    responses: Responses,
    line: str,
    neighbours: list[str],
    similarity: np.ndarray,
    keep: np.ndarray,
) -> np.ndarray:
    """Similarity-weighted mean of the neighbours' deltas; else :func:`line_mean`.

    δ̂(p, t) = Σ_q s⁺(p, q) δ̄(q, t) / Σ_q s⁺(p, q), with s⁺ the positive part of the cosine and
    δ̄(q, t) the neighbour's delta in the target line, or its mean over other lines where it was
    not measured there. A neighbour without any entry does not count.
    """
    total = np.zeros(len(keep))
    for neighbour, weight in zip(neighbours, np.maximum(similarity, 0), strict=True):
        total += weight * _equal(_standing_for(responses, line, neighbour, keep))
    return total / total.sum() if total.sum() > 0 else line_mean(responses, line, keep)


def additive_singles(
    responses: Responses, line: str, perturbation: str, keep: np.ndarray
) -> np.ndarray:
    """Sum of the singles' responses; of those that are measured; else :func:`line_mean`.

    δ̂(A+B, t) = δ̄(A, t) + δ̄(B, t), with δ̄(q, t) the single's delta in line t where it was measured
    there, else its mean over other lines. A single that was measured nowhere adds nothing.
    """
    omega = np.zeros(len(keep))
    for gene in perturbation.split("+"):
        omega += _equal(_standing_for(responses, line, gene, keep))
    return omega if omega.any() else line_mean(responses, line, keep)


def mix(omega: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """(G,) Σ ω δ; reads no entries that do not count."""
    rows = np.flatnonzero(omega)
    return omega[rows] @ delta[rows] if 4 * len(rows) < len(omega) else omega @ delta


def _standing_for(
    responses: Responses, line: str, perturbation: str, keep: np.ndarray
) -> np.ndarray:
    """(N,) bool, the entries of δ̄(q, t): the perturbation's own in the line, else all others."""
    of = keep & _of(responses, perturbation)
    here = of & _in_line(responses, line)
    return here if here.any() else of


def _in_line(responses: Responses, line: str) -> np.ndarray:
    return responses.line_of == responses.lines.index(line)


def _of(responses: Responses, perturbation: str) -> np.ndarray:
    return responses.perturbation_of == responses.number(perturbation)


def _equal(mask: np.ndarray) -> np.ndarray:
    return mask / max(mask.sum(), 1)
