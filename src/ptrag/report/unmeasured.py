"""Pairs that nobody measured: what each arm predicts of them, without scores."""

from collections.abc import Sequence

import pandas as pd

from ptrag.base.files import read_table
from ptrag.base.names import CELL_LINE, PAIR, PERTURBATION
from ptrag.report import sections
from ptrag.report.files import present
from ptrag.report.gather import Results, SplitView
from ptrag.report.tables import Cell, Table, number_cell, text_cell

ROWS = 400  # of a table, at most; unmeasured.tsv has all
GENES = 5  # named up and down


def tables(results: Results) -> list[Table]:
    """Return a table per split, pairs and arms in rows; none where ``predict:`` names no pair."""
    if not results.settings["source"].get("predict"):
        return []
    predicted = read_table(present(results.home / "unmeasured.tsv"), dtype=dict.fromkeys(PAIR, str))
    return [_table(results, split, predicted[predicted["split"] == split.name])
            for split in results.splits.values()]  # fmt: skip


def _table(results: Results, split: SplitView, predicted: pd.DataFrame) -> Table:
    arms = [view.name for view in sections.main_arms(results, split)]
    predicted = predicted[predicted["arm"].isin(arms)]
    rows = _averaged(predicted, arms).head(ROWS)
    table = Table(
        caption=f"{split.name}: predicted, and measured by nobody, so that there is no score",
        columns=[
            ("Perturbation", ""), ("Cell line", ""), ("Arm", ""), ("Rests on", ""),
            ("Strength", "L2 norm of the predicted delta, mean over seeds"),
            ("Confidence", "cosine between predicted and true delta that the posterior expects"),
            ("P ≥ .95", "genes that move with a probability of .95 or more"),
            ("Nearest", "measured perturbation that is nearest by text"),
            ("Up", "genes of largest predicted rise"), ("Down", "genes of largest predicted fall"),
        ],
        note="" if len(rows) == len(predicted.groupby(["arm", *PAIR]))
        else f"The first {ROWS} rows; unmeasured.tsv has all.",
    )  # fmt: skip
    for row in rows.itertuples(index=False):
        table.rows.append(
            [
                text_cell(getattr(row, PERTURBATION)), text_cell(getattr(row, CELL_LINE)),
                text_cell(row.arm), text_cell(row.level), number_cell(row.strength, 2),
                number_cell(row.confidence, 2), number_cell(row.n_moving, 0),
                text_cell(_text(row.nearest)), Cell(_first(row.up), mark="prose"),
                Cell(_first(row.down), mark="prose"),
            ]
        )  # fmt: skip
    return table


def _averaged(predicted: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """Return a row per pair and arm: numbers averaged over seeds, words of the first one."""
    keys = [PERTURBATION, CELL_LINE, "arm"]
    numbers = predicted.groupby(keys)[["strength", "confidence", "n_moving"]].mean()
    words = predicted.groupby(keys)[["level", "nearest", "up", "down"]].first()
    order = {arm: i for i, arm in enumerate(arms)}
    rows = numbers.join(words).reset_index()
    return rows.sort_values(keys, key=lambda c: c.map(order) if c.name == "arm" else c)


def _first(genes: object) -> str:
    """Return the first genes of a list in words."""
    return ", ".join(_text(genes).split(", ")[:GENES])


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
