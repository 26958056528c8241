"""What is predicted of a pair, from which controls, and who predicts it.

A prediction has two outputs, each scored by what it is: the *profile*, the predicted mean, and
the *cells*, a sample as the arm makes it. The workflow, the command and Python get both from the
same call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from ptrag.base.names import CELL_LINE, PERTURBATION
from ptrag.cells.controls import GIVEN
from ptrag.cells.counts import count_units
from ptrag.cells.sets import drawn_controls
from ptrag.cells.store import CellStore
from ptrag.genes.embeddings import Embedding
from ptrag.prediction.emission import Emitter
from ptrag.prediction.shift import Mover

PROFILE_CELLS = 1024
"""Given controls of a line on which a profile is worked out cell by cell, at most."""

EVIDENCE_CELLS = 32
"""Cells of a pair on which a network's effect of leaving out a candidate is worked out.

They are the first of the pair's cells, in whole sets where these are smaller, or where cells see
those that come later in their set. For these cells the deletion is exact: K candidates take K
passes, which on all cells of a pair took most of the time of its prediction.
"""

EVIDENCE = [
    CELL_LINE, PERTURBATION, "candidate", "rank", "similarity", "gate", "effect", "note",
]  # fmt: skip
"""Columns of ``evidence.tsv``: what each candidate of a pair did to its prediction.

``gate`` is the mean over cells, or a closed form's coefficient ω; ``note`` says what a prediction
fell back on (in a row without candidate if need be). ``effect``: see :class:`Prediction`.
"""


@dataclass(frozen=True)
class GivenControls:
    """The control cells that a prediction of one line starts from.

    Attributes
    ----------
    line
        Their cell line; may be empty where the arm does not ask for it.
    cells
        (n, G) float32 on the log1p scale.
    names
        (n,) of each cell.
    batches
        (n,) technical batch of each cell; None where unknown.
    measured
        (G,) bool, genes that were measured in these cells; None: all. Others are filled with a
        constant, and tell nothing of counts.
    """

    line: str
    cells: np.ndarray
    names: Sequence[str]
    batches: np.ndarray | None = None
    measured: np.ndarray | None = None

    @classmethod
    def of_store(cls, store: CellStore, line: str) -> "GivenControls":
        """Return the given controls of a line, in the store's order."""
        rows = store.control_rows(line, GIVEN)
        return cls(
            line,
            store.X[rows],
            store.obs.index[rows].astype(str),
            np.array(store.batches, dtype=object)[store.batch_codes[rows]],
        )

    @cached_property
    def mean(self) -> np.ndarray:
        """(G,) float64, of all of them: what a predicted delta is added to."""
        return np.asarray(self.cells).mean(axis=0, dtype=np.float64)

    @cached_property
    def sample(self) -> np.ndarray:
        """Rows on which profiles are worked out, of :func:`evenly`."""
        return evenly(len(self.cells))

    @cached_property
    def units(self) -> np.ndarray:
        """(n,) what one count of each cell is worth before the logarithm."""
        return count_units(self.cells if self.measured is None else self.cells[:, self.measured])

    @cached_property
    def emitter(self) -> Emitter:
        """What makes cells of a predicted delta from these."""
        return Emitter(self.cells, self.units, self.sample)

    def emitted(self, delta: np.ndarray, perturbation: str, rows: np.ndarray) -> np.ndarray:
        """Return the (len(rows), G) cells of a pair whose predicted delta is (G,) ``delta``."""
        return self.emitter.emit(delta, rows, self.line, perturbation)

    @cached_property
    def mover(self) -> Mover:
        """What shifts these cells on the log1p scale, for networks that start from that."""
        return Mover(self.cells[self.sample])

    def drawn(self, perturbation: str, n_cells: int | None) -> np.ndarray:
        """Return the rows that a pair's cells start from.

        They depend on line and perturbation alone, so that every arm and seed starts from the
        same cells. None: every cell once, in order.
        """
        if n_cells is None:
            return np.arange(len(self.cells))
        return drawn_controls(self.line, perturbation, len(self.cells), n_cells)


class Prediction(NamedTuple):
    """What an arm predicts of one pair.

    Attributes
    ----------
    profile
        (G,) float64, the predicted mean on the log1p scale.
    delta
        (G,) float64, the profile less the line's control profile as the arm knows it: the mean of
        the given controls, or that mean freed of its noise (``Estimate.control``).
    cells
        (n, G) float32, predicted cells.
    rows
        (n,) the given control that each cell starts from.
    evidence
        One row per candidate, columns of :data:`EVIDENCE` after those of the pair; empty for
        arms that do not retrieve. ``effect`` is the L2 norm of the change of the predicted profile
        when the candidate is left out; of a network, of the mean of the pair's first
        :data:`EVIDENCE_CELLS`.
    sd
        (G,) standard deviation of the true delta about the predicted one; None where the arm knows
        none.
    wrong_sign
        (G,) probability that a gene does not move to the side of the predicted delta; None where
        the arm knows none.
    """

    profile: np.ndarray
    delta: np.ndarray
    cells: np.ndarray
    rows: np.ndarray
    evidence: pd.DataFrame
    sd: np.ndarray | None = None
    wrong_sign: np.ndarray | None = None


class Predictor(Protocol):
    """Whoever predicts pairs: a trained network, or a fitted closed form."""

    def predict(
        self, controls: GivenControls, perturbation: str, n_cells: int | None = None
    ) -> Prediction:
        """Predict one pair from the given controls of its line."""

    def knows(self, perturbation: str) -> bool:
        """Whether a perturbation of the screen can be predicted: else it has no prediction."""

    def informed(self, perturbation: str) -> bool:
        """Whether there is more to say of a perturbation than the mean of the line."""

    def with_line(self, line: str, mean: np.ndarray, se: np.ndarray) -> "Predictor":
        """Return what predicts in one more line, of which the controls' (G,) moments are known."""

    def learn(
        self, embedding: Embedding, candidates: Mapping[str, tuple[list[str], np.ndarray]]
    ) -> None:
        """Take in vectors and candidates of new perturbations; those of before are forgotten."""


def evenly(n: int) -> np.ndarray:
    """Return the numbers of all n cells, or of every so many-th: ``PROFILE_CELLS`` at most."""
    return np.arange(0, n, -(-n // PROFILE_CELLS))


def predicted_cells(cells_per_pair: int, set_size: int) -> int:
    """Return ``cells_per_pair`` rounded up to whole sets: what is predicted of each pair."""
    return -(-cells_per_pair // set_size) * set_size


def evidence_cells(n: int, set_size: int, ordered: bool) -> np.ndarray:
    """Return on which of n cells a network's evidence is worked out, (sets, cells of each).

    Parameters
    ----------
    n
        Cells of the pair. Numbers from n on are cells with which its last set is filled up.
    set_size
        S.
    ordered
        Whether a cell sees only those before it in its set, so that the first cells of a set are
        what they are among all; else sets stay whole.
    """
    sets = -(-min(n, EVIDENCE_CELLS) // set_size)
    size = min(set_size, EVIDENCE_CELLS) if ordered else set_size
    return set_size * np.arange(sets)[:, None] + np.arange(size)


def evidence_table(rows: Sequence[Sequence[object]], note: str = "") -> pd.DataFrame:
    """Return evidence of one pair.

    Parameters
    ----------
    rows
        (candidate, similarity, gate, effect), best first.
    note
        What the arm fell back on. It stands in every row, or in one without a candidate.
    """
    ranked = [(name, rank, *values, note) for rank, (name, *values) in enumerate(rows, start=1)]
    if note and not ranked:
        ranked = [(None, None, None, None, None, note)]
    return pd.DataFrame(ranked, columns=EVIDENCE[2:])
