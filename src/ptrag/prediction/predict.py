"""Predict from somebody's own control cells: any gene that a bundle knows of, in any line."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ptrag.base.errors import PtragError
from ptrag.base.names import Pair
from ptrag.genes.names import Names
from ptrag.genes.symbols import GENE_TEXT, Symbols
from ptrag.prediction.asked import all_genes, resolve
from ptrag.prediction.bundle import Bundle
from ptrag.prediction.counts_file import COUNTS, add_counts, write_vcc2026
from ptrag.prediction.files import PredictionFiles
from ptrag.prediction.lines import LEVELS, Place
from ptrag.prediction.own_controls import read_controls
from ptrag.prediction.pairs import predict_pairs

logger = logging.getLogger("ptrag")


class Report(NamedTuple):
    """What was predicted, and what had to be done for it.

    Attributes
    ----------
    files
        What was written.
    summary
        One row per perturbation (:mod:`ptrag.prediction.summary`).
    place
        Where the line stands among the bundle's.
    notes
        What was converted, filled, renamed, and what fell back; one sentence each.
    """

    files: PredictionFiles
    summary: pd.DataFrame
    place: Place
    notes: list[str]

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        levels = Counter(self.summary["level"])
        counted = ", ".join(f"{levels[level]} {level}" for level in LEVELS if levels[level])
        written = [str(path) for path in self.files if path is not None]
        done = f"{len(self.summary)} perturbations predicted in line {self.place.line!r}: {counted}"
        return [*self.notes, done, "written: " + ", ".join(written)]


def predict_own(
    bundle: Bundle,
    controls: str | Path,
    perturbations: Sequence[str] | None,
    files: PredictionFiles,
    *,
    line: str | None = None,
    n_cells: int | None = None,
    gene_symbol: str | None = None,
    scale: str = "auto",
    allow_fallback: bool = False,
    counts: bool = False,
    vcc2026: Path | None = None,
) -> Report:
    """Predict perturbations from a file of control cells of one line.

    The workflow predicts by the same call: from the given controls of a line, in the store's
    order, the same profile and cells come out as those that were scored.

    Parameters
    ----------
    bundle
        What :func:`ptrag.prediction.loading.load_bundle` or :func:`ptrag.prediction.own_screen`
        gave.
    controls
        A file of cells (:func:`ptrag.prediction.own_controls.read_controls`).
    perturbations
        Genes by any of their names, doubles as ``A+B``; None: every gene that the bundle knows
        something of.
    files
        To write.
    line
        The cell line that the controls are of; a line that the bundle has not is predicted from
        the others.
    n_cells
        Cells of each perturbation; None: one for each control.
    gene_symbol
        Column of var with the gene symbols.
    scale
        ``auto``, ``counts`` or ``log1p``.
    allow_fallback
        Whether what the bundle knows nothing of is predicted by the mean response of the line.
    counts
        Whether the file of cells gets a layer of whole counts.
    vcc2026
        A file to write the cells to in the layout of the 2026 Virtual Cell Challenge; None: none.

    Raises
    ------
    PtragError
        If the controls cannot be used, or a perturbation is unknown.
    """
    names = Names(Symbols.read(GENE_TEXT))
    if perturbations is None:
        perturbations = all_genes(bundle, names)
    if not perturbations:
        raise PtragError("no perturbation is named; name at least one gene")
    asked = resolve(perturbations, bundle, names, allow_fallback)
    own = read_controls(
        controls, bundle.genes, bundle.lines, names, line=line, gene_symbol=gene_symbol, scale=scale
    )
    given = own.given
    logger.info("%s", own.place)
    ready = bundle.with_line(given.line, given.cells)
    pairs = [Pair(given.line, name) for name in asked.names]
    summary = predict_pairs(
        ready, pairs, {given.line: given}, n_cells, files, frozenset(asked.fallback)
    )
    notes = [*own.notes, *asked.notes]
    if counts:
        add_counts(files.cells, {given.line: given})
        notes.append(f"whole counts: layers['{COUNTS}'] of {files.cells}")
    if vcc2026 is not None:
        write_vcc2026(files.cells, {given.line: given}, vcc2026)
        notes.append(f"layout of the 2026 Virtual Cell Challenge: {vcc2026}")
    return Report(files, summary, own.place, notes)


def listed_perturbations(path: str | Path) -> list[str]:
    """Read perturbations from a file, one a line; ``#`` begins a remark.

    Raises
    ------
    PtragError
        If the file cannot be read as text, or names none.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise PtragError(f"{path}: is no text file; write one perturbation a line") from None
    named = [line.partition("#")[0].strip() for line in text.splitlines()]
    if not any(named):
        raise PtragError(f"{path}: names no perturbation; write one a line")
    return [name for name in named if name]
