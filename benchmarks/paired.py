"""Paired differences of arms over the draws of screens."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from ptrag.base.names import PAIR
from ptrag.comparison.statistics import paired_comparison

METRICS = {
    "pearson": True, "mse": False, "pds_cosine": True, "energy": False, "pearson_truth": True,
    "mse_truth": False,
}  # fmt: skip
"""{metric: whether more is better}"""

CASE = ["case", "split"]


def paired_differences(
    scores: pd.DataFrame, contrasts: Iterable[tuple[str, str]], evaluation: dict[str, Any]
) -> pd.DataFrame:
    """Return how far each arm is ahead of another, split by split.

    Parameters
    ----------
    scores
        One row per pair and arm: :data:`CASE`, arm, seed, ``drawn_anew``, the pair, and
        :data:`METRICS`.
    contrasts
        (arm, against); one whose arms are not both in a split is left out of it.
    evaluation
        ``bootstrap`` and ``confidence`` of the configuration.

    Returns
    -------
    DataFrame
        One row per split, contrast and metric that is known: number of pairs, both means,
        ``ahead`` with its interval, positive where the arm is better whatever the metric, and in
        how many draws it is. Clusters of the interval are perturbations; in a screen that is
        drawn anew, a perturbation of another draw is another one.
    """
    rows = []
    for case, of_case in scores.groupby(CASE, sort=False):
        index = ["seed", "drawn_anew", *PAIR]
        wide = of_case.set_index([*index, "arm"])[list(METRICS)].unstack("arm")  # noqa: PD010
        clusters = [f"{seed} {name}" if anew else name for seed, anew, _, name in wide.index]
        for arm, against in contrasts:
            if not {arm, against} <= set(of_case["arm"]):
                continue
            for metric, more in METRICS.items():
                values, sign = wide[metric], 1 if more else -1
                if values[[arm, against]].isna().all(axis=None):
                    continue
                result = paired_comparison(
                    sign * values[arm], sign * values[against], clusters,
                    evaluation["bootstrap"], evaluation["confidence"],
                )  # fmt: skip
                of_draw = (sign * (values[arm] - values[against])).groupby("seed").mean()
                rows.append(
                    (*case, metric, arm, against, result.n_pairs, values[arm].mean(),
                     values[against].mean(), result.difference, result.low, result.high,
                     f"{(of_draw > 0).sum()} of {of_draw.notna().sum()}")
                )  # fmt: skip
    columns = [
        *CASE, "metric", "arm", "against", "n_pairs", "of_arm", "of_against", "ahead", "low",
        "high", "better_in",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).round(5)
