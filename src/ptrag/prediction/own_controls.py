"""A user's own control cells, as a bundle needs them: its genes in its order, on its scale.

Whatever had to be done to them is said: columns matched by current symbols, missing genes filled,
counts normalised, cells left out, and where the line stands among the bundle's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.names import BATCH, CELL_LINE, PERTURBATION
from ptrag.cells.labels import ONE_LINE
from ptrag.cells.matrix import Matrix
from ptrag.cells.opening import SYMBOLS_10X, OpenFile, open_cells
from ptrag.cells.recognise import Recogniser, dense, to_log1p
from ptrag.cells.source import matrix_of, read_genes
from ptrag.genes.names import Names, match_line
from ptrag.genes.words import is_control_word, tidy
from ptrag.prediction.lines import Lines, Place, total_of_cells
from ptrag.prediction.prediction import GivenControls

FEWEST = 2
"""Control cells from which a mean and its error can be had."""

ENOUGH = 40
"""Control cells below which the noise of their mean is said."""

MOST_MISSING = 0.5
"""Share of the bundle's genes that may be missing."""

ANOTHER_SPECIES = 0.5
"""Share of names written like Actb above which they are taken for those of a mouse or a rat."""

APART, REFUSED = 2.0, 10.0
"""Factors between the totals of own cells and of the bundle's lines, over the bundle's genes: said
above the first, refused above the second."""

_RODENT = re.compile(r"[A-Z][a-z0-9]*[a-z][a-z0-9-]*")


@dataclass
class OwnControls:
    """Control cells of one line, ready to predict from.

    Attributes
    ----------
    given
        The cells.
    place
        Where the line stands among the bundle's.
    filled
        Genes of the bundle that the file lacks, filled with the mean of the bundle's lines.
    notes
        What was done to the cells, one sentence each.
    """

    given: GivenControls
    place: Place
    filled: list[str]
    notes: list[str] = field(default_factory=list)


def read_controls(
    path: str | Path,
    genes: Sequence[str],
    lines: Lines,
    names: Names,
    *,
    line: str | None = None,
    gene_symbol: str | None = None,
    scale: str = "auto",
) -> OwnControls:
    """Read a file of control cells.

    Parameters
    ----------
    path
        A file of cells (:func:`ptrag.cells.opening.open_cells`); X raw counts, or log1p of counts
        per 10,000. Where obs has ``perturbation``, its controls alone are read; ``batch`` is read
        if it has one.
    genes
        The bundle's.
    lines
        The bundle's.
    names
        How genes are called.
    line
        The cell line of the controls; None: that of obs ``cell_line`` if there is one, else a line
        without a name.
    gene_symbol
        Column of var with the gene symbols; None: the names of var, or the column that plainly has
        symbols where these plainly are none.
    scale
        ``counts`` or ``log1p`` where it is known; ``auto``: it is recognised.

    Raises
    ------
    PtragError
        If the file cannot be read, has too few control cells, lacks most genes, or is on neither
        scale.
    """
    notes: list[str] = []
    with TemporaryDirectory(prefix="ptrag-") as scratch, open_cells(path) as file:
        rows = _control_rows(file, names, notes)
        name, rows = _line_and_rows(file, rows, line, lines, notes)
        _check_number(file.path, len(rows), notes)
        symbols = gene_symbol or (SYMBOLS_10X if file.transposed else None)
        with matrix_of(file, "X", Path(scratch)) as matrix:
            _refuse_rodents(file, symbols)
            own, _, _ = read_genes(file, matrix, names, symbols)
            columns = _columns(file.path, own, genes, notes)
            cells = _cells(matrix, Recogniser(file.path, matrix.key, scale), columns, rows, notes)
        present = columns >= 0
        cells[:, ~present] = lines.mean_profile[~present]
        _check_total(file.path, cells[:, present], lines, present, notes)
        batches = None
        if BATCH in file.obs:
            batches = file.obs[BATCH].astype(str).to_numpy(object)[rows]
        given = GivenControls(name, cells, list(file.obs.index[rows].astype(str)), batches, present)
    place = lines.place(name, given.mean, np.flatnonzero(present))
    filled = [gene for gene, here in zip(genes, present, strict=True) if not here]
    return OwnControls(given, place, filled, [*notes, str(place)])


def _control_rows(file: OpenFile, names: Names, notes: list[str]) -> np.ndarray:
    """Return the rows of control cells: all, or those that obs calls so."""
    every = np.arange(len(file.obs))
    if not len(every):
        raise PtragError(f"{file.path}: holds no cell; give control cells")
    if PERTURBATION not in file.obs:
        return every
    labels = file.obs[PERTURBATION].astype(str)
    words = {label: names.is_control(label) or is_control_word(label) for label in labels.unique()}
    rows = np.flatnonzero(labels.map(words).to_numpy(bool))
    if not len(rows):
        shown = ", ".join(sorted(words)[:3])
        raise PtragError(
            f"{file.path}: no control cells: obs '{PERTURBATION}' has {shown}, ... and no word for "
            "controls; call unperturbed cells 'control' there, or give a file of them alone"
        )
    if len(rows) < len(every):
        notes.append(f"{len(rows)} control cells read, {len(every) - len(rows)} others left out")
    return rows


def _line_and_rows(
    file: OpenFile, rows: np.ndarray, line: str | None, lines: Lines, notes: list[str]
) -> tuple[str, np.ndarray]:
    """Return the name of the line, as the bundle spells it, and the rows of its cells."""
    labels = file.obs[CELL_LINE].iloc[rows].astype(str) if CELL_LINE in file.obs else None
    own = sorted(labels.unique()) if labels is not None else []
    if line is None and len(own) > 1:
        raise PtragError(
            f"{file.path}: obs '{CELL_LINE}' has {len(own)} lines ({', '.join(own[:4])}); say "
            "which one is predicted (cell line)"
        )
    if line is None:
        name = own[0] if own else ONE_LINE
        return match_line(name, lines.names) or tidy(name), rows
    name = match_line(line, lines.names) or tidy(line)
    if (of_file := match_line(line, own)) is not None and len(own) > 1:
        chosen = rows[(labels == of_file).to_numpy()]
        notes.append(f"{len(chosen)} cells of {of_file!r} read, those of other lines left out")
        return name, chosen
    if len(own) > 1:
        raise PtragError(f"{file.path}: no cells of line {line!r}; {did_you_mean(line, own)}")
    return name, rows


def _check_number(path: Path, n: int, notes: list[str]) -> None:
    if n < FEWEST:
        raise PtragError(
            f"{path}: {n} control cell: a mean profile and its error cannot be had from it; give "
            f"at least {FEWEST}, better {ENOUGH} and more"
        )
    if n < ENOUGH:
        notes.append(
            f"only {n} control cells: the noise of their mean is in every profile; {ENOUGH} and "
            "more are better"
        )


def _refuse_rodents(file: OpenFile, column: str | None) -> None:
    """Refuse names like Actb: case aside, many would pass for human genes."""
    var = file.var
    labels = var[column] if column in var else pd.Series(var.index)
    labels = labels.astype(str)
    alike = labels.map(lambda label: _RODENT.fullmatch(label) is not None)
    if len(labels) and alike.mean() > ANOTHER_SPECIES:
        shown = ", ".join(labels[alike].head(3))
        raise PtragError(
            f"{file.path}: gene names such as {shown} are those of a mouse or a rat, and the "
            "bundle's are human; replace them by the symbols of their human orthologues"
        )


def _columns(path: Path, own: Sequence[str], genes: Sequence[str], notes: list[str]) -> np.ndarray:
    """Return the column of each of the bundle's genes, -1 for a missing one."""
    columns = pd.Index(own).get_indexer(list(genes))
    missing = [gene for gene, column in zip(genes, columns, strict=True) if column < 0]
    if len(missing) > MOST_MISSING * len(genes):
        raise PtragError(
            f"{path}: {len(missing)} of the bundle's {len(genes)} genes are missing ({missing[0]}, "
            f"...; the file has {own[0]}, ...): too many to fill; give all measured genes, and "
            "name the var column of their symbols (gene symbol) where var names are ids"
        )
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        notes.append(
            f"{len(missing)} of {len(genes)} genes are missing ({shown}): filled with the mean of "
            "the bundle's lines"
        )
    return columns


def _cells(
    matrix: Matrix, scale: Recogniser, columns: np.ndarray, rows: np.ndarray, notes: list[str]
) -> np.ndarray:
    """Return (rows, genes) float32 on the log1p scale; columns that are missing stay zero."""
    present = columns >= 0
    cells = np.zeros((len(rows), len(columns)), np.float32)
    counts = False
    for start, block in matrix.blocks():
        first, last = np.searchsorted(rows, [start, start + block.shape[0]])
        if first == last:
            continue
        block = block[rows[first:last] - start]
        counts = scale.check(block) == "counts"
        read = to_log1p if counts else dense
        cells[first:last, present] = read(block, columns[present])
    if counts:
        notes.append("X holds raw counts: normalised to 10,000 per cell, then log1p")
    return cells


def _check_total(
    path: Path, cells: np.ndarray, lines: Lines, present: np.ndarray, notes: list[str]
) -> None:
    """Compare the cells' totals over the bundle's genes with those of its lines."""
    linear = np.expm1(lines.control_mean)
    expected = lines.total * linear[:, present].sum(axis=1) / linear.sum(axis=1)
    total = total_of_cells(cells)
    if total == 0:
        raise PtragError(f"{path}: the control cells have nothing of the bundle's genes; all are 0")
    factor = max(total / expected.max(), expected.min() / total)
    message = (
        f"expm1 of a control cell sums to {total:.4g} over the bundle's genes, and to "
        f"{expected.min():.4g} to {expected.max():.4g} in the bundle's lines"
    )
    if factor > REFUSED:
        raise PtragError(
            f"{path}: {message}: another scale; give raw counts of all genes, or log1p of counts "
            "normalised to 10,000 over all genes"
        )
    if factor > APART:
        notes.append(f"{message}: was each cell normalised over all its genes?")
