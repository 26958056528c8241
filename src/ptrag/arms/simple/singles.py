"""A perturbation of several genes as the sum of its singles, as coefficients: δ̂ = Σ_i ω_i δ_i."""

import numpy as np

from ptrag.arms.simple.coefficients import line_mean
from ptrag.cells.responses import Responses


def additive_singles(
    responses: Responses, line: str, perturbation: str, keep: np.ndarray
) -> np.ndarray:
    """Sum of the singles' responses; of those that are measured; else :func:`line_mean`.

    δ̂(A+B, t) = δ̄(A, t) + δ̄(B, t), with δ̄(q, t) the single's delta in line t where it was measured
    there, else its mean over other lines. A single that was measured nowhere adds nothing.

    Parameters
    ----------
    responses
        N entries.
    line, perturbation
        The pair; ``A+B`` for two genes.
    keep
        (N,) bool, entries that may be used.

    Returns
    -------
    coefficients
        (N,) ω; all zero where nothing may be used.
    """
    omega = np.zeros(len(keep))
    for gene in perturbation.split("+"):
        rows = measured(responses, line, gene, keep)
        omega[rows] += 1 / max(len(rows), 1)
    return omega if omega.any() else line_mean(responses, line, keep)


def measured(responses: Responses, line: str, gene: str, keep: np.ndarray) -> np.ndarray:
    """Return the rows that stand for a single in a line: its own there, else all others."""
    everywhere = responses.rows(perturbation=gene)
    here = responses.rows(line, gene)
    kept_here = here[keep[here]]
    return kept_here if len(kept_here) else everywhere[keep[everywhere]]
