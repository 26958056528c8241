"""Predictions of any origin against simple baselines and against each other, with the same claims.

The baselines are those that anyone has: no change, and the mean response of the line's other
scored perturbations. Every prediction is held against both and against every other prediction.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ptrag.arms.registry import arm_names
from ptrag.base.errors import PtragError
from ptrag.base.names import METRIC
from ptrag.comparison.claims import SplitClaims
from ptrag.comparison.compare import SplitTables, compared_split
from ptrag.comparison.contrasts import MEAN_OF_OTHERS
from ptrag.comparison.scores import SplitScores, scores_of
from ptrag.config import EACH_BASELINE, EACH_MODEL


class Compared(NamedTuple):
    """What the predictions show.

    Attributes
    ----------
    scores
        On the pairs that all of them predict.
    tables
        Those of :mod:`ptrag.comparison.compare`.
    claims
        What may be said.
    """

    scores: SplitScores
    tables: SplitTables
    claims: SplitClaims

    def words(self) -> str:
        """Return the contrasts of the primary metrics as text for a terminal."""
        rows = [
            {
                METRIC: c.metric, "prediction": c.arm, "against": c.against,
                "difference": f"{c.difference:+.4g} [{c.low:+.4g}, {c.high:+.4g}]",
                "Holm p": f"{c.holm_p:.3g}",
                "prediction is": c.barred or {"arm": "better", "against": "worse"}.get(
                    c.better, "undecided"
                ),
            }
            for c in self.claims.contrasts
            if c.metric in self.claims.primary
        ]  # fmt: skip
        return pd.DataFrame(rows).to_string(index=False)


def named(files: Sequence[str | Path]) -> dict[str, Path]:
    """Return a name for each file: its stem, longer where another one has the same.

    No name is that of an arm of the project, whose kind is known.
    """
    paths = [Path(file) for file in files]
    if len(set(paths)) < len(paths):
        raise PtragError(f"{paths[0]}: the same prediction twice; name each once")
    stems = [path.stem for path in paths]
    taken = {*arm_names(), MEAN_OF_OTHERS}
    clear = [stem not in taken and "@" not in stem and stems.count(stem) == 1 for stem in stems]
    return {
        stem if alone else str(path).replace("@", "_"): path
        for stem, alone, path in zip(stems, clear, paths, strict=True)
    }


def compare_predictions(
    predictions: Mapping[str, pd.DataFrame],
    baselines: Mapping[str, pd.DataFrame],
    name: str,
    evaluation: Mapping[str, Any],
) -> Compared:
    """Compare the ``metrics.tsv`` of several predictions of one real file.

    Parameters
    ----------
    predictions, baselines
        By name.
    name
        Of the real cells.
    evaluation
        ``primary``, ``bootstrap`` and ``confidence``.
    """
    tables = {**baselines, **predictions}
    scores = scores_of(name, [(arm, arm, table) for arm, table in tables.items()])
    contrasts = [[EACH_MODEL, EACH_BASELINE], *map(list, combinations(predictions, 2))]
    compared = compared_split(scores, {**evaluation, "contrasts": contrasts}, set(), False)
    claims = SplitClaims(
        compared.comparison, compared.contrasts, name, scores.scored_role, evaluation
    )
    return Compared(scores, compared, claims)
