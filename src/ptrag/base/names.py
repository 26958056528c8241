"""The names that files, tables and modules share: columns, labels, pairs and runs.

A column or label is spelt here once and imported everywhere else, so that a misspelling is an
import error and not an empty column.
"""

from dataclasses import dataclass
from typing import NamedTuple

CONTROL = "control"
"""Label of unperturbed cells inside the project, whatever the source called them."""

CELL_LINE = "cell_line"
PERTURBATION = "perturbation"
BATCH = "batch"
N_CELLS = "n_cells"
ROLE = "role"
REASON = "reason"
TARGETS = "targets"
"""Current symbols of a pair's target genes, sorted and joined by ``+``."""

SINGLES = "singles"
"""Of how many genes of a double the single is trained on; missing for one gene."""

DELTA = "delta"
"""Layer of ``profiles.h5ad``: predicted deltas."""

TARGET_TOTAL = 1e4
"""Counts of a cell after normalisation, before log1p."""

TOTAL = "total_counts"
"""Counts of a cell over all genes of its source, in obs, where the source has counts."""

METRIC = "metric"
VALUE = "value"
FLOOR = "floor"
CEILING = "ceiling"
N_PREDICTED = "n_predicted"

STRENGTH = "strength"
"""Of a pair's real response: :func:`ptrag.evaluation.strength.strengths`."""

PAIR = [CELL_LINE, PERTURBATION]
"""The two columns that name a pair, in every table of pairs."""


class Pair(NamedTuple):
    """One (cell line, perturbation)."""

    cell_line: str
    perturbation: str


@dataclass(frozen=True, order=True)
class Run:
    """One arm on one split with one seed: a folder of results."""

    split: str
    arm: str
    seed: int

    @property
    def path(self) -> str:
        """The run's folder, relative to that of its data set."""
        return f"{self.split}/{self.arm}/seed{self.seed}"
