"""Planted scores of arms, as the comparison gets them: no model ran for them."""

import numpy as np
import pandas as pd

from ptrag.comparison.claims import SplitClaims
from ptrag.comparison.compare import Score, as_table, compare_split
from ptrag.comparison.contrasts import BASELINES, Contrast
from ptrag.comparison.scores import SplitScores
from ptrag.metrics.registry import METRICS

EVALUATION = {
    "bootstrap": 400, "confidence": 0.95, "primary": ["pearson_delta", "mse"],
    "contrasts": [["models", "baselines"], ["models", "controls"]],
}  # fmt: skip
ENDS = {True: (0.2, 0.7), False: (0.8, 0.3)}
"""Mean baseline and replicate of a metric, by whether more is better."""


def planted(
    levels, *, n=30, pairs_each=1, seeds=None, metrics=("pearson_delta",), noise=0.05, rng=0,
    ends=ENDS,
):  # fmt: skip
    """Return the scores of arms at given levels, perturbations of differing difficulty.

    Parameters
    ----------
    levels
        Mean of each arm, or that of each metric; where less is better, from 1 downwards.
    n, pairs_each
        Perturbations, and lines of each.
    seeds
        Number of seeds of each arm; one where it is not named.
    noise
        Standard deviation of what each arm adds to each pair.
    """
    rng = np.random.default_rng(rng)
    pairs = pd.DataFrame(
        [(f"line{j}", f"P{i}") for i in range(n) for j in range(pairs_each)],
        columns=["cell_line", "perturbation"],
    ).assign(role="test", strength=np.repeat(np.arange(float(n)), pairs_each))
    hard = rng.normal(0, 0.1, n)[np.repeat(np.arange(n), pairs_each)]

    def column(level, metric, size):
        values = level + hard[:, None] + rng.normal(0, noise, (len(pairs), size))
        return values if METRICS[metric].higher else 1 - values

    values = {
        arm: np.stack(
            [column(level[m] if isinstance(level, dict) else level, m, (seeds or {}).get(arm, 1))
             for m in metrics],
            axis=1,
        )
        for arm, level in levels.items()
    }  # fmt: skip
    floor, ceiling = (
        np.stack([ends[METRICS[m].higher][i] + rng.normal(0, 0.05, len(pairs)) for m in metrics], 1)
        for i in (0, 1)
    )
    return SplitScores("s", pairs, list(metrics), values, floor, ceiling, {})


def claimed(scores, evaluation=EVALUATION, improving=(), split_half=False):
    """Return what the whole machinery claims of planted scores."""
    rows, contrasts = compare_split(scores, evaluation, set(improving), split_half)
    return SplitClaims(
        as_table(rows, Score), as_table(contrasts, Contrast), "s",
        scores.scored_role, evaluation,
    )  # fmt: skip


SIMPLE = tuple(arm for arm in BASELINES if arm != "additive_singles")
"""The simple baselines of a screen without doubles."""


def baselines(level=0.3, **others):
    """Return the levels of these simple baselines, some of them others."""
    return dict.fromkeys(SIMPLE, level) | others
