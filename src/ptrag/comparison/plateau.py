"""Whether a training has reached its plateau: only then are claims made about the arm.

Judged on the validation values of what is minimised, the energy distance, whatever chose the
checkpoint: a loss that still falls belongs to a model that is not finished.

The rule, for the values v_0 (untrained), v_1, …, v_n of one run: smooth by the mean of each
value and its two predecessors (fewer at the start; the value alone where n < 8). The *patience*
is the last quarter of the validations, at least two. The run is still improving where the lowest
smoothed value within the patience is below the lowest one before it by more than 1 % of itself.
(The untrained v_0 is no measure: it is as large as random weights make it.) Runs of fewer than four
validations cannot be judged and count as still improving.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from ptrag.base.files import read_table
from ptrag.base.names import METRIC, VALUE

MONITORED = "energy"
FEWEST = 4
SMOOTHED_FROM = 8
WINDOW = 3
PATIENCE = 0.25
TOLERANCE = 0.01


def still_improving(values: np.ndarray) -> bool:
    """Return whether a validation curve has not reached its plateau.

    Parameters
    ----------
    values
        (n + 1,) in the order of the steps, the untrained one first; less is better.
    """
    values = np.asarray(values, np.float64)
    n = len(values) - 1
    if n < FEWEST:
        return True
    window = WINDOW if n >= SMOOTHED_FROM else 1
    smooth = np.array([values[max(0, i - window + 1) : i + 1].mean() for i in range(n + 1)])
    patience = max(2, round(PATIENCE * n))
    before, within = smooth[:-patience].min(), smooth[-patience:].min()
    return bool(before - within > TOLERANCE * abs(within))


def improving_arms(histories: Iterable[tuple[str, str | Path]]) -> set[str]:
    """Return the arms of which at least one run is still improving.

    Parameters
    ----------
    histories
        (arm, path of ``history.tsv``) of every trained run.
    """
    return {arm for arm, path in histories if still_improving(_curve(read_table(path)))}


def _curve(history: pd.DataFrame) -> np.ndarray:
    rows = history[(history["split"] == "val") & (history[METRIC] == MONITORED)]
    return rows.sort_values("step")[VALUE].to_numpy()
