"""Counts from log1p values, exactly: a cell's values are whole multiples of one unit.

In a cell with N counts in all, k counts of a gene are the value x = log1p(u k) with the unit
u = c / N, whatever c cells were normalised to. The unit is the smallest positive expm1(x) over the
smallest whole number that makes all values of the cell whole multiples, so that no total has to be
kept. (Counts of a cell that all have a common divisor come back divided by it.) A cell that has no
such unit, because its values were corrected or imputed, has pseudo-counts: its values in multiples
of the smallest, rounded.
"""

import numpy as np

from ptrag.base.names import TARGET_TOTAL

MOST_IN_SMALLEST = 64
"""So many counts may be behind the smallest positive value of a cell."""

_WHOLE = 0.01  # from a whole number, of multiples of a unit; float32 keeps them closer
_SAME = 1e-6  # relative difference of units that float32 cannot tell apart


def count_units(cells: np.ndarray) -> np.ndarray:
    """Return what one count of each cell is worth before the logarithm.

    Parameters
    ----------
    cells
        (n, G) nonnegative values on the log1p scale.

    Returns
    -------
    units
        (n,) float64, positive. A cell without any count has the median unit of the others (1 where
        there is no other).
    """
    units = np.array([_unit(np.expm1(row[row > 0].astype(np.float64))) for row in cells])
    known = units[np.isfinite(units)]
    return np.where(np.isfinite(units), units, np.median(known) if len(known) else 1.0)


def to_counts(cells: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the counts behind (n, G) log1p values, the nearest whole numbers.

    Parameters
    ----------
    cells
        (n, G) log1p of counts of these units.
    units
        (n,) what one count of each cell is worth: :func:`count_units`, or
        :data:`ptrag.base.names.TARGET_TOTAL` over its counts in all where they are known.

    Returns
    -------
    counts
        (n, G) whole numbers of the type of ``cells``.
    """
    counts = np.expm1(np.asarray(cells))
    counts /= units[:, None].astype(counts.dtype)
    return np.rint(counts, out=counts)


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
            total = max(np.rint(TARGET_TOTAL / unit), 1.0)  # a whole number, if this is the target
            exact = TARGET_TOTAL / total
            return exact if abs(unit / exact - 1) < _SAME else unit
    return smallest
