"""What is believed of a pair that *was* measured: its own entry and what the others say of it.

Without its own entry the expert says N(μ_g, τ_g²) of the true delta of gene g (mean and standard
deviation of :class:`ptrag.arms.expert.expert.Expert`, with the whole level). The pair's own cells
say d_g with the error s_g, from controls that are freed of their noise as far as all entries tell:

    E[δ_g] = w_g d_g + (1 − w_g) μ_g,   w_g = τ_g² / (τ_g² + s_g²),   Var δ_g = w_g s_g²:

few cells or a gene that varies little lean on the others, many cells on themselves. s_g² is the
gene's variance between the cells of a pair, pooled over pairs, over the pair's number of cells;
that of one pair's few cells is often zero where a gene is rarely counted.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from ptrag.arms.expert.expert import Expert
from ptrag.arms.expert.sparse import variance_of_a_cell
from ptrag.base.names import N_CELLS


class Denoised(NamedTuple):
    """The posterior of N measured pairs.

    Attributes
    ----------
    entries
        (N rows) cell_line, perturbation, n_cells.
    delta, sd
        (N, G) mean and standard deviation of the true delta, on the log1p scale.
    own
        (N, G) w, how much the pair's own cells count.
    """

    entries: pd.DataFrame
    delta: np.ndarray
    sd: np.ndarray
    own: np.ndarray


def denoised(expert: Expert, rows: np.ndarray | None = None) -> Denoised:
    """Return the posterior of measured pairs, their own entries included.

    Parameters
    ----------
    expert
        Fitted on them.
    rows
        Of the entries that are asked for; None: all.
    """
    responses = expert.responses
    rows = np.arange(len(responses.entries)) if rows is None else np.asarray(rows)
    noise = variance_of_a_cell(responses)
    entries = responses.entries.iloc[rows].reset_index(drop=True)
    means, sds, weights = [], [], []
    for row, n_cells in zip(rows, entries[N_CELLS], strict=True):
        estimate = expert(*responses.pairs[row])
        left, origin = estimate.origin.shared, estimate.origin
        others, variance = estimate.delta + left, estimate.sd**2 - left**2
        measured, error = responses.delta[row] - origin.error, noise / n_cells
        total = variance + error
        own = np.divide(variance, total, out=np.ones_like(total), where=total > 0)
        means.append(own * measured + (1 - own) * others)
        sds.append(np.sqrt(own * error))
        weights.append(own)
    return Denoised(entries, np.array(means), np.array(sds), np.array(weights))
