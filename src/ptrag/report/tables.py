"""The report's tables as plain rows for the templates: what they are made of, and simple ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ptrag.comparison.pooled import ALL_LINES
from ptrag.report.gather import Results
from ptrag.report.numbers import decimals, number
from ptrag.report.words import FAMILIES, PUBLISHED, PUBLISHED_ARMS, Words, words
from ptrag.splits.protocols import ROLES


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
        Classes, such as ``best``, ``better`` or ``untrusted``.
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
    titles: dict[str, list[str]] = {}
    for metric in metrics_of(results):
        titles.setdefault(FAMILIES[words(metric).family], []).append(metric)
    return titles


def text_cell(text: str, mark: str = "") -> Cell:
    """Return a cell that sorts by what it says."""
    return Cell(text, value=text, mark=mark)


def number_cell(value: float, places: int | None = None, **more: Any) -> Cell:
    """Return a cell that sorts by the number it shows."""
    return Cell(number(value, places), value=value, **more)


def heads(metrics: Sequence[str]) -> list[tuple[str, str]]:
    """Return the column heads of metrics."""
    return [(words(metric).head, words(metric).hint) for metric in metrics]


def share(value: float) -> float | None:
    """Return the length of a bar; None where there is nothing to draw."""
    return float(np.clip(value, 0, 1)) if np.isfinite(value) else None


def places_of(values: pd.Series, metric: str) -> int:
    """Return the decimals of a column of a table with ``metric`` in its index.

    By its middle value: one arm that is far off must not cost the others their digits.
    """
    of_metric = values[values.index.get_level_values("metric") == metric].abs()
    return decimals([of_metric.dropna().median()])


def counts(results: Results) -> Table:
    """Pairs of each role per split and line."""
    table = Table(
        caption="Pairs of each role (a line's controls count as one)",
        columns=[("Split", ""), ("Protocol", ""), ("Cell line", ""), *((r, "") for r in ROLES)],
    )
    for split in results.splits.values():
        for line, row in split.counts.iterrows():
            name = f"{line} (target)" if line == split.target else str(line)
            table.rows.append(
                [Cell(split.name), Cell(split.protocol.replace("_", " ")), Cell(name)]
                + [Cell(str(int(n)), value=int(n)) for n in (row.get(r, 0) for r in ROLES)]
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
    together = ours[ours["split"] == ALL_LINES]
    how = "mean over splits"
    if len(together):
        ours, how = together, f"{together['n_pairs'].max():,} pairs of all target lines"
    ours = ours.groupby(["metric", "arm"])["mean"].mean()
    heads = [(f"{arm}, {who}", "") for arm in arms for who in ("paper", "here")]
    table = Table(
        caption="Published test values (1,635 pairs of Replogle–Nadig) beside those of this run "
        f"({how})",
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
