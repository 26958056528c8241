"""Tables of scores and of their differences."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ptrag.report.gather import PAIR, Results, SplitView
from ptrag.report.numbers import decimals, difference_places, interval, number, p_value
from ptrag.report.tables import (
    Cell,
    Table,
    heads,
    number_cell,
    places_of,
    share,
    text_cell,
)
from ptrag.report.verdict import OUTCOME, bar, means
from ptrag.report.words import words

CONTESTANTS = ("baseline", "model")


def scored(results: Results, split: SplitView) -> pd.DataFrame:
    """Return the rows of comparison.tsv on the scored pairs of a split."""
    rows = results.comparison
    return rows[(rows["split"] == split.name) & (rows["role"] == split.role)]


def comparison(
    results: Results, split: SplitView, metrics: Sequence[str], title: str, bounds: bool = False
) -> Table:
    """Arms × metrics: mean, interval, value on the 0-1 scale; best contestant and bar marked.

    With ``bounds`` the ends of the scale stand below, and how many pairs have no room for it.
    """
    rows = scored(results, split)
    rows = rows[rows["metric"].isin(metrics)].set_index(["arm", "metric"])
    marks = {metric: _marks(results, split, metric) for metric in metrics}
    places = {metric: places_of(rows["mean"], metric) for metric in metrics}
    table = Table(
        caption=f"{split.name}, {title}: mean over {len(split.pairs)} {split.role} pairs, with "
        "interval",
        columns=[("Arm", ""), *heads(metrics)],
    )
    there = rows.to_dict("index")
    for arm, view in results.arms.items():
        cells = []
        for metric in metrics:
            row = there.get((arm, metric))
            if row is None:
                cells.append(Cell("–", mark="n"))
                continue
            low_high = interval(row["low"], row["high"], places[metric])
            mark = " ".join(mark for mark, its in marks[metric].items() if its == arm)
            cells.append(
                number_cell(
                    row["mean"], places[metric], small=low_high, mark=mark,
                    scaled=_scaled(row["scaled"]), bar=share(row["scaled"]),
                )
            )  # fmt: skip
        table.rows.append([Cell(arm, view.kind, value=arm), *cells])
    if bounds:
        table.foot.extend(_bound_rows(results, split, metrics, places))
    return table


def _scaled(value: float) -> str:
    if not np.isfinite(value):
        return ""
    return number(value, 2 if abs(value) < 10 else 0)


def _marks(results: Results, split: SplitView, metric: str) -> dict[str, str]:
    """Name the best contestant and the best baseline of a metric."""
    ranked = means(results, split, metric).index
    leader = next((arm for arm in ranked if results.arms[arm].kind in CONTESTANTS), None)
    return {"best": leader, "bar": bar(results, split, metric)}


def _bound_rows(
    results: Results, split: SplitView, metrics: Sequence[str], places: dict[str, int]
) -> list[list[Cell]]:
    """Rows of the two ends of the 0-1 scale, and of the pairs that have no such scale."""
    ends = split.bounds.groupby("metric")[["floor", "ceiling"]].mean()
    rows = [
        [Cell(name, sign), *(number_cell(ends.loc[m, end], places[m]) for m in metrics)]
        for name, sign, end in (
            ("mean baseline", "0 of the scale", "floor"),
            ("split-half replicate", "1 of the scale", "ceiling"),
        )
    ]
    apart = scored(results, split).groupby("metric")[["n_unscaled", "n_scaled"]].max()
    counts = [
        Cell(f"{n} of {n + m}", mark="n")
        for n, m in apart.loc[list(metrics)].itertuples(index=False)
    ]
    return [*rows, [Cell("pairs without scale", "ceiling not above floor"), *counts]]


def without_scale(results: Results, split: SplitView, metrics: Sequence[str]) -> Table:
    """Arms × metrics: mean over the pairs whose replicate is not better than the mean baseline."""
    rows = scored(results, split)
    rows = rows[rows["metric"].isin(metrics) & (rows["n_unscaled"] > 0)]
    rows = rows.set_index(["arm", "metric"])
    there = [m for m in metrics if m in rows.index.get_level_values("metric")]
    n = rows["n_unscaled"].groupby(level="metric").max()
    return Table(
        caption=f"{split.name}: means over the pairs without a scale, whose replicate is no better "
        "than the mean baseline",
        columns=[("Arm", ""), *heads(there)],
        rows=[
            [text_cell(arm)]
            + [number_cell(rows["unscaled"].get((arm, m), np.nan), places_of(rows["unscaled"], m))
               for m in there]
            for arm in results.arms
        ],
        foot=[[Cell("pairs"), *(number_cell(n[m], 0) for m in there)]],
    )  # fmt: skip


def shared_controls(results: Results, split: SplitView) -> str:
    """Say how much the correlation of deltas owes to the control profile that both share."""
    both = [means(results, split, m) for m in ("pearson_delta", "pearson_delta_split")]
    gain = (both[0] - both[1]).dropna()
    gain = gain[[results.arms[arm].kind in CONTESTANTS for arm in gain.index]]
    if gain.empty:
        return ""
    arms = [number(value, 3, True) for value in (gain.min(), gain.max())]
    return (
        f"{split.name}: sharing one control profile between predicted and real delta adds "
        f"{number(gain.median(), 3, True)} to {words('pearson_delta').label} (median over arms; "
        f"{arms[0]} to {arms[1]})."
    )


def against_bar(results: Results, split: SplitView, metrics: Sequence[str]) -> Table:
    """Arms × metrics: paired difference to the best simple baseline of each metric."""
    rows = results.contrasts
    rows = rows[(rows["split"] == split.name) & (rows["kind"] == "baseline")]
    held = {metric: bar(results, split, metric) for metric in metrics}
    there = {(row.arm, row.metric): row for row in rows.itertuples(index=False)
             if row.against == held.get(row.metric)}  # fmt: skip
    table = Table(
        caption=f"{split.name}: mean paired difference to the best simple baseline, with interval",
        columns=[("Arm", ""), *heads(metrics)],
        foot=[[Cell("held against"), *(Cell(held[m] or "–", mark="n") for m in metrics)]],
    )
    for arm in results.arms:
        its = [there.get((arm, metric)) for metric in metrics]
        if any(row is not None for row in its):
            table.rows.append([text_cell(arm), *map(_difference, its)])
    return table


def _difference(row: Any) -> Cell:
    """Return the cell of one contrast, coloured by what was decided."""
    if row is None:
        return Cell("–", mark="n")
    places = difference_places(row.difference, row.low, row.high)
    return Cell(
        number(row.difference, places, True),
        interval(row.low, row.high, places, True),
        value=row.difference,
        mark=OUTCOME[row.better],
    )


def contrasts(
    results: Results, split: SplitView, metrics: Sequence[str], kinds: Sequence[str] = ()
) -> Table:
    """Every contrast of some metrics on a split; of all kinds unless some are named."""
    rows = results.contrasts
    rows = rows[(rows["split"] == split.name) & rows["metric"].isin(metrics)]
    if kinds:
        rows = rows[rows["kind"].isin(kinds)]
    level = f"{100 * results.settings['evaluation']['confidence']:g} %"
    table = Table(
        caption=f"{split.name}: paired contrasts over pairs, seeds averaged within pairs",
        columns=[
            ("Metric", ""), ("Arm", ""), ("Against", ""), ("Why", "see Methods"), ("Pairs", ""),
            ("Difference", f"mean paired difference, arm minus against, with {level} interval"),
            ("Wilcoxon p", "signed-rank, two-sided"),
            ("Holm p", "adjusted over the contrasts of this split, metric and kind"),
            ("Effect size", "matched-pairs rank-biserial correlation, −1 to 1"),
            ("Detectable", "smallest true difference found four times in five"),
            ("Arm is", "better or worse: interval without zero and Holm p below 1 − confidence"),
        ],
    )  # fmt: skip
    for row in rows.itertuples(index=False):
        said, what = words(row.metric), OUTCOME[row.better]
        places = difference_places(row.difference, row.low, row.high)
        table.rows.append(
            [
                Cell(said.head, value=said.label),
                text_cell(row.arm),
                text_cell(row.against),
                text_cell(row.kind.replace("_", " ")),
                number_cell(int(row.n_pairs), 0),
                replace(_difference(row), mark=""),
                Cell(p_value(row.wilcoxon_p).removeprefix("= "), value=row.wilcoxon_p),
                Cell(p_value(row.holm_p).removeprefix("= "), value=row.holm_p),
                Cell(number(row.effect_size, 2, True), value=row.effect_size),
                number_cell(
                    row.detectable, places, small="low power" if row.power == "low" else ""
                ),
                text_cell(what, mark=what),
            ]
        )
    return table


def pair_scores(split: SplitView, pair: tuple[str, str], arms: list[str], metrics: Sequence[str]):
    """Arms × metrics of one pair."""
    line, name = split.scores["cell_line"], split.scores["perturbation"]
    rows = split.scores[(line == pair[0]) & (name == pair[1])]
    rows = rows.set_index(["arm", "metric"])["value"]
    places = {metric: places_of(rows, metric) for metric in metrics}
    return Table(
        caption=f"Scores of {pair[1]} in {pair[0]}, mean over seeds",
        columns=[("Arm", ""), *heads(metrics)],
        rows=[
            [text_cell(arm)]
            + [number_cell(float(rows.get((arm, m), np.nan)), places[m]) for m in metrics]
            for arm in arms
        ],
    )


def all_pairs(
    results: Results, split: SplitView, metric: str, arms: Sequence[str], supported: str | None
) -> Table:
    """Every scored pair: its facts and bounds, one metric under some arms, one arm's support."""
    support = split.intervals[split.intervals["arm"] == supported].set_index(PAIR)["support"]
    wide = split.wide(metric).reindex(split.pairs.index)
    bounds = split.bounds[split.bounds["metric"] == metric].set_index(PAIR)
    said, places = words(metric), decimals(wide.to_numpy().ravel())
    facts = [
        ("n_cells", "Cells", "", 0), ("effect_size", "Effect size", "L2 norm of the real delta", 2),
        ("similarity", "Nearest", "text similarity of the nearest candidate", 3),
    ]  # fmt: skip
    table = Table(
        caption=f"{split.name}: {said.label} of every {split.role} pair, {said.direction}",
        columns=[
            ("Perturbation", ""), ("Cell line", ""), *((head, hint) for _, head, hint, _ in facts),
            ("Floor", "mean baseline"), ("Ceiling", "split-half replicate"),
            ("Support", f"of the prediction of {supported}"),
            *((arm, f"{said.label} of {arm}") for arm in arms),
        ],
    )  # fmt: skip
    for pair in split.pairs.index:
        its, ends = split.pairs.loc[pair], bounds.loc[pair]
        table.rows.append(
            [text_cell(pair[1]), text_cell(pair[0])]
            + [number_cell(its[key], its_places) for key, _, _, its_places in facts]
            + [number_cell(ends[end], places) for end in ("floor", "ceiling")]
            + [number_cell(support.get(pair, np.nan), 2)]
            + [number_cell(wide.loc[pair, arm], places) for arm in arms]
        )
    return table
