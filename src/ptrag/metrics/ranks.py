"""Mann-Whitney's U of many samples against one set of controls, which is sorted once.

For each gene the controls are sorted when they are first seen. A sample is then set against them by
merging: its n values are sorted, and each distinct one finds its place among the m controls by a
search that starts where the last one ended. That is n log n + n log m steps a gene and sample
instead of the (n + m) log (n + m) of ranking both together, with the same U and ties to the bit.
"""

from typing import NamedTuple

import numpy as np
from numba import njit


class SortedControls(NamedTuple):
    """Control cells, each gene sorted by itself.

    Attributes
    ----------
    values
        (G, m) ascending along the second axis, in the type of the cells.
    ties
        (G,) Σ (t³ − t) over the groups of equal values.
    """

    values: np.ndarray
    ties: np.ndarray

    @classmethod
    def of(cls, cells: np.ndarray) -> "SortedControls":
        """Sort (m, G) ``cells``, float32 or float64."""
        values = _by_gene(cells)
        ties = np.empty(len(values))
        _ties(values, ties)
        return cls(values, ties)

    @property
    def n(self) -> int:
        """Number of cells."""
        return self.values.shape[1]

    def u_and_ties(self, sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Set a sample against the controls.

        Parameters
        ----------
        sample
            (n, G) cells, compared in the type of the controls.

        Returns
        -------
        u
            (G,) pairs of a cell of the sample and a control in which the sample's value is larger,
            those of equal values counted half.
        ties
            (G,) Σ (t³ − t) over the groups of equal values of both together.
        """
        u, ties = np.empty((2, len(self.values)))
        _merge(_by_gene(sample.astype(self.values.dtype, copy=False)), *self, u, ties)
        return u, ties


def _by_gene(cells: np.ndarray) -> np.ndarray:
    """(G, n) of (n, G) cells, sorted along the second axis; −0 becomes 0."""
    values = np.array(np.asarray(cells).T, order="C")
    values += 0.0
    values.sort(axis=1)
    return values


@njit(nogil=True, cache=True)
def _ties(values, ties):  # pragma: no cover - compiled
    genes, m = values.shape
    for g in range(genes):
        total, first = 0.0, 0
        for i in range(1, m + 1):
            if i == m or values[g, i] != values[g, first]:
                t = float(i - first)
                total += t * t * t - t
                first = i
        ties[g] = total


@njit(nogil=True, cache=True)
def _place(row, value, low, or_equal):  # pragma: no cover - compiled
    """First position from ``low`` on whose value is larger than ``value`` (or as large)."""
    m, step = len(row), 1
    high = low
    while high < m and (row[high] < value or (not or_equal and row[high] == value)):
        low = high + 1
        high += step
        step *= 2
    high = min(high, m)
    while low < high:
        middle = (low + high) // 2
        if row[middle] < value or (not or_equal and row[middle] == value):
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, cache=True)
def _merge(sample, controls, controls_ties, u, ties):  # pragma: no cover - compiled
    genes, n = sample.shape
    for g in range(genes):
        larger, tied = 0.0, controls_ties[g]
        at = first = 0
        while first < n:
            value, last = sample[g, first], first + 1
            while last < n and sample[g, last] == value:
                last += 1
            start = _place(controls[g], value, at, True)
            at = _place(controls[g], value, start, False)
            s, c = float(last - first), float(at - start)
            larger += s * (start + 0.5 * c)
            t = s + c
            tied += (t * t * t - t) - (c * c * c - c)
            first = last
        u[g], ties[g] = larger, tied
