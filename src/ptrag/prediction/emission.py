"""From a predicted delta to predicted cells."""

import numpy as np


def shift_cells(x: np.ndarray, delta: np.ndarray, mean: np.ndarray | None = None) -> np.ndarray:
    """Shift cells so that their mean is ``mean`` + ``delta``, and none becomes negative.

    ŷ_s = ReLU(x_s + d'), with d' for each gene the number for which

        mean_s ReLU(x_s + d') = m,  m = max(0, mean + δ).

    The left side is continuous and increasing in d' where it is positive, so d' is unique for
    m > 0. With x sorted downwards and S_k the sum of its k largest values, d' = (n m − S_k)/k
    for the largest k with x_(k) + (n m − S_k)/k > 0 (the projection onto a simplex).

    Parameters
    ----------
    x
        (n, G) control cells, nonnegative.
    delta
        (G,) predicted change of the mean profile.
    mean
        (G,) of all control cells that ``x`` were drawn from, which is known better than that of a
        few: what a delta is measured from. None: the mean of ``x``.

    Returns
    -------
    cells
        (n, G) of the type of ``x``. For m = 0 all zeros.
    """
    return np.maximum(x + shift_vector(x, delta, mean), 0.0).astype(x.dtype)


def shift_vector(x: np.ndarray, delta: np.ndarray, mean: np.ndarray | None = None) -> np.ndarray:
    """Return d' of :func:`shift_cells`, (G,) float64; for m = 0 minus the largest value."""
    wide = np.asarray(x, np.float64)
    n = len(wide)
    total = n * np.maximum((wide.mean(axis=0) if mean is None else mean) + delta, 0.0)
    ordered = np.sort(wide, axis=0)[::-1]
    shift = (total - np.cumsum(ordered, axis=0)) / np.arange(1, n + 1)[:, None]
    last = np.maximum((ordered + shift > 0).sum(axis=0), 1) - 1  # it holds up to k, then never
    return np.where(total == 0, -ordered[0], np.take_along_axis(shift, last[None], axis=0)[0])
