"""The scores of every arm of a split, on the pairs that all of them predicted.

One policy for arms that cannot predict some pairs (a gene without a vector): a pair that one run
did not predict (``n_predicted`` 0) is left out for all arms of the split, and counted. A value
that the real cells leave undefined is missing for every arm alike, in that metric alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError
from ptrag.base.files import read_table
from ptrag.base.names import (
    CEILING,
    FLOOR,
    METRIC,
    N_PREDICTED,
    PAIR,
    ROLE,
    STRENGTH,
    VALUE,
)


@dataclass(frozen=True)
class SplitScores:
    """What ``metrics.tsv`` of all runs of one split say.

    Attributes
    ----------
    split
        Name of the split.
    pairs
        cell_line, perturbation, role and strength of the n pairs that every run predicted.
    metrics
        Names of the M metrics.
    values
        Per arm, (n, M, S): S seeds.
    floor, ceiling
        (n, M) scores of the mean baseline and of the split-half replicate.
    n_left_out
        Per role, pairs that some run did not predict.
    """

    split: str
    pairs: pd.DataFrame
    metrics: list[str]
    values: dict[str, np.ndarray]
    floor: np.ndarray
    ceiling: np.ndarray
    n_left_out: dict[str, int]

    @property
    def scored_role(self) -> str:
        """The role of the pairs that arms are compared on: ``val`` where there is no test pair."""
        return "test" if (self.pairs[ROLE] == "test").any() else "val"

    def of(self, role: str, metric: str) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
        """Return one metric on the pairs of one role.

        Returns
        -------
        values
            Per arm, (n, S), NaN where the real cells leave the metric undefined.
        pairs
            The n rows of :attr:`pairs`, with ``floor`` and ``ceiling``.
        """
        rows = (self.pairs[ROLE] == role).to_numpy()
        column = self.metrics.index(metric)
        ends = {FLOOR: self.floor[rows, column], CEILING: self.ceiling[rows, column]}
        values = {arm: cube[rows, column] for arm, cube in self.values.items()}
        return values, self.pairs[rows].assign(**ends)

    def defined(self, role: str, metric: str) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
        """Return :meth:`of` without the pairs on which some arm has no value."""
        values, pairs = self.of(role, metric)
        has = np.all([np.isfinite(array).all(axis=1) for array in values.values()], axis=0)
        return {arm: array[has] for arm, array in values.items()}, pairs[has]


def read_scores(split: str, metrics: Iterable[tuple[str, int, str | Path]]) -> SplitScores:
    """Read the scores of one split.

    Parameters
    ----------
    split
        Its name.
    metrics
        (arm, seed, path of ``metrics.tsv``) of every run.

    Raises
    ------
    PtragError
        Where no pair was predicted by every run.
    """
    return scores_of(split, [(arm, path, _read(path)) for arm, _, path in metrics])


def scores_of(split: str, runs: Sequence[tuple[str, str | Path, pd.DataFrame]]) -> SplitScores:
    """Put the tables of all runs of one split together.

    Parameters
    ----------
    split
        Its name.
    runs
        (arm, name of the table for messages, table) of every run.

    Raises
    ------
    PtragError
        Where no pair was predicted by every run.
    """
    first = runs[0][2]
    pairs = first.drop_duplicates([*PAIR, ROLE])[[*PAIR, ROLE, STRENGTH]].reset_index(drop=True)
    names = list(dict.fromkeys(first[METRIC]))
    index = pd.MultiIndex.from_frame(pairs[PAIR])
    common = np.ones(len(pairs), bool)
    seeds: dict[str, list[np.ndarray]] = {}
    for arm, path, table in runs:
        cells = table.groupby(PAIR)[N_PREDICTED].max().reindex(index)
        common &= cells.fillna(0).to_numpy() > 0
        if not common.any():
            raise PtragError(
                f"{path}: no pair of split {split!r} is left that every arm predicted; "
                f"leave {arm!r} out of `arms:`, or give it vectors of these perturbations"
            )
        seeds.setdefault(arm, []).append(_wide(table, VALUE, index, names))
    values = {arm: np.stack(tables, axis=2)[common] for arm, tables in seeds.items()}
    floor, ceiling = (_wide(first, end, index, names)[common] for end in (FLOOR, CEILING))
    left_out = pairs.loc[~common, ROLE].value_counts().to_dict()
    return SplitScores(split, pairs[common], names, values, floor, ceiling, left_out)


def _read(path: str | Path) -> pd.DataFrame:
    return read_table(path, dtype=dict.fromkeys([*PAIR, ROLE, METRIC], str))


def _wide(table: pd.DataFrame, column: str, index: pd.MultiIndex, metrics: list[str]) -> np.ndarray:
    """Return one column as (pairs, metrics), in the order of ``index`` and ``metrics``."""
    wide = table.pivot(index=PAIR, columns=METRIC, values=column)  # noqa: PD010 - a key twice is an error
    return wide.reindex(index=index, columns=metrics).to_numpy(np.float64)
