"""Arms against each other, over pairs: ``comparison.tsv`` and ``contrasts.tsv``.

Seeds are averaged within a pair. ``comparison.tsv`` has the mean of every metric per split,
arm and role with a bootstrap interval over perturbations, and ``scaled``, the share of the way
from the mean baseline (0) to a replicate (1): Σ(value − floor) / Σ(ceiling − floor) over the
``n_scaled`` pairs whose ceiling is better than their floor. The other pairs that have both, where
a replicate does no better than the mean baseline, stand apart: ``n_unscaled`` of them, with
``unscaled``, their mean value. Where ``split_half`` is among the arms, its rows are made from the
column ``ceiling`` of the others.

``contrasts.tsv`` has the paired differences on the test pairs (on the val pairs of a split without
test pairs). Its column ``kind`` says why a contrast is there:

``baseline``
    against the best simple baseline, chosen per split and metric by its mean on the
    *validation* pairs, so that choosing does not favour it on those that are compared;
    without validation pairs nothing is chosen and every simple baseline is one. Ceilings are no
    contestants: they are compared on request only.
``negative_control``
    against the arm's own ``@shuffled`` or ``@random``.
``configured``
    from ``evaluation.contrasts``, a list of [arm, against]; ``baselines`` as the second stands for
    every simple baseline that ran. One that is there already keeps its first kind.

Holm adjusts over the contrasts of one split, metric and kind. ``better`` is ``arm`` or ``against``
where the interval excludes zero and the adjusted p is below 1 − confidence, else ``neither``.
``detectable`` is the smallest difference that such an interval excludes zero for with 80 % power;
``power`` is ``low`` where that is more than a tenth of the way from the mean of ``against`` to the
metric's ideal, so that ``neither`` says little, else ``enough``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ptrag.arms.registry import EMBEDDING_CONTROLS, base_name
from ptrag.base.files import read_table, write_table
from ptrag.comparison.statistics import (
    bootstrap_mean_interval,
    detectable_difference,
    holm,
    paired_comparison,
)
from ptrag.config import EACH_BASELINE
from ptrag.metrics.registry import METRICS, Metric

#: Arms that know what is to be predicted: bounds to read the others against.
CEILINGS = ("oracle", "split_half")
WIDE = 0.1  # of the way to the ideal
BASELINES = ("control", "perturbation_mean", "line_mean", "additive", "ridge", "knn")
PAIR = ["cell_line", "perturbation"]
COMPARISON = [
    "split", "arm", "family", "metric", "role", "n_pairs", "n_missing", "n_seeds", "mean", "low",
    "high", "scaled", "n_scaled", "unscaled", "n_unscaled",
]  # fmt: skip
CONTRASTS = [
    "split", "metric", "arm", "against", "kind", "n_pairs", "difference", "low", "high",
    "wilcoxon_p", "holm_p", "effect_size", "better", "detectable", "power",
]  # fmt: skip


def compare(
    metrics: Iterable[tuple[str, str, int, str | Path]],
    evaluation: Mapping[str, Any],
    comparison_tsv: str | Path,
    contrasts_tsv: str | Path,
    *,
    split_half: bool = False,
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
    split_half
        Whether that ceiling is among the arms.
    """
    scores = _read(metrics)
    if split_half:
        scores = pd.concat([scores, replicates(scores)], ignore_index=True)
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


def replicates(scores: pd.DataFrame) -> pd.DataFrame:
    """Return what ``split_half`` scores: the ceiling of every pair and metric."""
    once = scores.drop_duplicates(["split", "role", *PAIR, "metric"])
    return once.assign(arm="split_half", value=once["ceiling"], n_seeds=1)


def comparison(scores: pd.DataFrame, evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """Return the mean and interval of every metric, per split, arm and role."""
    rows = []
    numbers = scores[["value", "floor", "ceiling", "n_seeds"]].to_numpy(np.float64)
    clusters = pd.factorize(scores["perturbation"])[0]
    groups = scores.groupby(["split", "arm", "metric", "role"]).indices
    for (split, arm, metric, role), its in sorted(groups.items(), key=lambda group: group[1][0]):
        there = its[~np.isnan(numbers[its, 0])]
        value, floor, ceiling = numbers[there, :3].T
        interval = bootstrap_mean_interval(
            value, clusters[there], evaluation["bootstrap"], evaluation["confidence"]
        )
        counts = len(there), len(its) - len(there), int(numbers[its, 3].max())
        scaled = _scaled(value, floor, ceiling, METRICS[metric].higher)
        rows.append((split, arm, METRICS[metric].family, metric, role, *counts, *interval, *scaled))
    return pd.DataFrame(rows, columns=COMPARISON)


def _scaled(
    value: np.ndarray, floor: np.ndarray, ceiling: np.ndarray, higher: bool
) -> tuple[float, int, float, int]:
    """Mean on the 0-1 scale and of how many pairs; plain mean of those without such a scale."""
    room = (ceiling - floor) * (1 if higher else -1)
    usable, apart = room > 0, room <= 0
    scaled = unscaled = np.nan
    if usable.any():
        scaled = (value - floor)[usable].sum() / (ceiling - floor)[usable].sum()
    if apart.any():
        unscaled = value[apart].mean()
    return scaled, usable.sum(), unscaled, apart.sum()


def contrasts(scores: pd.DataFrame, evaluation: Mapping[str, Any]) -> pd.DataFrame:
    """Return every paired contrast, adjusted within split, metric and kind."""
    rows = []
    arms = list(dict.fromkeys(scores["arm"]))
    wanted = list(_wanted(evaluation.get("contrasts", []), arms))
    keyed = scores.set_index(["split", "metric", "role", *PAIR, "arm"])["value"]
    wide = keyed.unstack("arm")  # noqa: PD010 - the other way drops arms without a value
    tables = dict(iter(wide.groupby(["split", "metric", "role"])))
    for split, metric in dict.fromkeys(zip(scores["split"], scores["metric"], strict=True)):
        validation, test = (tables.get((split, metric, role)) for role in ("val", "test"))
        scored, validation = (validation, None) if test is None else (test, validation)
        family = [
            (split, metric, arm, against, kind, scored[arm], scored[against])
            for arm, against, kind in _pairings(arms, validation, METRICS[metric].higher, wanted)
        ]
        for _, of_kind in groupby(family, key=itemgetter(4)):
            rows += _tested(list(of_kind), METRICS[metric], evaluation)
    return pd.DataFrame(rows, columns=CONTRASTS)


def _wanted(pairs: Iterable[Sequence[str]], arms: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Contrasts of the configuration, ``baselines`` spelt out."""
    for arm, against in pairs:
        if against == EACH_BASELINE:
            yield from ((arm, baseline) for baseline in BASELINES if baseline in arms)
        else:
            yield arm, against


def _pairings(
    arms: Sequence[str],
    validation: pd.DataFrame | None,
    higher: bool,
    wanted: Sequence[tuple[str, str]],
) -> Iterator[tuple[str, str, str]]:
    """Which arm is held against which, and why; no two twice."""
    bars = best_baselines(arms, validation, higher)
    contestants = [arm for arm in arms if arm not in (*bars, *CEILINGS)]
    pairings = [(arm, bar, "baseline") for bar in bars for arm in contestants]
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


def _tested(family: Sequence[tuple], metric: Metric, evaluation: Mapping[str, Any]) -> list[tuple]:
    """Rows of one split, metric and kind."""
    results = [
        paired_comparison(
            arm.to_numpy(), against.to_numpy(), arm.index.get_level_values("perturbation"),
            evaluation["bootstrap"], evaluation["confidence"],
        )
        for *_, arm, against in family
    ]  # fmt: skip
    adjusted = holm(np.array([result.wilcoxon_p for result in results]))
    rows = []
    for (*names, _, against), result, p in zip(family, results, adjusted, strict=True):
        *numbers, wilcoxon_p, effect = astuple(result)
        clear = (result.low > 0 or result.high < 0) and p < 1 - evaluation["confidence"]
        better = "arm" if (result.difference > 0) == metric.higher else "against"
        better = better if clear else "neither"
        detectable = detectable_difference(result.low, result.high, evaluation["confidence"])
        room = abs(metric.ideal - against.mean())
        power = "low" if detectable > WIDE * room else "enough"
        power = power if np.isfinite(detectable + room) else None
        rows.append((*names, *numbers, wilcoxon_p, p, effect, better, detectable, power))
    return rows
