"""Tables of scores and of their differences."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ptrag.base.names import N_CELLS, PAIR
from ptrag.comparison.claims import STANDINGS, AgainstBaselines
from ptrag.comparison.contrasts import Contrast
from ptrag.report.gather import Results, SplitView
from ptrag.report.numbers import (
    decimals,
    difference,
    interval,
    listed,
    number,
    p_value,
    rough,
)
from ptrag.report.tables import (
    Cell,
    Table,
    heads,
    number_cell,
    places_of,
    share,
    text_cell,
)
from ptrag.report.verdict import relation
from ptrag.report.words import words

CONTESTANTS = ("baseline", "model")
PAIRS = 100  # rows of the table pair by pair, at most


def comparison(
    results: Results, split: SplitView, metrics: Sequence[str], title: str, ends: bool = False
) -> Table:
    """Arms × metrics: mean, interval, value on the 0-1 scale; the best means marked.

    With ``ends`` the ends of the scale stand below, with how well the metric tells them apart.
    Metrics that cannot be trusted on this screen are grey.
    """
    rows = split.claims.scores
    rows = rows[rows["metric"].isin(metrics)].set_index(["arm", "metric"])
    marks = {metric: _marks(results, split, metric) for metric in metrics}
    places = {metric: places_of(rows["mean"], metric) for metric in metrics}
    table = Table(
        caption=f"{split.name}, {title}: mean over {len(split.pairs)} {split.role} pairs, with "
        "interval",
        columns=[("Arm", ""), *heads(metrics)],
    )
    by_name = rows.to_dict("index")
    for arm, view in results.arms.items():
        if arm in split.twins:
            continue
        cells = []
        for metric in metrics:
            row = by_name.get((arm, metric))
            if row is None:
                cells.append(Cell("–", mark="n"))
                continue
            low_high = interval(row["low"], row["high"], places[metric])
            mark = " ".join(mark for mark, named in marks[metric].items() if named == arm)
            cells.append(
                number_cell(
                    row["mean"], places[metric], small=low_high,
                    mark=mark if row["trusted"] else f"{mark} untrusted".strip(),
                    scaled=_scaled(row), bar=share(row["scaled"]),
                )
            )  # fmt: skip
        kind = "; ".join([view.kind, *_twins(split, arm)])
        table.rows.append([Cell(arm, kind, value=arm), *cells])
    if ends:
        table.foot.extend(_end_rows(rows, metrics, places))
    return table


def _twins(split: SplitView, arm: str) -> list[str]:
    """Name the arms whose predictions are the same, and which are not shown again."""
    same = [twin for twin, first in split.twins.items() if first == arm]
    return [f"the same predictions: {listed(same)}"] if same else []


def _scaled(row: dict[str, Any]) -> str:
    if not np.isfinite(row["scaled"]):
        return ""
    return (
        f"{number(row['scaled'], 2)} {interval(row['scaled_low'], row['scaled_high'], 2)}".strip()
    )


def _marks(results: Results, split: SplitView, metric: str) -> dict[str, str | None]:
    """Name the contestant and the simple baseline with the best mean."""
    ranked = split.claims.means(metric).index
    leader = next((arm for arm in ranked if results.arms[arm].kind in CONTESTANTS), None)
    named = {"best": leader, "bar": split.claims.first(metric, "baseline")}
    return {mark: split.twins.get(arm, arm) for mark, arm in named.items()}


def _end_rows(
    rows: pd.DataFrame, metrics: Sequence[str], places: dict[str, int]
) -> list[list[Cell]]:
    """Rows of the two ends of the 0-1 scale, and of how well a metric tells them apart."""
    of_metric = rows.groupby(level="metric").first()

    def cells(column: str, places_of_metric: dict[str, int]) -> list[Cell]:
        return [number_cell(of_metric.loc[m, column], places_of_metric[m]) for m in metrics]

    two = dict.fromkeys(metrics, 2)
    trusted = [Cell("yes" if of_metric.loc[m, "trusted"] else "no", mark="n") for m in metrics]
    return [
        [Cell("mean baseline", "0 of the scale"), *cells("floor", places)],
        [Cell("replicate", "1 of the scale"), *cells("replicate", places)],
        [
            Cell("dynamic range", "replicate − baseline, in deviations"),
            *cells("dynamic_range", two),
        ],
        [Cell("told apart", "share of bootstrap draws"), *cells("separation", two)],
        [Cell("trusted", "interval without zero"), *trusted],
    ]


def standings(results: Results, split: SplitView, metrics: Sequence[str]) -> Table:
    """Models × metrics: the baselines beaten, and the difference to the one of best mean."""
    held = {
        metric: {standing.arm: standing for standing in split.claims.against_baselines(metric)}
        for metric in metrics
    }
    table = Table(
        caption=f"{split.name}: models against every simple baseline that ran; the number is the "
        "paired difference to the baseline with the best mean, with interval",
        columns=[("Model", ""), *heads(metrics)],
        foot=[
            [Cell("best mean"), *(
                Cell(split.claims.first(metric, "baseline") or "–", mark="n") for metric in metrics
            )]
        ],
    )  # fmt: skip
    for arm in results.arms:
        if arm not in split.twins and any(arm in of_metric for of_metric in held.values()):
            cells = [_standing(held[metric].get(arm)) for metric in metrics]
            table.rows.append([Cell(arm, "; ".join(_twins(split, arm)), value=arm), *cells])
    return table


def _standing(standing: AgainstBaselines | None) -> Cell:
    if standing is None:
        return Cell("–", mark="n")
    cell = _difference(standing.hardest)
    beaten = f"beats {len(standing.beaten)} of {standing.n_baselines}"
    mark = "untrusted" if standing.hardest.barred else standing.standing
    small = f"{cell.small}; {relation(standing) if standing.improving else beaten}"
    return replace(cell, small=small.removeprefix("; "), mark=mark)


def _difference(contrast: Contrast) -> Cell:
    """Return the cell of one contrast, coloured by what was decided."""
    value, low_high = difference(contrast)
    return Cell(value, low_high, value=contrast.difference, mark=STANDINGS[contrast.better])


def contrasts(results: Results, split: SplitView, metrics: Sequence[str]) -> Table:
    """Every contrast of some metrics on a split."""
    level = f"{100 * results.settings['evaluation']['confidence']:g} %"
    table = Table(
        caption=f"{split.name}: paired contrasts over pairs, seeds averaged within pairs",
        columns=[
            ("Metric", ""), ("Arm", ""), ("Against", ""), ("Pairs", ""),
            ("Difference", f"mean paired difference, arm minus against, with {level} interval"),
            ("p", "sign-flip permutation of this difference, two-sided"),
            ("Holm p", "adjusted over the contrasts of this split and metric"),
            ("Smallest", "the smallest Holm p that these perturbations and contrasts can reach"),
            ("Detectable", "smallest true difference called four times in five"),
            ("Arm is", "better or worse: interval without zero and Holm p below 1 − confidence"),
        ],
    )  # fmt: skip
    rows = [contrast for contrast in split.claims.contrasts if contrast.metric in metrics]
    table.rows.extend(_contrast_row(contrast) for contrast in rows)
    return table


def _contrast_row(contrast: Contrast) -> list[Cell]:
    metric, standing = words(contrast.metric), STANDINGS[contrast.better]
    powers = {"low": "low power", "none": "cannot be decided", "same": "same scores"}
    return [
        Cell(metric.head, value=metric.label),
        text_cell(contrast.arm),
        text_cell(contrast.against),
        number_cell(contrast.n_pairs, 0),
        replace(_difference(contrast), mark=""),
        Cell(p_value(contrast.p).removeprefix("= "), value=contrast.p),
        Cell(p_value(contrast.holm_p).removeprefix("= "), value=contrast.holm_p),
        Cell(p_value(contrast.smallest_p).removeprefix("= "), value=contrast.smallest_p),
        Cell(rough(contrast.detectable), powers.get(contrast.power, ""), value=contrast.detectable),
        Cell(standing, contrast.barred, value=standing, mark=standing),
    ]


def pairs_of(split: SplitView, metric: str, arms: Sequence[str]) -> Table:
    """Every scored pair: its cells, the ends, and one metric under some arms."""
    wide = split.wide(metric)
    metric_words, places = words(metric), decimals(wide.to_numpy().ravel())
    table = Table(
        caption=f"{metric_words.label} of every pair, {metric_words.direction}",
        columns=[
            ("Perturbation", ""), ("Cell line", ""), ("Cells", ""), ("Floor", "mean of the others"),
            ("Ceiling", "split-half replicate"), *((arm, "") for arm in arms),
        ],
    )  # fmt: skip
    for pair in split.pairs.index:
        ends = [split.floor.loc[pair, metric], split.ceiling.loc[pair, metric]]
        table.rows.append(
            [text_cell(pair[1]), text_cell(pair[0])]
            + [number_cell(split.pairs.loc[pair, N_CELLS], 0)]
            + [number_cell(value, places) for value in (*ends, *wide.loc[pair, arms])]
        )
    return table


def all_pairs(split: SplitView, metric: str, arms: Sequence[str], supported: str | None) -> Table:
    """Pairs of largest effect: facts and ends, one metric under some arms, one arm's support."""
    support = split.intervals[split.intervals["arm"] == supported].set_index(PAIR)["support"]
    wide = split.wide(metric)
    metric_words, places = words(metric), decimals(wide.to_numpy().ravel())
    facts = [
        (N_CELLS, "Cells", "", 0), ("effect_size", "Effect size", "L2 norm of the real delta", 2),
        ("similarity", "Nearest", "text similarity of the nearest candidate", 3),
    ]  # fmt: skip
    shown = split.pairs.index
    if len(shown) > PAIRS:
        largest = split.pairs["effect_size"].nlargest(PAIRS).index
        shown = shown[shown.isin(largest)]
    which = "every" if len(shown) == len(split.pairs) else f"the {len(shown)}"
    table = Table(
        caption=f"{split.name}: {metric_words.label} of {which} {split.role} "
        f"{'pair' if which == 'every' else 'pairs with the largest effect'}, "
        f"{metric_words.direction}",
        columns=[
            ("Perturbation", ""), ("Cell line", ""), *((head, hint) for _, head, hint, _ in facts),
            ("Floor", "mean baseline"), ("Ceiling", "split-half replicate"),
            ("Support", f"of the prediction of {supported}"),
            *((arm, f"{metric_words.label} of {arm}") for arm in arms),
        ],
    )  # fmt: skip
    for pair in shown:
        of_pair = split.pairs.loc[pair]
        table.rows.append(
            [text_cell(pair[1]), text_cell(pair[0])]
            + [number_cell(of_pair[key], digits) for key, _, _, digits in facts]
            + [number_cell(ends.loc[pair, metric], places) for ends in (split.floor, split.ceiling)]
            + [number_cell(support.get(pair, np.nan), 2)]
            + [number_cell(wide.loc[pair, arm], places) for arm in arms]
        )
    return table
