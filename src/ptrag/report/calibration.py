"""Whether intervals hold what they promise, and whether support tells good predictions from bad."""

import numpy as np
import pandas as pd
from markupsafe import Markup

from ptrag.base.correlation import spearman
from ptrag.base.names import PAIR, PERTURBATION
from ptrag.comparison.statistics import bootstrap_mean_interval
from ptrag.report import plots
from ptrag.report.gather import Results, SplitView
from ptrag.report.numbers import interval, number
from ptrag.report.tables import Cell, Table, number_cell, text_cell
from ptrag.report.words import words


def coverage(results: Results, split: SplitView) -> pd.DataFrame:
    """Return arm, mean, low, high: the share of deltas inside their interval, over pairs."""
    intervals = split.intervals.dropna(subset=["coverage"])
    evaluation = results.settings["evaluation"]
    rows = [
        (arm, *bootstrap_mean_interval(
            rows["coverage"].to_numpy(), rows[PERTURBATION].to_numpy(),
            evaluation["bootstrap"], evaluation["confidence"],
        ))
        for arm, rows in intervals.groupby("arm", sort=False)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["arm", "mean", "low", "high"])


def table(results: Results, split: SplitView) -> Table:
    """Per arm: coverage of the intervals, their width, the support of predictions."""
    metric = words(split.claims.metric)
    level = 100 * results.settings["evaluation"]["coverage"]
    out = Table(
        caption=f"{split.name}: {level:g} % intervals of predicted deltas on {len(split.pairs)} "
        f"{split.role} pairs",
        columns=[
            ("Arm", ""),
            ("Coverage", "share of genes whose observed delta lies inside, mean over pairs"),
            ("of DEGs", "the same over genes that are chosen because they moved"),
            ("Width", "mean over genes and pairs, log1p"),
            ("Support", "mean over pairs, 0 to 1; of arms that retrieve"),
            (f"Support and {metric.label}", "Spearman correlation over pairs"),
            ("Support and width", "Spearman correlation over pairs"),
        ],
    )  # fmt: skip
    wide = split.wide(metric.name)
    for row in coverage(results, split).itertuples(index=False):
        of_arm = split.intervals[split.intervals["arm"] == row.arm].set_index(PAIR)
        support = of_arm["support"]
        out.rows.append(
            [
                text_cell(row.arm),
                Cell(number(row.mean, 3), interval(row.low, row.high, 3), value=row.mean),
                number_cell(of_arm["coverage_degs"].mean(), 3),
                number_cell(of_arm["width"].mean()),
                number_cell(support.mean(), 2),
                number_cell(_rank_correlation(support, wide[row.arm]), 2),
                number_cell(_rank_correlation(support, of_arm["width"]), 2),
            ]
        )
    return out


def _rank_correlation(x: pd.Series, y: pd.Series) -> float:
    both = pd.concat([x, y], axis=1).dropna()
    if len(both) < 3 or (both.nunique() < 2).any():
        return np.nan
    return spearman(both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy())


def coverage_plot(results: Results, split: SplitView) -> Markup | None:
    """Draw the coverage of each arm's intervals against the level they promise."""
    rows = coverage(results, split)
    if rows.empty:
        return None
    return plots.interval_plot(
        rows, results.arms, f"{split.name}-coverage",
        f"Coverage of the intervals of each arm on {split.name}, with the promised level",
        title=split.name, xlabel="coverage of test pairs",
        bar=results.settings["evaluation"]["coverage"],
    )  # fmt: skip


def support_plots(results: Results, split: SplitView, arms: list[str]) -> list[Markup]:
    """Draw the main metric and the coverage of an arm in bins of its support."""
    metric = words(split.claims.metric)
    wide = split.wide(metric.name)
    drawn = []
    for arm in arms:
        of_arm = split.intervals[split.intervals["arm"] == arm].set_index(PAIR)
        for name, label, values in (
            (metric.name, metric.head, wide[[arm]]),
            ("coverage", "coverage", of_arm[["coverage"]].set_axis([arm], axis=1)),
        ):
            drawn.append(
                plots.trend(
                    values, of_arm["support"], [results.arms[arm]], f"{split.name}-{arm}-by-{name}",
                    f"support, {arm}", label,
                )
            )  # fmt: skip
    return [panel for panel in drawn if panel is not None]
