"""Counts from log1p values, exactly: a cell's values are whole multiples of one unit.

A value x = log1p(c k / N) of a cell with N counts in all, k of them of the gene, is
k = expm1(x) / u with the cell's unit u = c / N. The unit is known from the cell's total; without
it, u is the smallest positive value by a small whole number, the one that makes all of the cell's
values whole multiples. A cell that has no such unit (values that were corrected or imputed) has
pseudo-counts: multiples of its smallest positive value, rounded.
"""

import numpy as np

from ptrag.base.names import TARGET_TOTAL

MOST_IN_SMALLEST = 5
"""So many counts may be behind the smallest positive value of a cell."""

_WHOLE = 0.02  # from a whole number, of values that are multiples; float32 keeps them closer


def count_units(cells: np.ndarray, totals: np.ndarray | None = None) -> np.ndarray:
    """Return what one count of each cell is worth before the logarithm.

    Parameters
    ----------
    cells
        (n, G) nonnegative values on the log1p scale.
    totals
        (n,) counts of each cell over all genes of its source, where they are known: the unit is
        :data:`ptrag.base.names.TARGET_TOTAL` / total then.

    Returns
    -------
    units
        (n,) float64, positive. A cell without any count has the median unit of the others (1 where
        there is no other).
    """
    if totals is not None and (np.asarray(totals) > 0).all():
        return TARGET_TOTAL / np.asarray(totals, np.float64)
    units = np.array([_unit(np.expm1(row[row > 0].astype(np.float64))) for row in cells])
    known = units[np.isfinite(units)]
    return np.where(np.isfinite(units), units, np.median(known) if len(known) else 1.0)


def to_counts(cells: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the (n, G) int64 counts of log1p cells, of a positive value at least one."""
    counts = np.rint(np.expm1(cells, dtype=np.float64) / units[:, None]).astype(np.int64)
    return np.maximum(counts, np.asarray(cells) > 0)


def to_log1p(counts: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the (n, G) float32 log1p values of counts, log1p(u k)."""
    return np.log1p(counts * units[:, None]).astype(np.float32)


def _unit(values: np.ndarray) -> float:
    """Return the unit of one cell's positive values before the logarithm; NaN without any."""
    if not len(values):
        return np.nan
    smallest = values.min()
    for number in range(1, MOST_IN_SMALLEST + 1):
        counts = values * (number / smallest)
        whole = np.rint(counts)
        if np.abs(counts - whole).max() < _WHOLE:
            unit = (values @ whole) / (whole @ whole)
            total = TARGET_TOTAL / unit
            near = np.abs(total - np.rint(total)) < _WHOLE
            return TARGET_TOTAL / np.rint(total) if near and total > 0.5 else unit
    return smallest
