"""Mean deltas of lines, also without some of the entries: by taking from sums."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ptrag.cells.responses import Responses


@dataclass(frozen=True)
class LineMeans:
    """Sums over the entries of each of L lines.

    Attributes
    ----------
    responses
        The entries.
    totals
        (L, G) sums of deltas.
    counts
        (L,) entries.
    """

    responses: Responses
    totals: np.ndarray
    counts: np.ndarray

    @classmethod
    def of_all(cls, responses: Responses) -> "LineMeans":
        """Sum up all entries."""
        totals = np.zeros((len(responses.lines), len(responses.genes)))
        np.add.at(totals, responses.line_of, responses.delta)
        return cls(responses, totals, np.bincount(responses.line_of, minlength=len(totals)))

    def without(self, rows: Sequence[int] | np.ndarray) -> "LineMeans":
        """Return the sums without some entries."""
        totals, counts = self.totals.copy(), self.counts.copy()
        lines = self.responses.line_of[rows]
        np.subtract.at(totals, lines, self.responses.delta[rows])
        np.subtract.at(counts, lines, 1)
        return replace(self, totals=totals, counts=counts)

    def mean(self, line: int) -> np.ndarray:
        """(G,) mean of a line's entries; of all entries where it has none."""
        if self.counts[line]:
            return self.totals[line] / self.counts[line]
        return self.totals.sum(axis=0) / max(self.counts.sum(), 1)

    def elsewhere(self, line: int) -> np.ndarray:
        """(G,) mean of the means of the other lines with entries; 0 without any."""
        others = self.counts > 0
        others[line] = False
        if not others.any():
            return np.zeros(self.totals.shape[1])
        return (self.totals[others] / self.counts[others, None]).mean(axis=0)


def left_out_line_means(responses: Responses, groups: Sequence[np.ndarray]) -> np.ndarray:
    """(n, G) mean of its line for each entry of ``groups``, without its group.

    As :func:`ptrag.arms.simple.coefficients.line_mean` gives it with the group masked.
    """
    means = LineMeans.of_all(responses)
    left_out = np.empty((sum(map(len, groups)), len(responses.genes)))
    at = 0
    for group in groups:
        rest = means.without(group)
        for line in responses.line_of[group]:
            left_out[at] = rest.mean(line)
            at += 1
    return left_out
