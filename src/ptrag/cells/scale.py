"""The one check of what scale expression is on, line by line, while its blocks go by.

Counts are whole numbers. log1p values are logarithms of counts divided to one total per cell, so
that expm1 of a cell's genes sums to about the same in every line. What cannot be so is refused with
the line, the number and the remedy; genes that no cell of a line has though other lines do are
counted: zeros from a join of studies are no measurement.
"""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ptrag.base.errors import PtragError
from ptrag.cells.matrix import Block

HIGHEST_LOG1P = 20.0
"""log1p of anything a cell can hold is below this."""

NEAR, APART = 5.0, 25.0
"""Factors between the totals of two lines on a selection of genes: said above the first, for lines
differ in how much they express of it; above the second, no biology explains it."""

SAME_TOTAL = 0.01
"""Relative spread of the totals of a line's cells below which all were divided to one total."""

EXPECTED = 10.0
"""So many cells of a line must lack a gene that others have before it counts as unmeasured."""

NORMALISE = "normalise with scanpy.pp.normalize_total(target_sum=1e4), then scanpy.pp.log1p"

_SAMPLED = 64  # cells of each line in each block whose totals are taken

logger = logging.getLogger("ptrag")


class ScaleCheck:
    """What is seen of each line's expression.

    Parameters
    ----------
    path, key
        The file and the matrix, for messages.
    lines
        (cells,) cell line of each cell.
    genes
        Names of the columns.
    controls
        (cells,) whether a cell is a control.
    """

    def __init__(
        self,
        path: Path,
        key: str,
        lines: Sequence[str],
        genes: Sequence[str],
        controls: np.ndarray,
    ) -> None:
        self.path, self.key, self.genes = path, key, list(genes)
        self.lines, self._codes = np.unique(np.asarray(lines, dtype=object), return_inverse=True)
        self._controls = controls
        shape = (len(self.lines), len(self.genes))
        self.detected = np.zeros(shape, np.int64)
        self.cells = np.zeros(len(self.lines), np.int64)
        self._control_sums = np.zeros(len(self.lines))
        self._whole = np.ones(len(self.lines), bool)
        self._highest = np.zeros(len(self.lines))
        self._totals: list[list[np.ndarray]] = [[] for _ in self.lines]
        self._totals_of_2: list[list[np.ndarray]] = [[] for _ in self.lines]
        self._lock = threading.Lock()

    def add(self, start: int, block: Block) -> None:
        """Look at a block of cells from ``start`` on, (n, genes), as the file has them."""
        codes = self._codes[start : start + block.shape[0]]
        untreated = self._controls[start : start + block.shape[0]]
        for code in np.unique(codes):
            rows = np.flatnonzero(codes == code)
            part = block if len(rows) == len(codes) else block[rows]
            sample = part[:: max(1, len(rows) // _SAMPLED)]
            sample = np.asarray(sample.toarray() if sp.issparse(sample) else sample, np.float64)
            capped = np.minimum(sample, HIGHEST_LOG1P)
            whole = bool((sample == np.rint(sample)).all())
            sums = float(part[untreated[rows]].sum(dtype=np.float64))
            with self._lock:
                self.cells[code] += len(rows)
                self.detected[code] += _detected(part)
                self._control_sums[code] += sums
                self._whole[code] &= whole
                self._highest[code] = max(self._highest[code], part.max() if part.shape[0] else 0.0)
                self._totals[code].append(np.expm1(capped).sum(axis=1))
                self._totals_of_2[code].append((np.exp2(capped) - 1).sum(axis=1))

    def total(self) -> float:
        """Return the median over all cells looked at of the sum of expm1."""
        return float(np.median(np.concatenate([part for of in self._totals for part in of])))

    def check_log1p(self) -> None:
        """Refuse what is not log1p of counts divided to one total.

        Raises
        ------
        PtragError
            For counts, values too high for a logarithm, another base, or lines of other totals.
        """
        for line, whole, highest in zip(self.lines, self._whole, self._highest, strict=True):
            counts = bool(whole) and highest > 1
            if counts or highest > HIGHEST_LOG1P:
                values = (
                    f"whole numbers up to {highest:g}" if counts else f"values up to {highest:g}"
                )
                kind = "counts" if counts else "no log1p"
                of = f" in line '{line}'" if len(self.lines) > 1 else ""
                raise PtragError(
                    f"{self.path}: {self.key} holds {kind} ({values}){of}; it must be log1p: "
                    f"{NORMALISE}"
                )
        self._check_base()
        self._check_totals()

    def check_controls(self) -> None:
        """Refuse a line whose controls have no expression at all.

        Raises
        ------
        PtragError
            That names the line.
        """
        for code in np.unique(self._codes[self._controls]):
            if self._control_sums[code] == 0:
                raise silent_controls(self.path, self.key, self.lines[code])

    def unmeasured(self) -> dict[str, list[str]]:
        """Return, per line, the genes that none of its cells has though it should, if measured."""
        rate = np.where(self.cells > 0, 1 / np.maximum(self.cells, 1), 0)[:, None] * self.detected
        expected = self.cells[:, None] * rate.max(axis=0)[None, :]
        lost = (self.detected == 0) & (expected > EXPECTED)
        return {
            str(line): [self.genes[i] for i in np.flatnonzero(row)]
            for line, row in zip(self.lines, lost, strict=True)
            if row.any()
        }

    def warn_unmeasured(self) -> None:
        """Say which lines lack genes that others have."""
        for line, genes in self.unmeasured().items():
            logger.warning(
                "%s: %d of %d genes have no value in any cell of line '%s', though other lines "
                "have them (%s): they were not measured there, and zeros would be taught and "
                "scored; leave these genes out of the file",
                self.path, len(genes), len(self.genes), line,
                ", ".join(genes[:3]) + (", ..." if len(genes) > 3 else ""),
            )  # fmt: skip

    def _check_base(self) -> None:
        for line, totals, of_2 in zip(self.lines, self._totals, self._totals_of_2, strict=True):
            if _spread(of_2) < SAME_TOTAL < 2 * SAME_TOTAL < _spread(totals):
                raise PtragError(
                    f"{self.path}: {self.key}: line '{line}' is in logarithms to base 2 (2^x - 1 "
                    f"of a cell sums to {np.median(np.concatenate(of_2)):.4g}); multiply by ln 2"
                )

    def _check_totals(self) -> None:
        medians = np.array([np.median(np.concatenate(of)) if of else np.nan for of in self._totals])
        if len(medians) < 2 or not np.isfinite(medians).any():
            return
        low, high = int(np.nanargmin(medians)), int(np.nanargmax(medians))
        even = max(_spread(self._totals[low]), _spread(self._totals[high])) < SAME_TOTAL
        factor = medians[high] / medians[low] if medians[low] else np.inf
        message = (
            f"{self.path}: {self.key}: expm1 of a cell sums to {medians[low]:.4g} in "
            f"'{self.lines[low]}' and to {medians[high]:.4g} in '{self.lines[high]}'"
        )
        if factor > (1 + 10 * SAME_TOTAL if even else APART):
            raise PtragError(
                f"{message}: they are on other scales; divide the counts of all to one total, then "
                "log1p"
            )
        if factor > NEAR:
            logger.warning("%s; check that both were divided to one total", message)


def silent_controls(path: Path, key: str, line: str) -> PtragError:
    """Return the error of a line whose control cells are all zero."""
    return PtragError(
        f"{path}: {key}: the control cells of line '{line}' have no counts at all, and effects are "
        "measured against them; mend the file, or leave the line out"
    )


def _detected(block: Block) -> np.ndarray:
    """Return the number of cells that have each gene."""
    if sp.issparse(block):
        return np.bincount(block.indices[block.data > 0], minlength=block.shape[1])
    return np.count_nonzero(block, axis=0)


def _spread(totals: list[np.ndarray]) -> float:
    """Return the relative standard deviation of the totals of cells that have any."""
    values = np.concatenate(totals) if totals else np.empty(0)
    values = values[values > 0]
    return float(values.std() / values.mean()) if len(values) > 1 else float("inf")
