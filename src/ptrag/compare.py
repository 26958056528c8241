"""Arms against each other, over pairs: ``comparison.tsv`` and ``contrasts.tsv``.

Seeds are averaged within a pair. ``comparison.tsv`` has the mean of every metric per split,
arm and role with a bootstrap interval over perturbations, and ``scaled``, the share of the way
from the mean baseline (0) to a replicate (1): Σ(value − floor) / Σ(ceiling − floor) over the
``n_scaled`` pairs whose ceiling is better than their floor. ``contrasts.tsv`` has the paired
differences on the test pairs (on the val pairs of a split without test pairs). Its column
``kind`` says why a contrast is there:

``baseline``
    against the best simple baseline, chosen per split and metric by its mean on the
    *validation* pairs, so that choosing does not favour it on those that are compared;
    without validation pairs nothing is chosen and every simple baseline is one.
``negative_control``
    against the arm's own ``@shuffled`` or ``@random``.
``configured``
    from ``evaluation.contrasts``, a list of [arm, against].

Holm adjusts over the contrasts of one split and metric. ``better`` is ``arm`` or ``against``
where the interval excludes zero and the adjusted p is below 1 − confidence, else ``neither``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ptrag.files import read_table, write_table
from ptrag.metrics import METRICS
from ptrag.models.registry import EMBEDDING_CONTROLS, base_name
from ptrag.statistics import bootstrap_mean_interval, holm, paired_comparison

BASELINES = ("control", "perturbation_mean", "line_mean", "additive", "ridge", "knn")
PAIR = ["cell_line", "perturbation"]
COMPARISON = [
    "split", "arm", "family", "metric", "role", "n_pairs", "n_missing", "n_seeds", "mean", "low",
    "high", "scaled", "n_scaled",
]  # fmt: skip
CONTRASTS = [
    "split", "metric", "arm", "against", "kind", "n_pairs", "difference", "low", "high",
    "wilcoxon_p", "holm_p", "effect_size", "better",
]  # fmt: skip


def compare(
    metrics: Iterable[tuple[str, str, int, str | Path]],
    evaluation: Mapping[str, Any],
    comparison_tsv: str | Path,
    contrasts_tsv: str | Path,
) -> None:
    """Average, compare and test the arms of every split.

    Parameters
    ----------
    metrics
        (split, arm, seed, path of ``metrics.tsv``) of every run.
    evaluation
        The section of the configuration: ``bootstrap``, ``confidence`` and, if wanted,
        ``contrasts``.
    comparison_tsv, contrasts_tsv
        The tables to write.
    """
    scores = _read(metrics)
    write_table(comparison(scores, evaluation), comparison_tsv)
    write_table(contrasts(scores, evaluation), contrasts_tsv)


def _read(metrics: Iterable[tuple[str, str, int, str | Path]]) -> pd.DataFrame:
    """One row per split, arm, pair and metric: the mean over seeds, and how many."""
    names = {key: str for key in (*PAIR, "role", "metric")}
    tables = [
        read_table(path, dtype=names).assign(split=split, arm=arm)
        for split, arm, _, path in metrics
    ]
    keys = ["split", "arm", "role", *PAIR, "metric"]
    grouped = pd.concat(tables, ignore_index=True).groupby(keys, sort=False, as_index=False)
    return grouped.agg(
        value=("value", "mean"), floor=("floor", "mean"), ceiling=("ceiling", "mean"),
        n_seeds=("value", "size"),
    )  # fmt: skip


def comparison(scores: pd.DataFrame, evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """Return the mean and interval of every metric, per split, arm and role."""
    rows = []
    keys = ["split", "arm", "metric", "role"]
    for (split, arm, metric, role), its in scores.groupby(keys, sort=False):
        there = its[its["value"].notna()]
        interval = bootstrap_mean_interval(
            there["value"].to_numpy(), there["perturbation"].to_numpy(), evaluation["bootstrap"],
            evaluation["confidence"],
        )  # fmt: skip
        counts = len(there), len(its) - len(there), int(its["n_seeds"].max())
        scaled = _scaled(there, METRICS[metric].higher)
        rows.append((split, arm, METRICS[metric].family, metric, role, *counts, *interval, *scaled))
    return pd.DataFrame(rows, columns=COMPARISON)


def _scaled(pairs: pd.DataFrame, higher: bool) -> tuple[float, int]:
    """Mean value on the 0-1 scale, and of how many pairs."""
    room = (pairs["ceiling"] - pairs["floor"]) * (1 if higher else -1)
    pairs = pairs[room > 0]
    if pairs.empty:
        return np.nan, 0
    gain = pairs["value"].mean() - pairs["floor"].mean()
    return gain / (pairs["ceiling"].mean() - pairs["floor"].mean()), len(pairs)


def contrasts(scores: pd.DataFrame, evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """Return every paired contrast, adjusted within split and metric."""
    rows = []
    wanted = [tuple(pair) for pair in evaluation.get("contrasts", [])]
    for (split, metric), its in scores.groupby(["split", "metric"], sort=False):
        wide = {
            role: pd.DataFrame(
                {arm: values.set_index(PAIR)["value"] for arm, values in of_role.groupby("arm")}
            )
            for role, of_role in its.groupby("role")
        }
        arms = list(dict.fromkeys(its["arm"]))
        scored = wide.get("test", wide.get("val"))
        validation = wide.get("val") if "test" in wide else None
        family = [
            (split, metric, arm, against, kind, scored[arm], scored[against])
            for arm, against, kind in _pairings(arms, validation, METRICS[metric].higher, wanted)
        ]
        rows += _tested(family, METRICS[metric].higher, evaluation)
    return pd.DataFrame(rows, columns=CONTRASTS)


def _pairings(
    arms: Sequence[str],
    validation: pd.DataFrame | None,
    higher: bool,
    wanted: Sequence[tuple[str, str]],
) -> Iterator[tuple[str, str, str]]:
    """Which arm is held against which, and why; no two twice."""
    bars = best_baselines(arms, validation, higher)
    pairings = [(arm, bar, "baseline") for bar in bars for arm in arms if arm not in bars]
    spoilt = [f"@{control}" for control in EMBEDDING_CONTROLS]
    pairings += [
        (arm, arm + tail, "negative_control")
        for arm in arms
        for tail in spoilt
        if base_name(arm) == arm and arm + tail in arms
    ]
    pairings += [(*pair, "configured") for pair in wanted if set(pair) <= set(arms)]
    seen: set[tuple[str, str]] = set()
    for arm, against, kind in pairings:
        if arm != against and (arm, against) not in seen:
            seen.add((arm, against))
            yield arm, against, kind


def best_baselines(
    arms: Sequence[str], validation: pd.DataFrame | None, higher: bool
) -> list[str]:  # fmt: skip
    """Return the simple baseline that is best on the validation pairs; all of them without any.

    Parameters
    ----------
    arms
        Arms that ran.
    validation
        Pairs × arms, values of the metric; None where there is no choice to make.
    higher
        Whether more is better.
    """
    there = [arm for arm in BASELINES if arm in arms]
    if validation is None or not there:
        return there
    mean = validation[there].dropna().mean()
    if mean.isna().all():
        return there
    return [mean.idxmax() if higher else mean.idxmin()]


def _tested(family: Sequence[tuple], higher: bool, evaluation: Mapping[str, Any]) -> list[tuple]:
    """Rows of one split and metric."""
    results = [
        paired_comparison(
            arm.to_numpy(), against.to_numpy(), arm.index.get_level_values("perturbation"),
            evaluation["bootstrap"], evaluation["confidence"],
        )
        for *_, arm, against in family
    ]  # fmt: skip
    adjusted = holm(np.array([result.wilcoxon_p for result in results]))
    rows = []
    for (*names, _, _), result, p in zip(family, results, adjusted, strict=True):
        *numbers, wilcoxon_p, effect = astuple(result)
        clear = (result.low > 0 or result.high < 0) and p < 1 - evaluation["confidence"]
        better = "arm" if (result.difference > 0) == higher else "against"
        better = better if clear else "neither"
        rows.append((*names, *numbers, wilcoxon_p, p, effect, better))
    return rows
