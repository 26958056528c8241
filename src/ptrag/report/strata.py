"""Where arms work: by line, cells, strength and texts; and which pairs are solved, by whom."""

import pandas as pd

from ptrag.base.names import N_CELLS, STRENGTH
from ptrag.comparison.strata import STRATA, TOGETHER
from ptrag.report import plots
from ptrag.report.gather import Results, SplitView
from ptrag.report.numbers import interval, number
from ptrag.report.sections import main_arms
from ptrag.report.tables import Cell, Table, number_cell, places_of, share
from ptrag.report.words import words

FACTORS = (
    (N_CELLS, "cells of the pair"),
    (STRENGTH, "strength of the real response"),
    ("similarity", "similarity of nearest candidate"),
)


def panels(results: Results, split: SplitView) -> list[str]:
    """Draw the deciding metric by line, number of cells, strength and text similarity."""
    metric = words(split.claims.metric)
    wide, arms = split.wide(metric.name), main_arms(results, split)
    ends = pd.DataFrame({"floor": split.floor[metric.name], "ceiling": split.ceiling[metric.name]})
    drawn = [plots.by_line(wide, arms, f"{split.name}-lines", metric.head)]
    for factor, xlabel in FACTORS:
        if factor in split.pairs:
            name = f"{split.name}-{factor}"
            drawn.append(
                plots.trend(wide, split.pairs[factor], arms, name, xlabel, metric.head, ends)
            )
    return [panel for panel in drawn if panel is not None]


def by_strength(results: Results, split: SplitView) -> Table | None:
    """Arms × thirds of the pairs by strength, on the deciding metric; None with too few pairs."""
    metric = split.claims.metric
    rows = split.strata[split.strata["metric"] == metric]
    if rows.empty:
        return None
    places = places_of(rows.set_index("metric")["mean"], metric)
    cells = {(row["arm"], row["stratum"]): row for row in rows.to_dict("records")}
    thirds = [name for name in STRATA if name in set(rows["stratum"])]
    of_third = {
        name: next(c for (_, third), c in cells.items() if third == name) for name in thirds
    }
    table = Table(
        caption=f"{split.name}, {words(metric).head} in thirds of the pairs, by the strength of "
        "the real response less its noise: mean with interval",
        columns=[("Arm", ""), *(
            (f"{name}, {number(c['weakest'], 2)} to {number(c['strongest'], 2)}",
             f"{c['n_pairs']} pairs; strengths on the log1p scale")
            for name, c in of_third.items()
        )],
    )  # fmt: skip
    for arm, view in results.arms.items():
        if arm not in split.twins and (arm, thirds[0]) in cells:
            of_arm = (cells[arm, name] for name in thirds)
            table.rows.append(
                [Cell(arm, view.kind, value=arm), *(_mean(c, places) for c in of_arm)]
            )
    for label, end in (("mean baseline", "floor"), ("replicate", "replicate")):
        table.foot.append(
            [Cell(label), *(number_cell(of_third[name][end], places) for name in thirds)]
        )
    return table


def _mean(row: dict, places: int) -> Cell:
    return number_cell(
        row["mean"], places, small=interval(row["low"], row["high"], places),
        scaled="" if pd.isna(row["scaled"]) else number(row["scaled"], 2),
        bar=share(row["scaled"]), mark="" if row["trusted"] else "untrusted",
    )  # fmt: skip


def solved(split: SplitView) -> Table | None:
    """Who solves how many pairs; None where no metric can be trusted."""
    rows = split.solved[~split.solved["by"].isin(split.twins)]
    if rows.empty:
        return None
    label = words(rows["metric"].iloc[0]).label
    table = Table(
        caption=f"{split.name}: pairs on which {label} reaches that of the pair's own replicate, "
        f"of {rows['n_pairs'].iloc[0]}",
        columns=[("Solved by", ""), ("Pairs", ""), ("Share", "with interval")],
    )  # fmt: skip
    for row in rows.to_dict("records"):
        together = row["kind"] == TOGETHER
        line = [
            Cell(row["by"], "" if together else row["kind"], value=row["by"]),
            Cell(str(row["n_solved"]), value=row["n_solved"]),
            number_cell(row["share"], 2, small=interval(row["low"], row["high"], 2),
                        bar=share(row["share"])),
        ]  # fmt: skip
        (table.foot if together else table.rows).append(line)
    return table
