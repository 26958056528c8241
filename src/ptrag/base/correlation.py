"""The one correlation and the one ranking that everything else uses, in float64.

What a prediction alone leaves undefined counts as no information, so that no arm
gains by being undefined; what the real cells leave undefined is NaN for every arm.
"""

import numpy as np


def pearson(predicted: np.ndarray, real: np.ndarray) -> float:
    """Correlation Σ(x−x̄)(y−ȳ) / √(Σ(x−x̄)² Σ(y−ȳ)²); range −1 to 1, ideal 1.

    Parameters
    ----------
    predicted, real
        (n,) values over genes.

    Returns
    -------
    float
        0 where ``predicted`` alone is constant; NaN where ``real`` is, or with fewer than
        three genes.
    """
    if len(real) < 3:
        return float("nan")
    x, y = centred(predicted), centred(real)
    if not y.any():
        return float("nan")
    if not x.any():
        return 0.0
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))


def spearman(predicted: np.ndarray, real: np.ndarray) -> float:
    """Pearson correlation of mid-ranks; range −1 to 1, ideal 1, undefined as in :func:`pearson`."""
    return pearson(mid_ranks(predicted), mid_ranks(real))


def mid_ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of (n,) ``values`` from 1, equal ones sharing the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def centred(values: np.ndarray) -> np.ndarray:
    """``values`` minus their mean, exactly zero where all are the same."""
    values = np.asarray(values, np.float64)
    if values.min() == values.max():
        return np.zeros_like(values)
    return values - values.mean()
