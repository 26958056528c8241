"""Pairs set against what they are scored with, one after the other.

:class:`Reference` knows all that arms have in common; :func:`score_all` turns predicted and
real sides of every pair into a table pairs × metrics. The same function scores arms, the mean
baseline and the split halves, so that all are on one scale.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ptrag.base.discrimination import DISTANCES, discrimination
from ptrag.base.moments import Moments, moments
from ptrag.base.names import CELL_LINE, PERTURBATION, ROLE, Pair
from ptrag.base.random import keyed_rng
from ptrag.cells.controls import ALL
from ptrag.cells.noise import Precision
from ptrag.cells.store import CellStore
from ptrag.evaluation.lines import Controls, Line
from ptrag.evaluation.predictions import PredictedMean
from ptrag.metrics.compat import discrimination_score, effect
from ptrag.metrics.degs import welch, wilcoxon
from ptrag.metrics.pair import Compat, ScoredPair, Side
from ptrag.metrics.pca import PCA
from ptrag.metrics.registry import metric_names, score_pair

SCORED_CELLS = 2_000  # cells of a pair that distances between samples take, at most

logger = logging.getLogger("ptrag")


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
        Fitted on training cells and given controls.
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
    """

    store: CellStore
    settings: dict[str, Any]
    pca: PCA
    lines: dict[str, Line]
    pairs: pd.DataFrame
    measured: list[tuple[Moments, np.ndarray]]
    precision: Precision
    bounds: dict[str, np.ndarray]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, in the order of every table."""
        return metric_names(self.compat)

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
        return wilcoxon(cells, origin.cells, size)

    def _against_all_controls(self, number: int, cells: np.ndarray, sample: Moments) -> Compat:
        every = self.line(number).every_control
        controls = self.store.controls(self.keys[number].cell_line, ALL)
        rank_p = wilcoxon(np.asarray(cells), np.asarray(controls))
        return Compat(every.mean, welch(sample, every), rank_p)

    def scored(self, number: int, predicted: Side, real: Side) -> ScoredPair:
        """Return pair ``number`` with ``predicted`` set against ``real``."""
        line = self.line(number)
        return ScoredPair(
            predicted=predicted,
            real=real,
            centroid=line.centroid,
            bandwidth=line.bandwidth,
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


class _Vectors:
    """Of one side of every pair, what comparing a pair with the others of its line needs.

    Attributes
    ----------
    profile, delta
        (pairs, G), NaN for a pair without this side.
    effect
        The same: mean of the cells minus that of all controls, where other packages' metrics are
        wanted.
    """

    def __init__(self, pairs: int, genes: int, compat: bool) -> None:
        self.profile, self.delta = np.full((2, pairs, genes), np.nan)
        self.effect = np.full((pairs, genes if compat else 0), np.nan)

    def put(self, number: int, side: Side) -> None:
        self.profile[number], self.delta[number] = side.profile, side.delta
        if side.compat is not None:
            self.effect[number] = effect(side)


def score_all(
    reference: Reference, case: Callable[[int], Case | None], threads: int = 1
) -> np.ndarray:
    """Score every pair by itself, then what needs all pairs of a line.

    Parameters
    ----------
    reference
        What to score with.
    case
        From the number of a pair in ``reference.pairs`` to what it is scored as; None where
        there is no prediction. Its real side is one of the others' alternatives even then.
    threads
        Pairs scored at once; the values are the same for any number.

    Returns
    -------
    values
        (pairs, metrics), NaN where undefined.
    """
    n, genes = len(reference.pairs), reference.store.n_genes
    names = {name: i for i, name in enumerate(reference.metrics)}
    values = np.full((n, len(names)), np.nan)
    predicted, real = (_Vectors(n, genes, reference.compat) for _ in range(2))

    def score(number: int) -> None:
        sides = case(number)
        real.put(number, reference.real(number) if sides is None else sides.real)
        if sides is not None:
            predicted.put(number, sides.predicted)
            pair = reference.scored(number, *sides)
            for name, value in score_pair(pair, reference.compat).items():
                values[number, names[name]] = value

    with ThreadPoolExecutor(threads) as pool:
        for number, _ in enumerate(pool.map(score, range(n)), 1):
            if number % 100 == 0:
                logger.info("%d of %d pairs scored", number, n)
    for name, rows, scores in _among_others(reference, predicted, real):
        values[rows, names[name]] = scores
    return values


def _among_others(
    reference: Reference, predicted: _Vectors, real: _Vectors
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, pairs and scores of the metrics that hold a pair against others of its line."""
    for (line, _), rows in reference.pairs.groupby([CELL_LINE, ROLE]).indices.items():
        own = np.flatnonzero(~np.isnan(predicted.profile[rows, 0]))
        kept = _without(reference, _scored(reference, line))
        x, y = predicted.delta[np.ix_(rows[own], kept)], real.delta[np.ix_(rows, kept)]
        for distance in DISTANCES:
            yield f"pds_{distance}", rows[own], discrimination(x, y, own, distance)
        if reference.compat:
            yield from _as_cell_eval(reference, predicted.effect, real.effect, rows, own)
    for line, rows in reference.pairs.groupby(CELL_LINE).indices.items():
        own = np.flatnonzero(~np.isnan(predicted.profile[rows, 0]))
        yield "centroid_accuracy", rows[own], _centroid_accuracy(
            reference, line, predicted.profile[rows[own]], real.profile[rows], own
        )  # fmt: skip


def _scored(reference: Reference, line: str) -> list[str]:
    return [pair.perturbation for pair in reference.keys if pair.cell_line == line]


def _without(reference: Reference, perturbations: Iterable[str]) -> np.ndarray:
    """Columns of the genes that none of the perturbations targets."""
    return np.setdiff1d(np.arange(reference.store.n_genes), reference.targets(*perturbations))


def _centroid_accuracy(
    reference: Reference, line: str, predicted: np.ndarray, real: np.ndarray, own: Sequence[int]
) -> np.ndarray:
    """Systema's: by L2 of profiles, among all perturbations of the line, trained ones too.

    Trained perturbations are alternatives here, so that their targets are left out as well. A
    common origin changes no distance of profiles and keeps their product exact.
    """
    known = reference.lines[line]
    kept = _without(reference, [*_scored(reference, line), *known.trained])
    origin = known.yardstick.moments.mean
    every = np.concatenate([real, known.profiles])
    return discrimination((predicted - origin)[:, kept], (every - origin)[:, kept], own, "l2")


def _as_cell_eval(
    reference: Reference, predicted: np.ndarray, real: np.ndarray, rows: np.ndarray, own: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield cell-eval's scores: from all controls, the own target alone left out."""
    targets = [reference.columns(reference.keys[row].perturbation) for row in rows[own]]
    for distance in DISTANCES:
        scores = discrimination_score(predicted[rows[own]], real[rows], own, distance, targets)
        yield f"cell_eval_discrimination_score_{distance}", rows[own], scores
