"""Random directions in the space of genes: rows of length one."""

import numpy as np


def unit(rows: np.ndarray) -> np.ndarray:
    """Return rows scaled to length one; a row of zeros stays."""
    norm = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(norm > 0, norm, 1)


def sparse_unit(shape: tuple[int, int], density: float, rng: np.random.Generator) -> np.ndarray:
    """Draw rows of length one, signed, non-zero in about ``density`` of the places."""
    return unit(rng.standard_normal(shape) * (rng.random(shape) < density))


def line_shift(common: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a line's systematic shift û, (1, G): √.3 of it ``common`` to all lines, √.7 its own.

    Parameters
    ----------
    common
        (1, G) of :func:`sparse_unit` with density one half.
    rng
        Source of the line's own part.
    """
    return unit(np.sqrt(0.3) * common + np.sqrt(0.7) * sparse_unit(common.shape, 0.5, rng))
