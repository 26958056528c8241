"""The pairs of ``predict:``: nobody measured them, and the bundle of every arm predicts them."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.files import read_table
from ptrag.base.names import PAIR, Pair, Run
from ptrag.cells.store import CellStore
from ptrag.genes.names import Names, match_line
from ptrag.genes.symbols import GENE_TEXT, Symbols
from ptrag.prediction.asked import refuse_no_genes, resolve
from ptrag.prediction.bundle import Bundle
from ptrag.prediction.files import PredictionFiles
from ptrag.prediction.pairs import predict_pairs
from ptrag.prediction.prediction import GivenControls

SHOWN = 5

logger = logging.getLogger("ptrag")


def named_pairs(section: Mapping[str, Any]) -> list[Pair]:
    """Return the pairs that a ``predict:`` names, as they are spelt there, each once.

    Parameters
    ----------
    section
        ``lines`` and ``perturbations``, each of these in each of those; or ``file``, a table.

    Raises
    ------
    PtragError
        If the table lacks a column or names no pair.
    """
    if "file" not in section:
        return [Pair(line, name) for line in section["lines"] for name in section["perturbations"]]
    path = section["file"]
    table = read_table(path, dtype=str)
    if missing := [column for column in PAIR if column not in table]:
        remedy = did_you_mean(missing[0], table)
        raise PtragError(f"{path}: has no column {missing[0]!r}; {remedy}")
    table = table[PAIR].dropna().drop_duplicates()
    if table.empty:
        raise PtragError(f"{path}: names no pair; write a cell line and a perturbation a row")
    return [Pair(*pair) for pair in table.itertuples(index=False)]


def predict_unmeasured(
    bundle: Bundle, store: CellStore, asked: Sequence[Pair], n_cells: int, files: PredictionFiles
) -> pd.DataFrame:
    """Predict pairs that the store has not measured.

    What the arm knows nothing of is predicted by the mean response of the line and marked, so that
    all arms predict the same pairs.

    Parameters
    ----------
    bundle
        What predicts.
    store
        The cells; of a line controls alone are needed.
    asked
        Pairs, by any of their names. Measured ones are left out: what an arm says of those that
        are held out stands with the scores.
    n_cells
        Cells of each pair.
    files
        To write.

    Returns
    -------
    summary
        As :mod:`ptrag.prediction.summary` describes it.

    Raises
    ------
    PtragError
        For an unknown line, a name that is no gene, or if every pair was measured.
    """
    names = Names(Symbols.read(GENE_TEXT))
    labels = list(dict.fromkeys(pair.perturbation for pair in asked))
    refuse_no_genes(labels, bundle, names)
    current = {label: resolve([label], bundle, names, allow_fallback=True) for label in labels}
    lines = {pair.cell_line: _line(pair.cell_line, store) for pair in asked}
    pairs = _not_measured(
        [Pair(lines[line], current[label].names[0]) for line, label in asked], store
    )
    controls = {
        line: GivenControls.of_store(store, line)
        for line in dict.fromkeys(pair.cell_line for pair in pairs)
    }
    for line, given in controls.items():
        bundle = bundle.with_line(line, given.cells)
    fallback = frozenset(name for of in current.values() for name in of.fallback)
    return predict_pairs(bundle, pairs, controls, n_cells, files, fallback)


def tabulate(runs: Sequence[tuple[Run, Path]]) -> pd.DataFrame:
    """Return the summaries of all runs as one table, split, arm and seed in front.

    Parameters
    ----------
    runs
        Each run with its ``summary.tsv``.
    """
    tables = []
    for run, path in runs:
        table = read_table(path, dtype=dict.fromkeys(PAIR, str))
        for at, (name, value) in enumerate(vars(run).items()):
            table.insert(at, name, value)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _not_measured(asked: Sequence[Pair], store: CellStore) -> list[Pair]:
    every = list(dict.fromkeys(asked))
    measured = {Pair(*pair) for pair in store.pairs[PAIR].itertuples(index=False)}
    pairs = [pair for pair in every if pair not in measured]
    if not pairs:
        raise PtragError(
            f"predict: all {len(every)} pairs were measured; name lines or perturbations that were "
            "not"
        )
    if len(pairs) < len(every):
        left = [f"{name} in {line}" for line, name in every if Pair(line, name) in measured]
        logger.info("%d of %d pairs were measured and are left out here (%s)", len(left),
                    len(every), ", ".join(left[:SHOWN]))  # fmt: skip
    return pairs


def _line(label: str, store: CellStore) -> str:
    line = match_line(label, store.lines)
    if line is None:
        raise PtragError(
            f"predict: no line {label!r} in the screen; {did_you_mean(label, store.lines)} Of a "
            "line control cells are needed"
        )
    return line
