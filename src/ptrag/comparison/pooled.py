"""The scores of several target lines as those of one: the paper's unit.

Splits that score one line each, every one another, are rotations of one experiment: each line is
held out in turn. Their pairs are put together, so that an arm has one mean over all of them, and
differences are clustered by perturbation over lines.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ptrag.base.names import CELL_LINE, ROLE
from ptrag.comparison.scores import SplitScores

ALL_LINES = "all lines"
"""In place of a split's name, which has no space."""


def pooled(splits: Sequence[SplitScores]) -> SplitScores | None:
    """Return the scores of all splits as one, over the arms that every split has.

    Parameters
    ----------
    splits
        All of one comparison.

    Returns
    -------
    scores
        Named :data:`ALL_LINES`; None where there are no two splits, or some score several lines,
        or the same.
    """
    lines = [
        set(split.pairs.loc[split.pairs[ROLE] == split.scored_role, CELL_LINE]) for split in splits
    ]
    one_each = all(len(of_split) == 1 for of_split in lines)
    if len(splits) < 2 or not one_each or len(set.union(*lines)) < len(splits):
        return None
    first = splits[0]
    arms = [arm for arm in first.values if all(arm in split.values for split in splits)]
    roles = {role for split in splits for role in split.n_left_out}
    return SplitScores(
        ALL_LINES,
        pd.concat([split.pairs for split in splits], ignore_index=True),
        first.metrics,
        {arm: np.concatenate([split.values[arm] for split in splits]) for arm in arms},
        np.concatenate([split.floor for split in splits]),
        np.concatenate([split.ceiling for split in splits]),
        {role: sum(split.n_left_out.get(role, 0) for split in splits) for role in roles},
    )
