"""Tables of what was retrieved, what weight it got and what it did."""

from ptrag.base.names import CELL_LINE, PAIR, PERTURBATION
from ptrag.report.arms import ArmView
from ptrag.report.gather import Results, SplitView
from ptrag.report.numbers import number
from ptrag.report.tables import Cell, Table, number_cell, share, text_cell


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
            & (table[CELL_LINE] == pair[0])
            & (table[PERTURBATION] == pair[1])
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
                number_cell(row.similarity, 3, bar=share(row.similarity)),
                number_cell(
                    row.gate, 3, bar=share(abs(row.gate) / largest),
                    mark="negative" if row.gate < 0 else "",
                ),
                number_cell(row.effect, bar=share(row.effect / top)),
            ]
        )  # fmt: skip
    return table
