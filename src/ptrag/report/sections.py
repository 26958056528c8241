"""The figures and tables of each split, put together for the page."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ptrag.report import plots, tables
from ptrag.report.arms import ArmView
from ptrag.report.gather import Results, SplitView, observed_delta, predicted_deltas
from ptrag.report.verdict import best, headline_metric, means
from ptrag.report.words import words

Pair = tuple[str, str]
N_PAIRS = 5  # pairs shown one by one, per split
N_MAPS = 3  # pairs in heat maps, per split
N_GENES = 30  # genes in heat maps
N_ARMS = 8  # arms with a scatter of their own per pair


def overview(results: Results, split: SplitView) -> list[str]:
    """Draw one interval plot per metric of the comparison table."""
    rows = results.comparison
    rows = rows[(rows["split"] == split.name) & (rows["role"] == split.role)]
    rows = rows[rows["arm"].isin(results.arms)]
    order = {arm: i for i, arm in enumerate(results.arms)}
    panels = []
    for i, metric in enumerate(tables.metrics_of(results)):
        its = rows[(rows["metric"] == metric) & rows["mean"].notna()]
        if its.empty:
            continue
        said, bar = words(metric), best(results, split, metric, "baseline")
        panels.append(
            plots.interval_plot(
                its.sort_values("arm", key=lambda names: names.map(order)),
                results.arms,
                f"{split.name}-overview{i}",
                f"{said.label} of each arm on {split.name}: mean with interval",
                title=f"{said.label} {said.arrow}",
                bar=None if bar is None else means(results, split, metric)[bar],
            )
        )
    return panels


def contrast_plot(results: Results, split: SplitView) -> str | None:
    """Draw the contrasts of the headline metric, as differences with intervals."""
    metric = headline_metric(results)
    rows = results.contrasts
    rows = rows[(rows["split"] == split.name) & (rows["metric"] == metric)]
    rows = rows[rows["arm"].isin(results.arms) & rows["difference"].notna()]
    if rows.empty:
        return None
    rows = rows.assign(mean=rows["difference"], label=rows["arm"] + " − " + rows["against"])
    said = words(metric)
    return plots.interval_plot(
        rows, results.arms, f"{split.name}-contrasts",
        f"Paired differences of {said.label} on {split.name}, with intervals",
        title=split.name, xlabel=f"difference of {said.label}", zero=True,
    )  # fmt: skip


def scatters(results: Results, split: SplitView, metric: str) -> list[str]:
    """Draw each arm against the best baseline, one point per pair."""
    bar, wide = best(results, split, metric, "baseline"), split.wide(metric)
    if bar is None or bar not in wide:
        return []
    arms = [arm for arm in results.arms if arm != bar and arm in wide]
    values = wide[[bar, *arms]].to_numpy()
    values = values[np.isfinite(values)]
    pad = 0.05 * (np.ptp(values) or 1.0)
    limits = (float(values.min() - pad), float(values.max() + pad))
    said = words(metric)
    return [
        plots.paired_scatter(
            wide, results.arms[arm], results.arms[bar], limits,
            f"{split.name}-{metric}-pairs{i}", said.label, said.higher,
        )
        for i, arm in enumerate(arms)
    ]  # fmt: skip


def compared_arms(results: Results, split: SplitView) -> list[ArmView]:
    """Return the arms of crowded plots: trained, negative controls, no change, best baseline."""
    bar = best(results, split, headline_metric(results), "baseline")
    return [
        view
        for name, view in results.arms.items()
        if view.kind in ("model", "negative control") or name in ("control", bar)
    ]


def strata(results: Results, split: SplitView) -> list[str]:
    """Draw the headline metric by line, number of cells, effect size and embedding similarity."""
    said = words(headline_metric(results))
    wide, arms = split.wide(said.name), compared_arms(results, split)
    label = f"{said.label} {said.arrow}"
    factors = [
        ("n_cells", "cells of the pair"),
        ("effect_size", "effect size, ‖observed delta‖"),
        ("similarity", "similarity of nearest candidate"),
    ]
    panels = [plots.by_line(wide, arms, f"{split.name}-lines", label)]
    for factor, xlabel in factors:
        panels.append(
            plots.trend(wide, split.pairs[factor], arms, f"{split.name}-{factor}", xlabel, label)
        )
    return [panel for panel in panels if panel is not None]


def heat_maps(results: Results, split: SplitView) -> list[str]:
    """Draw observed and predicted deltas of the pairs with the largest observed effect."""
    pairs = list(split.pairs.sort_values("effect_size", ascending=False).index[:N_MAPS])
    predicted, store = predicted_deltas(results, split.name, pairs), results.store
    maps = []
    for i, pair in enumerate(pairs):
        observed = observed_delta(store, *pair)
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


def training_curves(results: Results, split: SplitView) -> list[str]:
    """Draw the validation metric that chose the checkpoint, and the loss, of each trained arm."""
    history = split.history
    if history.empty:
        return []
    drawn = []
    for where in ("val", "train"):
        metrics = list(history.loc[history["split"] == where, "metric"].unique())
        monitor = results.settings["training"]["monitor"]
        metric = next((m for m in (monitor, "loss", *metrics) if m in metrics), None)
        for i, arm in enumerate(a for a in results.arms if a in set(history["arm"]) and metric):
            drawn.append(
                plots.training_curve(
                    history[history["arm"] == arm], results.arms[arm],
                    f"{split.name}-{where}{i}", metric, where,
                )
            )  # fmt: skip
    return drawn


def gate_plots(results: Results, split: SplitView) -> list[str]:
    """Draw effect against gate of all candidates, per retrieval arm."""
    return [
        plots.gates(rows, results.arms[arm], f"{split.name}-gates{i}")
        for i, (arm, rows) in enumerate(split.evidence.groupby("arm", sort=False))
    ]


def spread_pairs(results: Results, split: SplitView) -> list[Pair]:
    """Return pairs from the best to the worst prediction of the best trained arm, evenly spaced."""
    metric = headline_metric(results)
    arm = best(results, split, metric, "model") or best(results, split, metric, "baseline")
    wide = split.wide(metric)
    if arm is None or arm not in wide:
        return list(split.pairs.index[:N_PAIRS])
    values = wide[arm].dropna().sort_values(ascending=not words(metric).higher, kind="stable")
    at = np.unique(np.linspace(0, len(values) - 1, N_PAIRS).round().astype(int))
    return [values.index[i] for i in at]


def pair_details(results: Results, split: SplitView) -> Iterator[dict[str, Any]]:
    """Yield, for each of a few pairs, scores, scatters of the delta and evidence."""
    pairs = spread_pairs(results, split)
    predicted, store = predicted_deltas(results, split.name, pairs), results.store
    shown = _shown_arms(results, split)
    metrics = tables.metrics_of(results)
    for i, pair in enumerate(pairs):
        observed = observed_delta(store, *pair)
        facts = split.pairs.loc[pair]
        yield {
            "title": f"{pair[1]} in {pair[0]}",
            "n_cells": int(facts["n_cells"]),
            "effect_size": float(facts["effect_size"]),
            "similarity": float(facts["similarity"]),
            "scores": tables.pair_scores(split, pair, shown, metrics),
            "scatters": _delta_scatters(
                results, shown, observed, predicted, pair, store.genes, f"{split.name}-pair{i}"
            ),
            "evidence": [
                tables.neighbours(split.evidence, pair, arm)
                for arm in dict.fromkeys(split.evidence["arm"])
            ],
        }


def _shown_arms(results: Results, split: SplitView) -> list[str]:
    names = [view.name for view in compared_arms(results, split) if view.name != "control"]
    return names[:N_ARMS]


def _delta_scatters(
    results: Results, arms: Sequence[str], observed: np.ndarray,
    predicted: dict[str, dict[Pair, np.ndarray]], pair: Pair, genes: Sequence[str], name: str,
) -> list[str]:  # fmt: skip
    every = np.concatenate([observed, *(predicted[a][pair] for a in arms if pair in predicted[a])])
    pad = 0.06 * (np.ptp(every) or 1.0)
    limits = (float(every.min() - pad), float(every.max() + pad))
    top = np.argsort(-np.abs(observed), kind="stable")[:4]
    named = [(genes[g], int(g)) for g in top]
    return [
        plots.delta_scatter(
            observed, predicted[arm][pair], results.arms[arm], named, limits, f"{name}-{i}"
        )
        for i, arm in enumerate(arms)
        if pair in predicted[arm]
    ]


def legend(views: Sequence[ArmView]) -> list[dict[str, str]]:
    """Return marker, colour and name of each arm, for the legend above a figure."""
    signs = {
        "o": "●",
        "s": "■",
        "D": "◆",
        "^": "▲",
        "v": "▼",
        "P": "✚",
        "X": "✖",
        "*": "★",
        "h": "⬢",
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
