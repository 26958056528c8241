"""The figures and tables of each split, put together for the page."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ptrag.arms.registry import base_name
from ptrag.base.names import Pair
from ptrag.report import evidence, plots
from ptrag.report.arms import ArmView
from ptrag.report.deltas import predicted_deltas
from ptrag.report.gather import Results, SplitView
from ptrag.report.verdict import shown_metrics
from ptrag.report.words import words

N_MAPS = 3  # pairs in heat maps, per split
N_GENES = 30  # genes in heat maps
N_MODELS = 3  # best models in crowded plots
PAPERS = "ptrag"  # the arm under test, always among them


def overview(results: Results, split: SplitView) -> list[str]:
    """Draw one interval plot per metric of the open table."""
    rows = split.claims.scores
    rows = rows[~rows["arm"].isin(split.twins)]
    order = {arm: i for i, arm in enumerate(results.arms)}
    panels = []
    for i, metric in enumerate(shown_metrics(results)):
        of_metric = rows[(rows["metric"] == metric) & rows["mean"].notna()]
        if of_metric.empty:
            continue
        metric_words, baseline = words(metric), split.claims.first(metric, "baseline")
        ends = of_metric.iloc[0]
        panels.append(
            plots.interval_plot(
                of_metric.sort_values("arm", key=lambda names: names.map(order)),
                results.arms,
                f"{split.name}-overview{i}",
                f"{metric_words.label} of each arm on {split.name}: mean with interval",
                title=metric_words.head + ("" if ends["trusted"] else " (not trusted here)"),
                bar=None if baseline is None else split.claims.means(metric)[baseline],
                floor=ends["floor"],
                ceiling=ends["replicate"],
            )
        )
    return panels


def contrast_plot(results: Results, split: SplitView) -> str | None:
    """Draw the contrasts of the deciding metric, as differences with intervals."""
    metric = words(split.claims.metric)
    rows = pd.DataFrame(
        [
            (c.arm, f"{c.arm} − {c.against}", c.difference, c.low, c.high)
            for c in split.claims.contrasts
            if c.metric == metric.name
            and np.isfinite(c.difference)
            and not {c.arm, c.against} & split.twins.keys()
        ],
        columns=["arm", "label", "mean", "low", "high"],
    )
    if rows.empty:
        return None
    return plots.interval_plot(
        rows, results.arms, f"{split.name}-contrasts",
        f"Paired differences of {metric.label} on {split.name}, with intervals",
        title=split.name, xlabel=f"difference of {metric.label}", zero=True, width=2.4,
    )  # fmt: skip


def strips(results: Results, split: SplitView, metric: str) -> str | None:
    """Draw the paired difference of every arm to the baseline of best mean, pair by pair."""
    baseline, wide = split.claims.first(metric, "baseline"), split.wide(metric)
    hidden = {baseline, *split.twins}
    arms = [arm for arm in results.arms if arm in wide and arm not in hidden]
    if baseline is None or not arms:
        return None
    differences = wide[arms].sub(wide[baseline], axis=0)
    name = f"{split.name}-{metric}-strips"
    return plots.difference_strips(differences, results.arms, name, baseline, words(metric).head)


def scatters(results: Results, split: SplitView, metric: str) -> list[str]:
    """Draw each arm against the baseline of best mean, one point per pair."""
    baseline, wide = split.claims.first(metric, "baseline"), split.wide(metric)
    if baseline is None:
        return []
    arms = [arm.name for arm in main_arms(results, split) if arm.name not in ("control", baseline)]
    values = wide[[baseline, *arms]].to_numpy()
    values = values[np.isfinite(values)]
    pad = 0.05 * (np.ptp(values) or 1.0)
    limits = (float(values.min() - pad), float(values.max() + pad))
    metric_words = words(metric)
    return [
        plots.paired_scatter(
            wide, results.arms[arm], results.arms[baseline], limits,
            f"{split.name}-{metric}-pairs{i}", metric_words.label, metric_words.higher,
        )
        for i, arm in enumerate(arms)
    ]  # fmt: skip


def main_arms(results: Results, split: SplitView) -> list[ArmView]:
    """Return the arms of crowded plots and tables.

    No change, the simple baseline, the models with the best means and the paper's own, and the
    negative controls of these.
    """
    claims = split.claims
    models = list(claims.means(claims.metric, "model").index)
    named = ["control", claims.first(claims.metric, "baseline"), *models[:N_MODELS], PAPERS]
    kept = {split.twins.get(name, name) for name in named}
    return [
        view
        for name, view in results.arms.items()
        if name not in split.twins
        and (name in kept or (view.kind == "negative control" and base_name(name) in kept))
    ]


def heat_maps(results: Results, split: SplitView) -> list[str]:
    """Draw observed and predicted deltas of the pairs with the largest observed effect."""
    largest = split.pairs.sort_values("effect_size", ascending=False).index[:N_MAPS]
    pairs = [Pair(*key) for key in largest]
    arms = [view.name for view in main_arms(results, split)]
    predicted, store = predicted_deltas(results, split.name, pairs, arms), results.store
    maps = []
    for i, pair in enumerate(pairs):
        observed = store.observed_delta(*pair)
        top = np.argsort(-np.abs(observed), kind="stable")[:N_GENES]
        top = top[np.argsort(-observed[top], kind="stable")]
        rows = {"observed": observed[top]}
        rows |= {arm: deltas[pair][top] for arm, deltas in predicted.items() if pair in deltas}
        maps.append(
            plots.delta_heat_map(
                rows, [store.genes[g] for g in top], f"{split.name}-map{i}",
                f"{pair[1]} in {pair[0]}",
            )
        )  # fmt: skip
    return maps


def gate_plots(results: Results, split: SplitView) -> list[str]:
    """Draw effect against gate or coefficient of all candidates, per retrieval arm."""
    return [
        plots.gates(
            rows,
            results.arms[arm],
            f"{split.name}-gates{i}",
            evidence.weight_name(results.arms[arm]),
        )
        for i, (arm, rows) in enumerate(split.evidence.groupby("arm", sort=False))
        if results.arms[arm].kind != "negative control"
    ]


def legend(views: Sequence[ArmView]) -> list[dict[str, str]]:
    """Return marker, colour and name of each arm, for the legend above a figure."""
    signs = {
        "o": "●",
        "s": "■",
        "D": "◆",
        "^": "▲",
        "v": "▼",
        "<": "◀",
        ">": "▶",
        "P": "✚",
        "X": "✖",
        "*": "★",
        "h": "⬢",
        "p": "⬟",
    }
    return [
        {
            "sign": "○" if view.look.hollow else signs[view.look.marker],
            "colour": view.look.css,
            "name": view.name,
        }
        for view in views
    ]


def not_exact(coverage: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return perturbations whose vector was not found under their own symbol, per embedding."""
    return {
        name: table[table["level"] != "exact"]
        for name, table in coverage.items()
        if (table["level"] != "exact").any()
    }
