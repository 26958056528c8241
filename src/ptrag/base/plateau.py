"""When a training has reached its plateau: the one rule, for stopping and for claims.

The rule, for the validation values v_0 (untrained), v_1, …, v_n of one run, less being better.
Each is smoothed to the mean s_i of itself and its two predecessors. The *patience* q is the last
quarter of the validations, and at least PATIENCE of them. The run is still improving where

    min(s_{n−q+1}, …, s_n) < min(s_0, …, s_{n−q}) − GAIN · |min(s_0, …, s_{n−q})|,

that is, where the last q validations bettered all those before them by more than the smallest
relative gain that counts: training by another third of the steps was worth it. A run of fewer than
WINDOW + q validations is still improving, since that is too little to judge. A curve that rises
again (an over-fitted model) has a plateau: the best weights lie before it.

The rule presumes a learning rate that does not fall with the number of steps, since any curve
becomes flat where the rate goes to zero.
"""

import math
from collections.abc import Sequence

import numpy as np

WINDOW = 3
"""Validations that a smoothed value is the mean of."""

PATIENCE = 5
"""Validations that must bring no gain, at least."""

SHARE = 0.25
"""Share of a run that must bring no gain, at least."""

GAIN = 0.01
"""Smallest gain that counts, relative to the value before it."""


def smoothed(values: Sequence[float]) -> np.ndarray:
    """Return the mean of each of (n,) values and its ``WINDOW`` − 1 predecessors, as far as any."""
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, np.float64))])
    stop = np.arange(1, len(sums))
    start = np.maximum(stop - WINDOW, 0)
    return (sums[stop] - sums[start]) / (stop - start)


def still_improving(values: Sequence[float], patience: int = PATIENCE) -> bool:
    """Return whether a validation curve has not reached its plateau.

    Parameters
    ----------
    values
        (n + 1,) validation values in the order of the steps, the untrained one first; less is
        better. A metric of which more is better comes with its sign changed.
    patience
        Validations that must bring no gain, at least 1. A curve that is on its plateau by one
        patience is so by any smaller one.
    """
    n = len(values) - 1
    patience = max(patience, math.ceil(SHARE * n))
    if n < WINDOW + patience:
        return True
    smooth = smoothed(values)
    before, recent = smooth[:-patience].min(), smooth[-patience:].min()
    return bool(recent < before - GAIN * abs(before))
