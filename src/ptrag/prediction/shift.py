"""Control cells shifted on the log1p scale: what a network on top of an expert starts from.

Predicted cells of profiles come from :mod:`ptrag.prediction.emission`.
"""

import numpy as np


class Mover:
    """Moves control cells so that the mean of all of them changes by a delta.

    A cell x_s becomes ReLU(x_s + d), with d for each gene the number for which

        mean_s ReLU(x_s + d) = m,  m = max(0, mean_s x_s + δ).

    The left side is continuous and increasing in d where it is positive, so d is unique for
    m > 0. With x sorted downwards and S_k the sum of its k largest values, d = (n m − S_k)/k
    for the largest k with x_(k) + (n m − S_k)/k > 0 (the projection onto a simplex).

    The same d moves any of the cells: those drawn for a pair keep the mean and the spread of a
    sample, and are not moved to an exact mean.

    Parameters
    ----------
    controls
        (n, G) control cells, nonnegative. They are sorted once, for all deltas.
    """

    def __init__(self, controls: np.ndarray) -> None:
        self._ordered = np.sort(np.asarray(controls, np.float64), axis=0)[::-1]  # (n, G)
        self._sums = np.cumsum(self._ordered, axis=0)
        self._counts = np.arange(1, len(self._ordered) + 1)[:, None]

    def shift(self, delta: np.ndarray) -> np.ndarray:
        """Return d for a delta, both (G,), float64; for m = 0 minus the gene's largest value."""
        n = len(self._ordered)
        if not np.any(delta):
            return np.zeros(len(delta))
        total = n * np.maximum(self._sums[-1] / n + delta, 0.0)
        shift = (total - self._sums) / self._counts
        # the condition holds up to some k and never after it
        last = np.maximum((self._ordered + shift > 0).sum(axis=0), 1) - 1
        chosen = np.take_along_axis(shift, last[None], axis=0)[0]
        return np.where(total == 0, -self._ordered[0], chosen)


def move_cells(cells: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return ReLU(x + d) of (n, G) cells, in their type; exact where d is 0."""
    return np.maximum(cells + shift, 0.0).astype(cells.dtype)
