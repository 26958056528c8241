"""How precise measured responses are, from training pairs alone.

Errors of predictions are held against what is known of each gene before any held-out cell is
seen, and retrieved responses are trusted as far as they rise above their own noise.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ptrag.base.names import CELL_LINE, N_CELLS, PAIR
from ptrag.cells.responses import Responses


@dataclass(frozen=True)
class Precision:
    """What training pairs say about noise and signal.

    Attributes
    ----------
    noise
        (G,) variance of a cell about the mean of its pair, pooled over training pairs.
    signal
        (G,) variance of true deltas about the mean delta of their line: what is seen between
        training pairs, minus what sampling cells explains; not below 0.
    entries
        cell_line, perturbation, reliability of every training pair. Reliability is the share of
        the squared length of its measured delta that is not noise,
        max(0, 1 − Σ_g se_g² / Σ_g δ_g²).
    """

    noise: np.ndarray
    signal: np.ndarray
    entries: pd.DataFrame

    @property
    def weights(self) -> np.ndarray:
        """(G,) signal / (signal + noise): how far what is perturbed decides a gene of a cell.

        0 to 1; 0 for a gene that never responds, and everywhere without training pairs.
        """
        total = self.signal + self.noise
        return np.divide(self.signal, total, out=np.zeros_like(total), where=total > 0)

    @classmethod
    def of(cls, responses: Responses) -> "Precision":
        """Sum up the training responses; zeros and no entry where there are none."""
        entries, own = responses.entries, responses.own_variance
        if entries.empty:
            nothing = np.zeros(len(responses.genes))
            none = entries.reindex(columns=[*PAIR, "reliability"])
            return cls(nothing, nothing, none)
        n = entries[N_CELLS].to_numpy()
        noise = (own * n[:, None]).mean(axis=0)
        signal, freedom = np.zeros_like(noise), 0
        for rows in entries.groupby(CELL_LINE).indices.values():
            signal += ((responses.delta[rows] - responses.delta[rows].mean(axis=0)) ** 2).sum(
                axis=0
            )
            signal -= own[rows].mean(axis=0) * (len(rows) - 1)
            freedom += len(rows) - 1
        length = (responses.delta**2).sum(axis=1)
        share = np.divide(
            (responses.se**2).sum(axis=1), length, out=np.ones(len(n)), where=length > 0
        )
        reliability = np.maximum(0.0, 1.0 - share)
        return cls(
            noise,
            np.maximum(signal / max(freedom, 1), 0.0),
            entries[PAIR].assign(reliability=reliability),
        )
