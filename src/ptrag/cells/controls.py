"""Which control cells may be seen by whom: every line's controls, dealt once into two halves.

*Given* controls are open to gene choice, training, measured training deltas and prediction, also
those of a target line: they are what a user has. *Yardstick* controls are seen by evaluation alone,
its PCA included: an observed delta is the profile of a pair's real cells less the yardstick
mean, a predicted delta the predicted profile less the given mean. So no noise of one control mean
stands on both sides of a comparison; with one shared control profile that noise alone scores a
Pearson Δ of .27 on the demo.

The store keeps the given controls of a line before its yardstick controls, as one block
(:meth:`ptrag.cells.store.CellStore.control_rows`).
"""

from typing import Literal

import numpy as np
import pandas as pd

from ptrag.base.names import BATCH, CELL_LINE, CONTROL, PERTURBATION
from ptrag.base.random import keyed_rng

Part = Literal["given", "yardstick", "all"]

GIVEN: Part = "given"
YARDSTICK: Part = "yardstick"
ALL: Part = "all"
"""Both halves; for what compares with packages that know one set of controls."""

CONTROL_PART = "control_part"
"""Column of obs: ``given`` or ``yardstick`` for a control cell, empty for others."""

YARDSTICK_SHARE = 0.5
"""Share of a line's controls that evaluation keeps for itself."""


def deal_controls(obs: pd.DataFrame, share: float = YARDSTICK_SHARE) -> np.ndarray:
    """Deal the controls of every line, batch by batch.

    Within a batch the cells are shuffled by a key of line and batch; along the line's batches
    every 1/``share``-th cell becomes a yardstick. So a line has ⌊share · n⌋ of them, and each
    batch its share to within one cell.

    Parameters
    ----------
    obs
        Cells with ``cell_line``, ``perturbation`` (controls named ``control``) and perhaps
        ``batch``.
    share
        0 where nothing is evaluated: all controls are given then.

    Returns
    -------
    parts
        (n_cells,) ``given``, ``yardstick`` or, for a perturbed cell, the empty string.
    """
    parts = np.full(len(obs), "", dtype=object)
    rows = np.flatnonzero((obs[PERTURBATION] == CONTROL).to_numpy())
    controls = obs.iloc[rows]
    batches = controls[BATCH] if BATCH in controls else pd.Series("", index=controls.index)
    keys = pd.DataFrame(
        {"line": controls[CELL_LINE].astype(str), "batch": batches.astype(str), "row": rows}
    )
    for line, of_line in keys.groupby("line", sort=True):
        shuffled = [
            keyed_rng("controls", line, batch).permutation(of_batch["row"].to_numpy())
            for batch, of_batch in of_line.groupby("batch", sort=True)
        ]
        order = np.concatenate(shuffled)
        turn = np.floor(np.arange(len(order) + 1) * share + 1e-9)
        parts[order] = np.where(np.diff(turn) > 0, YARDSTICK, GIVEN)
    return parts
