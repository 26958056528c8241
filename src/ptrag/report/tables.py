"""The report's tables as plain rows for the templates."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from ptrag.report.arms import ArmView
from ptrag.report.gather import PAIR, Results, SplitView
from ptrag.report.numbers import decimals, difference_places, interval, number, p_value
from ptrag.report.verdict import OUTCOME, bar, means
from ptrag.report.words import FAMILIES, PUBLISHED, PUBLISHED_ARMS, Words, words

CONTESTANTS = ("baseline", "model")


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes
    ----------
    text, small, scaled
        What it says, a smaller second line, and a value on the 0-1 scale.
    value
        What it sorts by.
    mark
        Classes, such as ``best`` or ``better``.
    bar
        Length of a bar beneath, 0 to 1.
    """

    text: str
    small: str = ""
    scaled: str = ""
    value: float | str | None = None
    mark: str = ""
    bar: float | None = None


@dataclass(frozen=True)
class Table:
    """A table: caption, column heads (text, tooltip), rows of cells, rows that stay below."""

    caption: str
    columns: list[tuple[str, str]]
    rows: list[list[Cell]] = field(default_factory=list)
    foot: list[list[Cell]] = field(default_factory=list)
    note: str = ""


def metrics_of(results: Results) -> list[str]:
    """Return the metrics in the order of comparison.tsv."""
    return list(dict.fromkeys(results.comparison["metric"]))


def families(results: Results) -> dict[str, list[str]]:
    """Return the metrics of each family, under its title."""
    its: dict[str, list[str]] = {}
    for metric in metrics_of(results):
        its.setdefault(FAMILIES[words(metric).family], []).append(metric)
    return its


def text_cell(text: str, mark: str = "") -> Cell:
    """Return a cell that sorts by what it says."""
    return Cell(text, value=text, mark=mark)


def number_cell(value: float, places: int | None = None, **more: Any) -> Cell:
    """Return a cell that sorts by the number it shows."""
    return Cell(number(value, places), value=value, **more)


def _heads(metrics: Sequence[str]) -> list[tuple[str, str]]:
    return [(words(metric).head, words(metric).hint) for metric in metrics]


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
    places = {metric: _places(rows["mean"], metric) for metric in metrics}
    table = Table(
        caption=f"{split.name}, {title}: mean over {len(split.pairs)} {split.role} pairs, with "
        "interval",
        columns=[("Arm", ""), *_heads(metrics)],
    )
    there = rows.to_dict("index")
    for arm, view in results.arms.items():
        cells = []
        for metric in metrics:
            row = there.get((arm, metric))
            if row is None:
                cells.append(Cell("–"))
                continue
            low_high = interval(row["low"], row["high"], places[metric])
            mark = " ".join(mark for mark, its in marks[metric].items() if its == arm)
            scaled = row["scaled"]
            cells.append(
                number_cell(
                    row["mean"], places[metric], small=low_high, mark=mark,
                    scaled=number(scaled, 2) if np.isfinite(scaled) else "", bar=_share(scaled),
                )
            )  # fmt: skip
        table.rows.append([Cell(arm, view.kind, value=arm), *cells])
    if bounds:
        table.foot.extend(_bound_rows(results, split, metrics, places))
    return table


def _places(values: pd.Series, metric: str) -> int:
    return decimals(values[values.index.get_level_values("metric") == metric])


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
        columns=[("Arm", ""), *_heads(there)],
        rows=[
            [text_cell(arm)]
            + [number_cell(rows["unscaled"].get((arm, m), np.nan), _places(rows["unscaled"], m))
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
        columns=[("Arm", ""), *_heads(metrics)],
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
        return Cell("–")
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
                number_cell(row.detectable, small="low power" if row.power == "low" else ""),
                text_cell(what, mark=what),
            ]
        )
    return table


def evidence_summary(results: Results, split: SplitView) -> Table:
    """Per retrieval arm: how many candidates, what weight they got, what deletion did."""
    table = Table(
        caption=f"{split.name}: retrieved candidates over all {split.role} pairs",
        columns=[
            ("Arm", ""), ("Weight is", "see the glossary"), ("Pairs", ""),
            ("Candidates per pair", ""), ("Mean weight", ""),
            ("5 % to 95 %", "quantiles of the weight"), ("Below 0", "share of candidates"),
            ("Above ½", "share of candidates"),
            ("Mean effect", "L2 norm of the change of the mean predicted profile"),
            ("Size and effect", "Spearman correlation of |weight| and effect over candidates"),
        ],
    )  # fmt: skip
    for arm, rows in split.evidence.groupby("arm", sort=False):
        gate = rows["gate"]
        low, high = (number(q, 2) for q in gate.quantile([0.05, 0.95]))
        table.rows.append(
            [
                text_cell(arm),
                text_cell(weight_name(results.arms[arm])),
                number_cell(rows.groupby(PAIR).ngroups, 0),
                number_cell(len(rows) / rows.groupby(PAIR).ngroups, 1),
                number_cell(gate.mean(), 3),
                Cell(f"{low} to {high}"),
                number_cell((gate < 0).mean(), 2),
                number_cell((gate > 0.5).mean(), 2),
                number_cell(rows["effect"].mean()),
                number_cell(gate.abs().corr(rows["effect"], method="spearman"), 2),
            ]
        )
    return table


def weight_name(view: ArmView) -> str:
    """Return what the column ``gate`` of an arm's evidence holds."""
    return "coefficient ω" if view.weighs else "gate"


def fallbacks(split: SplitView) -> Table:
    """Pairs per arm and note: where an arm's own way was closed, and what it did instead."""
    table = Table(
        caption=f"{split.name}: what arms fell back on",
        columns=[("Arm", ""), ("Note", ""), ("Pairs", ""), ("Which", "the first five")],
    )
    for (arm, note), rows in split.notes.groupby(["arm", "note"], sort=False):
        pairs = [f"{p} in {line}" for line, p in rows[PAIR].itertuples(index=False)]
        first = ", ".join(pairs[:5]) + (", …" if len(pairs) > 5 else "")
        table.rows.append(
            [text_cell(arm), text_cell(note, "prose"), number_cell(len(pairs), 0),
             Cell(first, mark="prose")]
        )  # fmt: skip
    return table


def neighbours(split: SplitView, pair: tuple[str, str], arm: ArmView, most: int = 8) -> Table:
    """List the candidates of a pair under one arm, those that changed the prediction most first."""
    rows, notes = (
        table[
            (table["arm"] == arm.name)
            & (table["cell_line"] == pair[0])
            & (table["perturbation"] == pair[1])
        ]
        for table in (split.evidence, split.notes)
    )
    kept = rows.sort_values(["effect", "rank"], ascending=[False, True]).head(most)
    hint = (
        "of the measured response in the predicted delta; may be negative or above 1"
        if arm.weighs
        else "mean over cells: 0 shut, 1 open"
    )
    table = Table(
        caption=f"{arm.name}, {pair[1]} in {pair[0]}: {len(kept)} of {len(rows)} candidates, "
        "largest effect first",
        columns=[
            ("Candidate", ""), ("Rank", "as the arm ranks them"),
            ("Similarity", "cosine of the text embeddings"),
            (weight_name(arm).capitalize(), hint),
            ("Effect", "change of the prediction when the candidate is left out (L2 norm)"),
        ],
        note="; ".join(notes["note"]),
    )  # fmt: skip
    largest = max(1.0, rows["gate"].abs().max())
    top = rows["effect"].max() or 1.0
    for row in kept.itertuples(index=False):
        table.rows.append(
            [
                text_cell(row.candidate),
                number_cell(row.rank, 0),
                number_cell(row.similarity, 3, bar=_share(row.similarity)),
                number_cell(
                    row.gate, 3, bar=_share(abs(row.gate) / largest),
                    mark="negative" if row.gate < 0 else "",
                ),
                number_cell(row.effect, bar=_share(row.effect / top)),
            ]
        )  # fmt: skip
    return table


def _share(value: float) -> float | None:
    return float(np.clip(value, 0, 1)) if np.isfinite(value) else None


def pair_scores(split: SplitView, pair: tuple[str, str], arms: list[str], metrics: Sequence[str]):
    """Arms × metrics of one pair."""
    line, name = split.scores["cell_line"], split.scores["perturbation"]
    rows = split.scores[(line == pair[0]) & (name == pair[1])]
    rows = rows.set_index(["arm", "metric"])["value"]
    places = {metric: _places(rows, metric) for metric in metrics}
    return Table(
        caption=f"Scores of {pair[1]} in {pair[0]}, mean over seeds",
        columns=[("Arm", ""), *_heads(metrics)],
        rows=[
            [text_cell(arm)]
            + [number_cell(float(rows.get((arm, m), np.nan)), places[m]) for m in metrics]
            for arm in arms
        ],
    )


def all_pairs(results: Results, split: SplitView, metric: str, arms: Sequence[str]) -> Table:
    """Every scored pair: its facts, its bounds and its value of one metric under some arms."""
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
            *((arm, f"{said.label} of {arm}") for arm in arms),
        ],
    )  # fmt: skip
    for pair in split.pairs.index:
        its, ends = split.pairs.loc[pair], bounds.loc[pair]
        table.rows.append(
            [text_cell(pair[1]), text_cell(pair[0])]
            + [number_cell(its[key], its_places) for key, _, _, its_places in facts]
            + [number_cell(ends[end], places) for end in ("floor", "ceiling")]
            + [number_cell(wide.loc[pair, arm], places) for arm in arms]
        )
    return table


def counts(results: Results) -> Table:
    """Pairs of each role per split and line."""
    roles = ["train", "val", "test", "control", "excluded"]
    table = Table(
        caption="Pairs of each role (a line's controls count as one)",
        columns=[("Split", ""), ("Protocol", ""), ("Cell line", ""), *((r, "") for r in roles)],
    )
    for split in results.splits.values():
        for line, row in split.counts.iterrows():
            name = f"{line} (target)" if line == split.target else str(line)
            table.rows.append(
                [Cell(split.name), Cell(split.protocol.replace("_", " ")), Cell(name)]
                + [Cell(str(int(n)), value=int(n)) for n in (row.get(r, 0) for r in roles)]
            )
    return table


def coverage(results: Results) -> Table:
    """How perturbations found their vectors, per embedding."""
    levels = list(
        dict.fromkeys(level for table in results.coverage.values() for level in table["level"])
    )
    out = Table(
        caption="Perturbations by the way their vector was found",
        columns=[("Embedding", ""), ("Perturbations", ""), *((level, "") for level in levels)],
    )
    for name, table in results.coverage.items():
        n = table["level"].value_counts()
        out.rows.append(
            [Cell(name), Cell(str(len(table)), value=len(table))]
            + [
                Cell(
                    str(n.get(level, 0)),
                    value=int(n.get(level, 0)),
                    bar=n.get(level, 0) / len(table),
                )
                for level in levels
            ]
        )
    return out


def published(results: Results) -> Table | None:
    """Put the paper's values beside ours for the arms that both have; None if there are none."""
    arms = [arm for arm in PUBLISHED_ARMS if arm in results.arms]
    if not arms:
        return None
    ours = results.comparison
    ours = ours[ours["role"].isin([s.role for s in results.splits.values()])]
    ours = ours.groupby(["metric", "arm"])["mean"].mean()
    heads = [(f"{arm}, {who}", "") for arm in arms for who in ("paper", "here")]
    table = Table(
        caption="Published test values (1,635 pairs of Replogle–Nadig) beside those of this run "
        "(mean over splits)",
        columns=[("Metric of the paper", ""), ("Nearest here", ""), *heads],
    )
    for label, metric, values in PUBLISHED:
        paper = dict(zip(PUBLISHED_ARMS, values, strict=True))
        has = metric in ours.index.get_level_values("metric")
        places = decimals(paper.values())
        cells = []
        for arm in arms:
            value = float(ours.get((metric, arm), np.nan))
            cells += [
                Cell(number(paper[arm], places), value=paper[arm]),
                Cell(number(value, places), value=value),
            ]
        table.rows.append([Cell(label), Cell(words(metric).label if has else "–"), *cells])
    return table


def glossary(results: Results) -> list[Words]:
    """Return the metrics of this report."""
    return [words(metric) for metric in metrics_of(results)]
