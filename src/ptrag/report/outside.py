"""The report of ``ptrag evaluate``: the workflow's page, of predictions made elsewhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ptrag import __version__
from ptrag.base.files import atomic
from ptrag.base.names import N_CELLS, PAIR, STRENGTH
from ptrag.comparison.contrasts import kind_of
from ptrag.comparison.outside import Compared
from ptrag.report import scores, tables
from ptrag.report.arms import LOOKS, ArmView
from ptrag.report.figure import COLOURS, Look, style
from ptrag.report.gather import Results, SplitView, mean_scores
from ptrag.report.html import page
from ptrag.report.page import SECTIONS
from ptrag.report.split_content import split_content
from ptrag.report.tables import Table, number_cell, text_cell
from ptrag.report.verdict import headline, verdict
from ptrag.report.words import words

SHOWN = ("verdict", "files", "comparison", "contrasts", "pairs", "strata", "glossary")
SUMMARIES = {
    "control": "no change: the given controls",
    "mean_of_others": "the mean response of the line's other scored perturbations",
}


def write_evaluation(
    compared: Compared,
    files: Mapping[str, str | Path],
    notes: Sequence[str],
    challenge: Mapping[str, pd.DataFrame],
    facts: Mapping[str, Any],
    settings: Mapping[str, Any],
    out_html: str | Path,
    date: str,
) -> None:
    """Write the page; it holds everything it shows and loads nothing.

    Parameters
    ----------
    compared
        What the predictions show.
    files
        File of each prediction.
    notes
        What was recognised and converted.
    challenge
        Scores of the 2026 challenge of each prediction
        (:func:`ptrag.evaluation.challenge.context_scores`); empty without counts.
    facts
        ``cells`` and ``lines`` of the real file, and ``sizes``, the cells of each pair.
    settings
        The section ``evaluation``.
    out_html
        The file to write.
    date
        When it is made, in words.
    """
    results = _results(compared, files, facts, settings)
    (split,) = results.splits.values()
    judged = verdict(split)
    outcome, line = headline(results, [judged])
    content = {
        "sections": {key: SECTIONS.get(key, "What was scored") for key in SHOWN},
        "dataset": split.name,
        "simulated": False,
        "manifest": False,
        "made": {"date": date, "version": __version__, "configuration": None},
        "unfolded": [key for key in SHOWN if key != "glossary"],
        "facts": results.facts,
        "outcome": outcome,
        "headline": line,
        "verdicts": [judged],
        "primary": [words(metric) for metric in settings["primary"]],
        "arms": list(results.arms.values()),
        "notes": list(notes),
        "pooled": None,
        "challenge": _challenge(challenge),
        "glossary": tables.glossary(results),
    }
    with style():
        html = page(content | {"splits": [_split(results, split)]})
    with atomic(out_html) as part:
        part.write_text(html, encoding="utf-8")


def _results(
    compared: Compared, files: Mapping[str, str | Path], facts: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Results:  # fmt: skip
    table = compared.scores
    index = pd.MultiIndex.from_frame(table.pairs[PAIR])
    floor, ceiling = (
        pd.DataFrame(ends, index=index, columns=table.metrics).sort_index()
        for ends in (table.floor, table.ceiling)
    )
    measured = {"coverage": float, "coverage_degs": float, "width": float, "support": float}
    nothing = pd.DataFrame(columns=["arm", *PAIR, *measured])
    split = SplitView(
        name=table.split,
        protocol="predicted_pair",
        target=None,
        dropped={},
        role=table.scored_role,
        counts=pd.DataFrame(),
        scores=mean_scores(table, table.pairs.index >= 0, index),
        floor=floor,
        ceiling=ceiling,
        pairs=pd.DataFrame(
            {
                N_CELLS: facts["sizes"].reindex(floor.index),
                STRENGTH: table.pairs.set_index(PAIR)[STRENGTH],
            },
            index=floor.index,
        ),
        history=nothing,
        trainings=[],
        evidence=nothing,
        notes=nothing,
        intervals=nothing,
        audits={},
        strata=compared.tables.strata,
        solved=compared.tables.solved,
        claims=compared.claims,
    )
    return Results(
        home=Path(),
        settings={"evaluation": dict(settings), "dataset": table.split},
        simulated=False,
        facts=dict(facts),
        arms={name: _view(number, name, files) for number, name in enumerate(table.values)},
        splits={split.name: split},
        comparison=compared.tables.comparison,
        coverage={},
    )


def _view(number: int, name: str, files: Mapping[str, str | Path]) -> ArmView:
    baseline = kind_of(name) == "baseline"
    return ArmView(
        name=name,
        kind="baseline" if baseline else "model",
        summary=SUMMARIES[name] if baseline else str(files[name]),
        origin="",
        weighs=False,
        look=LOOKS[name] if baseline else Look(COLOURS[number % len(COLOURS)]),
        seeds=(),
    )


def _split(results: Results, split: SplitView) -> dict[str, Any]:
    """Return what the page shows of the pairs."""
    every = scores.pairs_of(split, split.claims.metric, list(results.arms))
    return split_content(results, split) | {"all_pairs": every}


def _challenge(challenge: Mapping[str, pd.DataFrame]) -> Table | None:
    """Predictions × members, with the score of each line."""
    if not challenge:
        return None
    first = next(iter(challenge.values()))
    members = [*first.columns[2:]]
    table = Table(
        caption="The score of the 2026 challenge, and the place of each of its members, from the "
        "mean response of the context (0) to a replicate (1)",
        columns=[("Prediction", ""), ("Cell line", ""), ("Score", "mean of the six places"),
                 *((words(m).label.removeprefix("VCC 2026 "), words(m).text) for m in members)],
    )  # fmt: skip
    for name, of_name in challenge.items():
        for row in of_name.itertuples(index=False):
            table.rows.append([text_cell(name), text_cell(row[0]),
                               *(number_cell(value, 3) for value in row[1:])])  # fmt: skip
    return table
