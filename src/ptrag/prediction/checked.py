"""Control cells that a network is given: refused where they cannot be what it was trained on."""

import numpy as np

from ptrag.base.errors import PtragError

#: A value of log1p(counts per 10,000) cannot be larger than log1p(10,000) = 9.2.
LARGEST = 15.0


def check_shape(cells: np.ndarray, n_genes: int) -> None:
    """Refuse what is not (n, n_genes), or has no cells.

    Raises
    ------
    PtragError
        That says the shape.
    """
    if cells.ndim != 2 or cells.shape[1] != n_genes:
        raise PtragError(
            f"controls: shape {cells.shape}, the bundle has {n_genes} genes; give cells × these "
            "genes"
        )
    if not len(cells):
        raise PtragError("controls: there are no cells; give at least one")


def checked(cells: np.ndarray) -> np.ndarray:
    """Return cells as float32; refuse what cannot be log1p of counts per 10,000.

    Raises
    ------
    PtragError
        For negative, missing or too large values.
    """
    cells = np.asarray(cells, dtype=np.float32)
    if not np.isfinite(cells).all() or cells.min() < 0:
        raise PtragError("controls: negative or missing values; give log1p of counts per 10,000")
    if cells.max() > LARGEST:
        raise PtragError(
            f"controls: the largest value is {cells.max():.4g}, which looks like counts; "
            "normalise each cell to 10,000 and take log1p"
        )
    return cells
