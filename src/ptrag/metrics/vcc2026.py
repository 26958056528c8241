"""The metrics of the 2026 Virtual Cell Challenge, from their equations, and its score.

One context (cell line) at a time, on counts. The real controls are the origin of both sides: a
prediction has none of its own. No metric reads a gene that the perturbation targets, and
``pds_cosine`` none that any perturbation of the panel targets. The equations are in
:mod:`ptrag.metrics.pseudobulk` (profiles) and :mod:`ptrag.metrics.calls` (differential expression).

The score of a submission is the mean over the six members of (u − b) / (r − b): b is what the mean
response of the context scores when it is given to every perturbation, r what one half of the real
cells scores as the prediction of the other, each with a half of the controls of its own.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ptrag.metrics.calls import (
    Calls,
    Pool,
    Tested,
    direction_reach,
    direction_yield,
    fold_error,
    sig_jaccard,
)
from ptrag.metrics.pseudobulk import Panel, Pseudobulk, errors, mean_distance, pds_cosine

Map = Callable[[Callable, Iterable], Iterable]


class Member(NamedTuple):
    """One metric of the score.

    Attributes
    ----------
    higher
        Whether more is better.
    low, high
        What its place on the scale is clamped to.
    """

    higher: bool
    low: float = -np.inf
    high: float = np.inf


MEMBERS: dict[str, Member] = {
    "vcc_pds_cosine": Member(True),
    "vcc_expression_error": Member(False, 0.0, 1.0),
    "vcc_direction_yield": Member(True),
    "vcc_direction_reach": Member(True),
    "vcc_sig_jaccard": Member(True),
    "vcc_fold_error": Member(False, -6.0),
}


class Observed(NamedTuple):
    """What of the real cells of P perturbations a prediction is held against.

    Attributes
    ----------
    control
        Profile of the controls.
    genes
        (G,) bool, the K genes that are tested.
    panel
        Profiles of the perturbations.
    calls
        What the test says of each, its targets included.
    """

    control: Pseudobulk
    genes: np.ndarray
    panel: Panel
    calls: list[Calls]


@dataclass(frozen=True)
class Measured:
    """Cells of every perturbation of a context, summed up against one set of controls.

    Attributes
    ----------
    control
        Profile of the controls.
    pool
        The controls as a test sees them.
    panel
        Profiles of the P perturbations.
    tested
        What the test says of each.
    """

    control: Pseudobulk
    pool: Pool
    panel: Panel
    tested: list[Tested]

    @classmethod
    def of(
        cls,
        controls: np.ndarray,
        read: Callable[[int], np.ndarray],
        n: int,
        genes: np.ndarray | None = None,
        map_: Map = map,
    ) -> "Measured":
        """Sum up counts.

        Parameters
        ----------
        controls
            (m, G) counts of the controls.
        read
            From a number below ``n`` to the (cells, G) counts of that perturbation.
        n
            P.
        genes
            (G,) bool, the genes to test; by default those above the gate in ``controls``.
        map_
            Such as the ``map`` of a pool of threads.
        """
        return cls.against(Pseudobulk.of(controls), Pool.of(controls, genes), read, n, map_)

    @classmethod
    def against(
        cls, control: Pseudobulk, pool: Pool, read: Callable[[int], np.ndarray], n: int,
        map_: Map = map,
    ) -> "Measured":  # fmt: skip
        """Sum up the counts of each perturbation against controls that are summed up already."""

        def one(number: int) -> tuple[Pseudobulk, Tested]:
            counts = read(number)
            return Pseudobulk.of(counts), pool.tested(counts)

        both = [*map_(one, range(n))]
        return cls(control, pool, Panel.of([bulk for bulk, _ in both]), [t for _, t in both])

    @property
    def observed(self) -> Observed:
        """These cells as the real ones of a comparison."""
        calls = [tested.calls for tested in self.tested]
        return Observed(self.control, self.pool.genes, self.panel, calls)


@dataclass(frozen=True)
class Context:
    """The real side of a context: what every submission is scored against.

    Attributes
    ----------
    real
        The real cells.
    targets
        (P, G) bool, the genes that each perturbation targets.
    genes
        (G,) names, which break the last ties of an order.
    """

    real: Observed
    targets: np.ndarray
    genes: np.ndarray

    @cached_property
    def calls(self) -> list[Calls]:
        """The real calls of each perturbation, without its targets."""
        return [c.without(own) for c, own in zip(self.real.calls, self._own, strict=True)]

    @cached_property
    def _own(self) -> np.ndarray:
        """(P, K) bool, targets among the tested genes."""
        return self.targets[:, self.real.genes]

    @cached_property
    def _order(self) -> np.ndarray:
        """(K,) rank of each tested gene by name."""
        return np.argsort(np.argsort(self.genes[self.real.genes], kind="stable"))

    def score(self, predicted: Measured, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Score a prediction.

        Parameters
        ----------
        predicted
            The predicted cells against the real controls (the other half of a replicate has
            controls of its own), the same genes tested.
        rows
            Which of the P perturbations it predicts; all where None. The others stay among the
            alternatives of ``vcc_pds_cosine``.

        Returns
        -------
        values
            For each of :data:`MEMBERS` a value for each of ``rows``, whose mean over the defined
            ones is the member: for ``vcc_expression_error``, a ratio of sums, N_p / mean(D).
        """
        targets, real = self.targets, self.real
        rows = np.arange(len(targets)) if rows is None else rows
        x = predicted.panel.level - predicted.control.level
        y = real.panel.level - real.control.level
        error = errors(
            predicted.panel, Panel(*(values[rows] for values in real.panel)), targets[rows]
        )
        values = {
            "vcc_pds_cosine": pds_cosine(x, y, targets, rows),
            "vcc_expression_error": error / mean_distance(real.panel, real.control, targets),
        }
        of_calls = [
            self._of_calls(row, tested) for row, tested in zip(rows, predicted.tested, strict=True)
        ]
        return values | {
            name: np.array([row[name] for row in of_calls])
            for name in MEMBERS
            if name not in values
        }

    def _of_calls(self, number: int, tested: Tested) -> dict[str, float]:
        own, calls = self._own[number], self.calls[number]
        tested = tested.without(own)
        return {
            "vcc_direction_yield": direction_yield(tested, calls),
            "vcc_direction_reach": direction_reach(tested, calls, self._order[~own]),
            "vcc_sig_jaccard": sig_jaccard(tested, calls),
            "vcc_fold_error": fold_error(tested.fold, calls.fold, calls.called),
        }


def replicate(full: Context, one: Measured, other: Measured) -> dict[str, np.ndarray]:
    """Score one half of the real cells as the prediction of the other.

    The error of fold changes takes its genes and its denominator from all cells, the two fold
    changes alone from the halves.

    Parameters
    ----------
    full
        All real cells.
    one, other
        The halves, the real and the predicted one, each against its half of the controls; the
        genes tested are those of ``full``, above the gate in all controls.

    Returns
    -------
    values
        As :meth:`Context.score` returns them.
    """
    values = Context(one.observed, full.targets, full.genes).score(other)
    values["vcc_fold_error"] = np.array([
        fold_error(b.fold[~own], a.fold[~own], calls.called, calls.fold)
        for a, b, own, calls in zip(one.tested, other.tested, full._own, full.calls, strict=True)
    ])  # fmt: skip
    return values


def mean_response(means: np.ndarray, controls: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the factor by which the mean response of a context changes each gene of its controls.

    The mean of the mean counts of each perturbation, equal weights, without the one that targets
    the gene, over the mean counts of the controls; 1 where no control has the gene.

    Parameters
    ----------
    means
        (P, G) mean counts of each perturbation.
    controls
        (G,) mean counts of the controls.
    targets
        (P, G) bool.
    """
    used = ~targets
    profile = (means * used).sum(axis=0) / np.maximum(used.sum(axis=0), 1)
    return np.divide(profile, controls, out=np.ones_like(controls), where=controls > 0)


def score(
    values: Mapping[str, float], baseline: Mapping[str, float], replicate: Mapping[str, float]
) -> tuple[float, dict[str, float]]:
    """Return the score of a context and the place of each member on the scale.

    (u − b) / (r − b), clamped as :data:`MEMBERS` says; NaN for a member whose replicate is not
    better than its baseline. The score is the mean of the six, NaN where one has none.
    """
    places = {}
    for name, member in MEMBERS.items():
        u, b, r = values[name], baseline[name], replicate[name]
        room = (r - b) if member.higher else (b - r)
        place = ((u - b) / (r - b)) if room > 0 else np.nan
        places[name] = float(np.clip(place, member.low, member.high))
    return float(np.mean([*places.values()])), places
