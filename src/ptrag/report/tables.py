"""The report's tables as plain rows for the templates."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ptrag.report.gather import PAIR, Results, SplitView
from ptrag.report.numbers import decimals, interval, number, p_value
from ptrag.report.verdict import best, means, outcome
from ptrag.report.words import PUBLISHED, PUBLISHED_ARMS, Words, words

CONTESTANTS = ("baseline", "model")


@dataclass(frozen=True)
class Cell:
    """One cell: text, a smaller second line, the value it sorts by, how it is marked."""

    text: str
    small: str = ""
    value: float | str | None = None
    mark: str = ""
    bar: float | None = None


@dataclass(frozen=True)
class Table:
    """A table: caption, column heads (text, tooltip), rows of cells."""

    caption: str
    columns: list[tuple[str, str]]
    rows: list[list[Cell]] = field(default_factory=list)
    note: str = ""


def metrics_of(results: Results) -> list[str]:
    """Return the metrics in the order of comparison.tsv."""
    return list(dict.fromkeys(results.comparison["metric"]))


def comparison(results: Results, split: SplitView, metrics: list[str]) -> Table:
    """Arms × metrics: mean and interval over pairs; best contestant and best baseline marked."""
    rows = results.comparison
    rows = rows[(rows["split"] == split.name) & (rows["role"] == split.role)]
    rows = rows.set_index(["arm", "metric"])
    said = [words(metric) for metric in metrics]
    marks = {metric: _marks(results, split, metric) for metric in metrics}
    places = {
        m: decimals(rows["mean"][rows.index.get_level_values("metric") == m]) for m in metrics
    }
    table = Table(
        caption=f"{split.name}: mean over {len(split.pairs)} {split.role} pairs, with interval",
        columns=[("Arm", ""), ("Kind", ""), *((f"{w.label} {w.arrow}", w.direction) for w in said)],
    )
    for arm, view in results.arms.items():
        cells = []
        for metric in metrics:
            if (arm, metric) not in rows.index:
                cells.append(Cell("–"))
                continue
            row, at = rows.loc[(arm, metric)], places[metric]
            cells.append(
                Cell(
                    number(row["mean"], at),
                    interval(row["low"], row["high"], at),
                    row["mean"],
                    mark=" ".join(mark for mark, its in marks[metric].items() if its == arm),
                )
            )
        table.rows.append([Cell(arm, value=arm), Cell(view.kind, value=view.kind), *cells])
    return table


def _marks(results: Results, split: SplitView, metric: str) -> dict[str, str]:
    """Name the best contestant and the best baseline of a metric."""
    ranked = means(results, split, metric).index
    leader = next((arm for arm in ranked if results.arms[arm].kind in CONTESTANTS), None)
    return {"best": leader, "bar": best(results, split, metric, "baseline")}


def contrasts(results: Results, split: SplitView) -> Table:
    """Every contrast of a split."""
    alpha = 1 - results.settings["evaluation"].get("confidence", 0.95)
    table = Table(
        caption=f"{split.name}: paired contrasts over pairs, seeds averaged within pairs",
        columns=[
            ("Metric", ""), ("Arm", ""), ("Against", ""), ("Pairs", ""),
            ("Difference", "mean paired difference, arm minus against, with interval"),
            ("Wilcoxon p", "signed-rank, two-sided"),
            ("Holm p", "adjusted over the contrasts of the family"),
            ("Effect size", "see Methods"),
            ("Arm is", "better or worse: interval without zero and Holm p below 1 − confidence"),
        ],
    )  # fmt: skip
    rows = results.contrasts[results.contrasts["split"] == split.name]
    for row in rows.itertuples(index=False):
        said = words(row.metric)
        places = decimals([row.difference, row.low, row.high])
        what = outcome(row.difference, row.low, row.high, row.holm_p, said.higher, alpha)
        table.rows.append(
            [
                Cell(f"{said.label} {said.arrow}", value=said.label),
                Cell(row.arm, value=row.arm),
                Cell(row.against, value=row.against),
                Cell(str(int(row.n_pairs)), value=row.n_pairs),
                Cell(
                    number(row.difference, places, True),
                    interval(row.low, row.high, places, True), row.difference,
                ),
                Cell(p_value(row.wilcoxon_p).removeprefix("= "), value=row.wilcoxon_p),
                Cell(p_value(row.holm_p).removeprefix("= "), value=row.holm_p),
                Cell(number(row.effect_size, 2, True), value=row.effect_size),
                Cell(what, value=what, mark=what),
            ]
        )  # fmt: skip
    return table


def evidence_summary(split: SplitView) -> Table:
    """Per retrieval arm: how many candidates, how far the gates opened, what deletion did."""
    table = Table(
        caption=f"{split.name}: retrieved candidates over all {split.role} pairs",
        columns=[
            ("Arm", ""), ("Pairs", ""), ("Candidates per pair", ""), ("Mean gate", ""),
            ("Gate above ½", "share of candidates"),
            ("Mean effect", "L2 norm of the change of the mean predicted profile"),
            ("Gate and effect", "Spearman correlation over candidates"),
        ],
    )  # fmt: skip
    for arm, rows in split.evidence.groupby("arm", sort=False):
        pairs = rows.groupby(PAIR).ngroups
        both = rows[["gate", "effect"]].dropna()
        rho = both["gate"].rank().corr(both["effect"].rank()) if len(both) > 2 else np.nan
        facts = [pairs, len(rows) / pairs, rows["gate"].mean(), (rows["gate"] > 0.5).mean(),
                 rows["effect"].mean(), rho]  # fmt: skip
        places = [0, 1, 3, 2, None, 2]
        table.rows.append(
            [Cell(arm, value=arm)]
            + [Cell(number(v, p), value=v) for v, p in zip(facts, places, strict=True)]
        )
    return table


def neighbours(evidence: pd.DataFrame, pair: tuple[str, str], arm: str, most: int = 8) -> Table:
    """List the candidates of a pair under one arm, those that changed the prediction most first."""
    rows = evidence[
        (evidence["arm"] == arm)
        & (evidence["cell_line"] == pair[0])
        & (evidence["perturbation"] == pair[1])
    ]
    kept = rows.sort_values(["effect", "rank"], ascending=[False, True]).head(most)
    table = Table(
        caption=f"{arm}, {pair[1]} in {pair[0]}: {len(kept)} of {len(rows)} candidates, "
        "largest effect first",
        columns=[
            ("Candidate", ""), ("Rank", "by similarity"), ("Similarity", "cosine"),
            ("Gate", "mean over cells: 0 shut, 1 open"),
            ("Effect", "change of the prediction when the candidate is left out (L2 norm)"),
        ],
    )  # fmt: skip
    top = rows["effect"].max() or 1.0
    for row in kept.itertuples(index=False):
        table.rows.append(
            [
                Cell(row.candidate, value=row.candidate),
                Cell(number(row.rank, 0), value=row.rank),
                Cell(number(row.similarity, 3), value=row.similarity, bar=_share(row.similarity)),
                Cell(number(row.gate, 3), value=row.gate, bar=_share(row.gate)),
                Cell(number(row.effect), value=row.effect, bar=_share(row.effect / top)),
            ]
        )
    return table


def _share(value: float) -> float | None:
    return float(np.clip(value, 0, 1)) if np.isfinite(value) else None


def pair_scores(split: SplitView, pair: tuple[str, str], arms: list[str], metrics: list[str]):
    """Arms × metrics of one pair."""
    rows = split.scores[
        (split.scores["cell_line"] == pair[0]) & (split.scores["perturbation"] == pair[1])
    ].set_index(["arm", "metric"])["value"]
    said = [words(metric) for metric in metrics]
    places = {m: decimals(rows[rows.index.get_level_values("metric") == m]) for m in metrics}
    return Table(
        caption=f"Scores of {pair[1]} in {pair[0]}, mean over seeds",
        columns=[("Arm", ""), *((f"{w.label} {w.arrow}", w.direction) for w in said)],
        rows=[
            [Cell(arm, value=arm)]
            + [
                Cell(number(v, places[m]), value=v)
                for m in metrics
                for v in [float(rows.get((arm, m), np.nan))]
            ]
            for arm in arms
        ],
    )


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
