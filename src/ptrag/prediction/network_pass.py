"""One pass of a network over the cells of a pair: what it is asked, and what comes back.

Axes: G genes, K candidates, U perturbations with features, E numbers of each.
"""

from typing import NamedTuple

import numpy as np
from torch import Tensor


class Query(NamedTuple):
    """What the network is told besides the control cells.

    Attributes
    ----------
    features
        (U, E) on the device.
    query
        Row of ``features`` that is asked for.
    candidates
        (K,) rows of its candidates.
    shift
        (G,) by which the expert moves control cells, or None.
    """

    features: Tensor
    query: int
    candidates: np.ndarray
    shift: np.ndarray | None = None


class Run(NamedTuple):
    """The predicted cells (n, G), gates (cells, K) of each batch, changes (K, G) by leaving out."""

    cells: np.ndarray
    gates: list[np.ndarray]
    changes: np.ndarray | None

    @property
    def profile(self) -> np.ndarray:
        """Mean of the cells, (G,) float64."""
        return self.cells.mean(axis=0, dtype=np.float64)
