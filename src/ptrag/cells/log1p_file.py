"""A file of cells that somebody hands to a command: labels, genes, and checked log1p blocks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ptrag.base.errors import PtragError
from ptrag.base.names import BATCH, CELL_LINE, CONTROL, PAIR, PERTURBATION, TARGET_TOTAL
from ptrag.cells.labels import ONE_LINE, read_labels
from ptrag.cells.matrix import Block, Matrix, Rows, in_threads
from ptrag.cells.opening import SYMBOLS_10X, OpenFile, open_cells
from ptrag.cells.recognise import Recogniser
from ptrag.cells.scale import ScaleCheck
from ptrag.cells.source import matrix_of, read_genes
from ptrag.genes.names import Names, match_line


class Log1pFile:
    """An open file of cells on the log1p scale, or of counts where these are admitted.

    Attributes
    ----------
    path
        The file.
    labels
        cell_line and perturbation of each cell in the project's names; batch where there is one.
    cells
        (n,) names of the cells.
    genes
        Current symbols of the columns.
    total
        After :meth:`blocks`: the median over cells of the sum of expm1.
    totals
        (n,) counts of each cell where the file holds counts, which :meth:`blocks` turns into log1p
        of counts per 10,000; else None.
    """

    def __init__(
        self, path: Path, labels: pd.DataFrame, genes: list[str], matrix: Matrix, counts: bool
    ) -> None:
        self.path, self.genes, self._matrix = path, genes, matrix
        self._scale = Recogniser(path, matrix.key)
        self.totals = _totals(matrix) if counts and self._holds_counts() else None
        self.cells = labels.index.astype(str).to_numpy(object)
        self.labels = labels.reset_index(drop=True)
        self.total = float("nan")

    @property
    def has_counts(self) -> bool:
        """Whether the file holds counts."""
        return self.totals is not None

    @property
    def treated(self) -> np.ndarray:
        """Rows of perturbed cells."""
        return np.flatnonzero(self.labels[PERTURBATION] != CONTROL)

    def pairs(self) -> pd.DataFrame:
        """Pairs of perturbed cells, sorted, with their number of cells."""
        treated = self.labels.iloc[self.treated]
        return treated.value_counts(PAIR).sort_index().reset_index()

    def speak_as(self, other: "Log1pFile", names: Names) -> None:
        """Take the spelling of another file for the lines and perturbations that both have."""
        lines = {
            line: match_line(line, other.labels[CELL_LINE].unique()) or line
            for line in self.labels[CELL_LINE].unique()
        }
        own = self.labels[PERTURBATION].unique()
        common = names.match(own, other.labels[PERTURBATION].unique())
        self.labels[CELL_LINE] = self.labels[CELL_LINE].map(lines)
        self.labels[PERTURBATION] = self.labels[PERTURBATION].map(
            {name: common.get(name, name) for name in own}
        )

    def blocks(self, threads: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (rows, dense float32 cells), checked as they go by, the scale at the end.

        Parameters
        ----------
        threads
            Blocks converted at once, while the next one is read.

        Raises
        ------
        PtragError
            For values that no log1p has, counts, or lines on different scales.
        """
        untreated = (self.labels[PERTURBATION] == CONTROL).to_numpy()
        scale = ScaleCheck(
            self.path, self._matrix.key, self.labels[CELL_LINE], self.genes, untreated
        )

        def checked(start: int, block: Block) -> tuple[np.ndarray, np.ndarray]:
            dense = self._dense(start, block)
            scale.add(start, dense)
            return np.arange(start, start + len(dense)), dense

        yield from in_threads(checked, self._matrix.blocks(), threads)
        if len(self.labels):
            scale.check_log1p()
            scale.check_controls()
            self.total = scale.total()

    def _holds_counts(self) -> bool:
        """Whether the first block holds counts."""
        return any(
            self._scale.check(block) == "counts" for _, block in islice(self._matrix.blocks(), 1)
        )

    def _dense(self, start: int, block: Block) -> np.ndarray:
        if self.has_counts:
            block = self._normalised(start, block)
        dense = np.asarray(block.toarray() if sp.issparse(block) else block, np.float32)
        if not np.isfinite(dense).all() or dense.min(initial=0) < 0:
            raise PtragError(
                f"{self.path}: {self._matrix.key} has negative, missing or infinite values; "
                "log1p expression has none"
            )
        return dense

    def _normalised(self, start: int, counts: Block) -> Block:
        """log1p of counts per 10,000, sparse as the file is; zeros stay zeros."""
        self._scale.check(counts)
        block = sp.csr_matrix(counts, dtype=np.float32)
        totals = self.totals[start : start + block.shape[0]]
        factors = (TARGET_TOTAL / np.where(totals > 0, totals, 1.0)).astype(np.float32)
        block.data *= np.repeat(factors, np.diff(block.indptr))
        np.log1p(block.data, out=block.data, where=block.data > -1)
        return block


def _totals(matrix: Matrix) -> np.ndarray:
    sums = [np.asarray(block.sum(axis=1, dtype=np.float64)).ravel() for _, block in matrix.blocks()]
    return np.concatenate(sums)


@contextmanager
def open_log1p(
    path: str | Path,
    scratch: Path,
    names: Names,
    columns: Mapping[str, Any] | None = None,
    look_for_targets: bool = True,
    counts: bool = False,
) -> Iterator[Log1pFile]:
    """Open a file of cells whose X is log1p.

    Parameters
    ----------
    path
        A file of cells, as :func:`ptrag.cells.opening.open_cells` reads it.
    scratch
        A folder for temporary files.
    names
        How labels and columns are read.
    columns
        obs columns ``perturbation`` and, optional, ``cell_line``; optional, the var column
        ``gene_symbol``. Without ``perturbation`` every cell is a control of one line.
    look_for_targets
        Whether it matters that the perturbed genes have a column.
    counts
        Whether X may hold counts instead.

    Raises
    ------
    PtragError
        If the file cannot be read, or lacks a column or the matrix.
    """
    columns = dict(columns or {})
    symbols = columns.pop("gene_symbol", None)
    with open_cells(path) as file:
        symbols = symbols or (SYMBOLS_10X if file.transposed else None)
        labels, rows = _labels(file, columns, names)
        targets = set(labels[PERTURBATION]) if look_for_targets else set()
        with matrix_of(file, "X", scratch) as matrix:
            genes, _, _ = read_genes(file, matrix, names, symbols, targets)
            if len(rows) < matrix.shape[0]:
                matrix = Rows(matrix, rows)
            yield Log1pFile(file.path, labels, genes, matrix, counts)


def _labels(
    file: OpenFile, columns: Mapping[str, str], names: Names
) -> tuple[pd.DataFrame, np.ndarray]:
    if PERTURBATION in columns:
        read = read_labels(file.path, file.obs, {"columns": columns}, names, _as_option)
        return read.obs[PAIR], read.rows
    labels = pd.DataFrame({CELL_LINE: ONE_LINE, PERTURBATION: CONTROL}, index=file.obs.index)
    if BATCH in file.obs:
        labels[BATCH] = file.obs[BATCH].astype(str)
    return labels, np.arange(len(labels))


def _as_option(key: str) -> str:
    return "--" + key.replace("_", "-")
