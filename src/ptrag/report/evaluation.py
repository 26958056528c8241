"""``ptrag evaluate``: score predictions, compare them, write table and page, say what they show."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ptrag.base.defaults import STATISTICS
from ptrag.base.files import write_table
from ptrag.comparison.outside import compare_predictions, named
from ptrag.evaluation.challenge import context_scores
from ptrag.evaluation.files import Evaluated, evaluate_several, summary
from ptrag.report.numbers import now_in_words
from ptrag.report.outside import write_evaluation


def evaluate(
    real: Path, predicted: Sequence[Path], out: Path, page: Path | None, **options: Any
) -> Iterator[str]:
    """Score and compare, and yield what to print.

    Parameters
    ----------
    real, predicted
        Files of cells.
    out
        The table to write; with a column ``prediction`` where there are several.
    page
        The HTML to write, if any.
    options
        Of :func:`ptrag.evaluation.files.evaluate_several`.
    """
    files = named(predicted)
    compared = len(files) > 1 or page is not None
    evaluated = evaluate_several(real, files, baselines=compared, **options)
    yield from evaluated.notes
    several = len(files) > 1
    tables = [
        table.assign(prediction=name) if several else table
        for name, table in evaluated.tables.items()
    ]
    write_table(pd.concat(tables), out)
    for name, table in evaluated.tables.items():
        yield f"\n{name}" if several else ""
        yield summary(table)
    challenge = _challenge(evaluated)
    for name, scores in challenge.items():
        yield f"\nscore of the 2026 challenge, {name}\n{scores.to_string(index=False)}"
    if compared:
        yield from _compared(real.name, files, evaluated, challenge, page)
    yield f"every pair: {out}"


def _challenge(evaluated: Evaluated) -> dict[str, pd.DataFrame]:
    if not evaluated.has_counts:
        return {}
    return {name: context_scores(table) for name, table in evaluated.tables.items()}


def _compared(
    name: str, files: Mapping[str, Path], evaluated: Evaluated,
    challenge: Mapping[str, pd.DataFrame], page: Path | None,
) -> Iterator[str]:  # fmt: skip
    compared = compare_predictions(evaluated.tables, evaluated.baselines, name, STATISTICS)
    yield f"\n{compared.words()}"
    if page is not None:
        facts = {
            "cells": evaluated.n_cells, "lines": evaluated.lines, "sizes": evaluated.sizes
        }  # fmt: skip
        write_evaluation(
            compared, files, evaluated.notes, challenge, facts, STATISTICS, page, now_in_words()
        )  # fmt: skip
        yield f"report: {page}"
