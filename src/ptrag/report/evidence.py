"""Tables of what was retrieved, what weight it got and what it did."""

import pandas as pd

from ptrag.base.names import CELL_LINE, PAIR, PERTURBATION
from ptrag.report.arms import ArmView
from ptrag.report.gather import Results, SplitView
from ptrag.report.numbers import number
from ptrag.report.tables import Cell, Table, number_cell, text_cell


def evidence_summary(results: Results, split: SplitView) -> Table:
    """Per retrieval arm: how many candidates, what weight they got, what deletion did."""
    table = Table(
        caption=f"{split.name}: retrieved candidates over all {split.role} pairs",
        columns=[
            ("Arm", ""), ("Kind of weight", "gate or coefficient: see the glossary"), ("Pairs", ""),
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


def notes_of(split: SplitView, pair: tuple[str, str], arm: str) -> str:
    """Return what an arm fell back on for a pair, in words."""
    return "; ".join(_of_pair(split.notes, pair, arm)["note"])


def strongest(split: SplitView, pair: tuple[str, str], arm: str, most: int = 8) -> pd.DataFrame:
    """Return the candidates of a pair that changed the prediction of an arm most."""
    rows = _of_pair(split.evidence, pair, arm)
    return rows.sort_values(["effect", "rank"], ascending=[False, True]).head(most)


def _of_pair(table: pd.DataFrame, pair: tuple[str, str], arm: str) -> pd.DataFrame:
    named = (table[CELL_LINE] == pair[0]) & (table[PERTURBATION] == pair[1])
    return table[(table["arm"] == arm) & named]
