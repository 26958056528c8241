"""Pairs set against what they are scored with, one after the other.

:class:`Reference` knows all that arms have in common; :func:`score_all` turns predicted and
real cells of every pair into a table pairs × metrics. The same function scores arms, the mean
baseline and the split halves, so that all are on one scale.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ptrag.base.moments import Moments, moments
from ptrag.base.random import keyed_rng
from ptrag.cells.noise import Precision
from ptrag.cells.store import CellStore
from ptrag.metrics.degs import welch, wilcoxon
from ptrag.metrics.discrimination import discrimination
from ptrag.metrics.pair import Compat, Line, Profile, ScoredPair
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
        Fitted on training and control cells.
    lines
        Facts of each scored cell line.
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
        return metric_names(self.settings.get("compat", False))

    def real(self, number: int) -> Profile:
        """Return the real cells of pair ``number``, read from the store."""
        pair = self.pairs.iloc[number]
        cells = self.store.cells(pair["cell_line"], pair["perturbation"])
        its, p = self.measured[number]
        return Profile(its, p, self._project(cells, pair), self._compat(cells, its, pair))

    def profile(self, number: int, cells: np.ndarray, size: int | None = None) -> Profile:
        """Return (n, G) ``cells`` of pair ``number`` summed up.

        They are tested for differential expression as if they were ``size`` where they are
        more, so that a model that predicts more cells gets no power from that.
        """
        pair = self.pairs.iloc[number]
        its = moments(cells)
        p = self.tested(cells, its, pair["cell_line"], size)
        return Profile(its, p, self._project(cells, pair), self._compat(cells, its, pair))

    def scored(self, number: int, predicted: Profile, real: Profile) -> ScoredPair:
        """Return pair ``number`` with ``predicted`` set against ``real``."""
        pair = self.pairs.iloc[number]
        return ScoredPair(
            line=self.lines[pair["cell_line"]],
            predicted=predicted,
            real=real,
            targets=self.targets(pair["perturbation"]),
            alpha=self.settings["deg_alpha"],
            max_degs=self.settings["max_degs"],
        )

    def targets(self, perturbation: str) -> np.ndarray:
        """Return the columns of the perturbed genes where the settings leave them out."""
        if not self.settings["exclude_target"]:
            return np.zeros(0, int)
        columns = (self._column.get(gene) for gene in perturbation.split("+"))
        return np.array(sorted(column for column in columns if column is not None), int)

    @cached_property
    def _column(self) -> dict[str, int]:
        return {gene: column for column, gene in enumerate(self.store.genes)}

    def tested(
        self, cells: np.ndarray, its: Moments, line: str, size: int | None = None
    ) -> np.ndarray:
        """Return the (G,) p-values of ``cells`` against the controls of ``line``."""
        size = None if size is None else min(size, its.n)
        if self.settings["deg_test"] == "welch":
            return welch(its, self.lines[line].control, size)
        return wilcoxon(cells, self.store.controls(line), size)

    def _project(self, cells: np.ndarray, pair: pd.Series) -> np.ndarray:
        if len(cells) > SCORED_CELLS:
            rng = keyed_rng("scored cells", pair["cell_line"], pair["perturbation"])
            cells = cells[np.sort(rng.choice(len(cells), SCORED_CELLS, replace=False))]
        return self.pca.project(cells)

    def _compat(self, cells: np.ndarray, its: Moments, pair: pd.Series) -> Compat | None:
        if not self.settings.get("compat", False):
            return None
        line = pair["cell_line"]
        controls = self.store.controls(line)
        with np.errstate(divide="ignore", invalid="ignore"):
            fold = np.expm1(its.mean) / np.expm1(self.lines[line].control.mean)
        rank_p = wilcoxon(np.asarray(cells), np.asarray(controls))
        return Compat(welch(its, self.lines[line].control), rank_p, fold)


class Case(NamedTuple):
    """What one pair is scored as: predicted cells set against real ones."""

    predicted: Profile
    real: Profile


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
        there is no prediction.
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
    predicted, real = np.full((2, n, genes), np.nan)

    def score(number: int) -> None:
        its = case(number)
        real[number] = (reference.measured[number][0] if its is None else its.real.moments).mean
        if its is not None:
            predicted[number] = its.predicted.moments.mean
            pair = reference.scored(number, *its)
            for name, value in score_pair(pair, reference.settings.get("compat", False)).items():
                values[number, names[name]] = value

    with ThreadPoolExecutor(threads) as pool:
        for number, _ in enumerate(pool.map(score, range(n)), 1):
            if number % 100 == 0:
                logger.info("%d of %d pairs scored", number, n)
    for name, score in _among_others(reference, predicted, real):
        values[:, names[name]] = score
    return values


def _among_others(
    reference: Reference, predicted: np.ndarray, real: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the metrics for which a pair is held against the other pairs of its line."""
    for distance in ("l1", "l2", "cosine"):
        yield f"pds_{distance}", _discriminate(reference, predicted, real, distance)
    yield "centroid_accuracy", _centroid_accuracy(reference, predicted, real)


def _discriminate(
    reference: Reference, predicted: np.ndarray, real: np.ndarray, distance: str
) -> np.ndarray:
    """Discrimination of every pair among the scored pairs of its line and role, by deltas."""
    score = np.full(len(real), np.nan)
    for (line, _), rows in reference.pairs.groupby(["cell_line", "role"]).indices.items():
        own = np.flatnonzero(~np.isnan(predicted[rows, 0]))
        there, control = rows[own], reference.lines[line].control.mean
        left_out = [reference.targets(p) for p in reference.pairs["perturbation"].iloc[there]]
        score[there] = discrimination(
            predicted[there] - control, real[rows] - control, own, distance, left_out
        )
    return score


def _centroid_accuracy(reference: Reference, predicted: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Systema's: by L2 of profiles, among all perturbations of the line, trained ones too."""
    score = np.full(len(real), np.nan)
    for line, rows in reference.pairs.groupby("cell_line").indices.items():
        own = np.flatnonzero(~np.isnan(predicted[rows, 0]))
        there, every = rows[own], np.concatenate([real[rows], reference.lines[line].profiles])
        left_out = [reference.targets(p) for p in reference.pairs["perturbation"].iloc[there]]
        score[there] = discrimination(predicted[there], every, own, "l2", left_out)
    return score
