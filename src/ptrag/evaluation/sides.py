"""What predictions are scored with, and the two sides of a pair: the predicted and the real one."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ptrag.base.moments import Moments, moments
from ptrag.base.names import CELL_LINE, PERTURBATION, Pair
from ptrag.base.random import keyed_rng
from ptrag.cells.noise import Precision
from ptrag.cells.store import CellStore
from ptrag.evaluation.counted import Counted
from ptrag.evaluation.lines import Controls, Line
from ptrag.evaluation.predictions import PredictedMean
from ptrag.metrics.degs import welch, wilcoxon
from ptrag.metrics.pair import Compat, ScoredPair, Side
from ptrag.metrics.pca import PCA
from ptrag.metrics.registry import metric_names
from ptrag.metrics.vcc2026 import MEMBERS

SCORED_CELLS = 2_000  # cells of a pair that distances between samples take, at most


@dataclass(frozen=True)
class Reference:
    """What predictions are scored with.

    Attributes
    ----------
    store
        The real cells.
    settings
        The section ``evaluation`` of the configuration.
    pca
        Fitted on training cells and yardstick controls.
    lines
        The scored cell lines.
    pairs
        cell_line, perturbation, role of every scored pair, in the split's order.
    measured
        Moments and p-values of the real cells of each pair, in the order of ``pairs``.
    precision
        What training pairs say about noise and signal.
    bounds
        ``floor`` (the mean baseline) and ``ceiling`` (split halves): (pairs, metrics) each.
    counted
        What their counts say; None without counts.
    """

    store: CellStore
    settings: dict[str, Any]
    pca: PCA
    lines: dict[str, Line]
    pairs: pd.DataFrame
    measured: list[tuple[Moments, np.ndarray]]
    precision: Precision
    bounds: dict[str, np.ndarray]
    counted: Counted | None = None

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, in the order of every table."""
        return metric_names(self.compat, self.store.has_counts)

    def with_members(self, values: np.ndarray, members: np.ndarray) -> np.ndarray:
        """Return (pairs, metrics) ``values`` with the challenge's (pairs, members) in place."""
        values = values.copy()
        values[:, [self.metrics.index(name) for name in MEMBERS]] = members
        return values

    @property
    def compat(self) -> bool:
        """Whether the metrics of other packages are wanted."""
        return self.settings.get("compat", False)

    @cached_property
    def keys(self) -> list[Pair]:
        """The scored pairs, in the order of ``pairs``."""
        return [*map(Pair, self.pairs[CELL_LINE], self.pairs[PERTURBATION])]

    def line(self, number: int) -> Line:
        """Return the line of pair ``number``."""
        return self.lines[self.keys[number].cell_line]

    def real(self, number: int) -> Side:
        """Return the real cells of pair ``number``, read from the store."""
        cells, (sample, p) = self.store.cells(*self.keys[number]), self.measured[number]
        yardstick = self.line(number).yardstick.moments.mean
        return self._side(number, cells, sample, p, sample.mean, yardstick)

    def side(
        self,
        number: int,
        cells: np.ndarray,
        origin: Controls,
        mean: PredictedMean | None = None,
        size: int | None = None,
    ) -> Side:
        """Return one side of pair ``number``.

        Parameters
        ----------
        number
            Row of ``pairs``.
        cells
            (n, G) on the store's scale.
        origin
            The controls that it is measured from and tested against.
        mean
            Predicted profile and delta; None where the cells are all that there is: their mean,
            measured from ``origin``.
        size
            The cells are tested for differential expression as if they were so many where they
            are more, so that a model that predicts more cells gets no power from that.
        """
        sample = moments(cells)
        if mean is None:
            mean = PredictedMean(sample.mean, sample.mean - origin.moments.mean)
        p = self.tested(cells, sample, origin, size)
        return self._side(number, cells, sample, p, mean.profile, mean.control)

    def _side(
        self, number: int, cells: np.ndarray, sample: Moments, p: np.ndarray, profile: np.ndarray,
        control: np.ndarray,
    ) -> Side:  # fmt: skip
        return Side(
            profile=profile,
            control=control,
            moments=sample,
            p=p,
            coordinates=self.pca.project(profile),
            cells=self.pca.project(_at_most(cells, self.keys[number])),
            compat=self._against_all_controls(number, cells, sample) if self.compat else None,
        )

    def tested(
        self, cells: np.ndarray, sample: Moments, origin: Controls, size: int | None = None
    ) -> np.ndarray:
        """Return the (G,) p-values of ``cells`` against controls."""
        size = None if size is None else min(size, sample.n)
        if self.settings["deg_test"] == "welch":
            return welch(sample, origin.moments, size)
        return wilcoxon(np.asarray(cells), origin.ranked, size)

    def _against_all_controls(self, number: int, cells: np.ndarray, sample: Moments) -> Compat:
        every = self.line(number).every_control
        rank_p = wilcoxon(np.asarray(cells), every.ranked)
        return Compat(every.moments.mean, welch(sample, every.moments), rank_p)

    def scored(self, number: int, predicted: Side, real: Side) -> ScoredPair:
        """Return pair ``number`` with ``predicted`` set against ``real``."""
        line = self.line(number)
        return ScoredPair(
            predicted=predicted,
            real=real,
            centroid=line.centroid,
            bandwidth=line.bandwidth,
            weights=self.precision.weights,
            targets=self.targets(self.keys[number].perturbation),
            alpha=self.settings["deg_alpha"],
            max_degs=self.settings["max_degs"],
        )

    def targets(self, *perturbations: str) -> np.ndarray:
        """Return the columns of the genes that are perturbed, where the settings leave them out."""
        if not self.settings["exclude_target"]:
            return np.zeros(0, int)
        return self.columns(*perturbations)

    def columns(self, *perturbations: str) -> np.ndarray:
        """Return the columns of the genes that are perturbed, as far as they are measured."""
        genes = {gene for perturbation in perturbations for gene in perturbation.split("+")}
        return np.array(sorted(self._column[gene] for gene in genes if gene in self._column), int)

    @cached_property
    def _column(self) -> dict[str, int]:
        return {gene: column for column, gene in enumerate(self.store.genes)}


def _at_most(cells: np.ndarray, pair: Pair) -> np.ndarray:
    """``cells``, or :data:`SCORED_CELLS` of them."""
    if len(cells) <= SCORED_CELLS:
        return cells
    rng = keyed_rng("scored cells", *pair)
    return cells[np.sort(rng.choice(len(cells), SCORED_CELLS, replace=False))]


class Case(NamedTuple):
    """What one pair is scored as: a predicted side set against a real one."""

    predicted: Side
    real: Side
