"""The metrics of the 2026 challenge over a reference: real side, submissions, and both anchors.

They are computed where the store keeps the totals of its cells, on the counts that are recovered
from log1p values. As the challenge has it, all controls of a line are the origin of both sides, in
contrast to every other metric here. A panel are the scored pairs of one line and role.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd

from ptrag.base.names import CEILING, CELL_LINE, FLOOR, METRIC, ROLE, VALUE
from ptrag.base.random import keyed_rng
from ptrag.cells.controls import ALL
from ptrag.evaluation.counted import mapped
from ptrag.evaluation.sides import Reference
from ptrag.metrics.calls import Pool
from ptrag.metrics.vcc2026 import MEMBERS, Context, Measured, mean_response, replicate, score

SPLITS = 5
"""Random cuts into halves over which a replicate is averaged."""

FEWEST = 4  # cells, and controls, that can be halved

Counts = Callable[[int], np.ndarray]
"""From the number of a pair to the (n, G) counts of its predicted cells."""


@dataclass(frozen=True)
class Panel:
    """The real side of the scored pairs of one line and role.

    Attributes
    ----------
    line
        The cell line.
    rows
        Numbers of its pairs in the reference.
    context
        What submissions are scored against.
    """

    line: str
    rows: np.ndarray
    context: Context


class Challenge:
    """Scores submissions of the scored pairs of a reference.

    Parameters
    ----------
    reference
        What predictions are scored with; its store has counts.
    threads
        Pairs summed up at once.
    """

    def __init__(self, reference: Reference, threads: int) -> None:
        self.reference, self.store, self._threads = reference, reference.store, threads

    @property
    def shape(self) -> tuple[int, int]:
        """(pairs, members)."""
        return len(self.reference.pairs), len(MEMBERS)

    @cached_property
    def panels(self) -> list[Panel]:
        """The real side of every panel."""
        groups = self.reference.pairs.groupby([CELL_LINE, ROLE]).indices
        return [self._panel(line, rows) for (line, _), rows in groups.items()]

    def _panel(self, line: str, rows: np.ndarray) -> Panel:
        reference = self.reference
        targets = np.zeros((len(rows), self.store.n_genes), bool)
        for number, row in enumerate(rows):
            targets[number, reference.columns(reference.keys[row].perturbation)] = True
        real = reference.counted.observed([*reference.lines].index(line), rows)
        return Panel(line, rows, Context(real, targets, np.array(self.store.genes)))

    def _controls(self, line: str) -> np.ndarray:
        """(m, G) counts of all controls of a line."""
        return self.store.counts(self.store.control_rows(line, ALL))

    def _pool(self, panel: Panel) -> Pool:
        """Return the controls of a panel as a test sees them, sorted once for all submissions."""
        if panel.line not in self._pools:
            controls = self._controls(panel.line)
            self._pools[panel.line] = Pool.of(controls, panel.context.real.genes)
        return self._pools[panel.line]

    @cached_property
    def _pools(self) -> dict[str, Pool]:
        return {}

    def _real(self, row: int) -> np.ndarray:
        return self.store.counts(self.store.rows(*self.reference.keys[row]))

    def submission(self, predicted: Counts, has: np.ndarray | None = None) -> np.ndarray:
        """Score predicted counts.

        Parameters
        ----------
        predicted
            Counts of a pair.
        has
            (pairs,) bool, which pairs are predicted; all where None.

        Returns
        -------
        values
            (pairs, members), NaN for pairs without prediction.
        """
        values = np.full(self.shape, np.nan)
        has = np.ones(len(values), bool) if has is None else has
        for panel in self.panels:
            at = np.flatnonzero(has[panel.rows])
            if len(at):
                rows, pool = panel.rows[at], self._pool(panel)
                with mapped(self._threads) as map_:
                    measured = Measured.against(
                        panel.context.real.control, pool, partial(_of_row, predicted, rows),
                        len(rows), map_,
                    )  # fmt: skip
                values[rows] = _columns(panel.context.score(measured, at))
        return values

    def mean_baseline(self) -> np.ndarray:
        """Score the context's mean response, given to every pair: the 0 of the challenge's scale.

        Controls are drawn with replacement, as many as there are real cells, and their counts
        scaled gene by gene to the mean response.
        """

        def factor(panel: Panel, controls: np.ndarray) -> np.ndarray:
            means = np.array([self._real(row).mean(axis=0, dtype=float) for row in panel.rows])
            return mean_response(means, controls.mean(axis=0, dtype=float), panel.context.targets)

        return self._scaled_controls(factor)

    def control_pasted(self) -> np.ndarray:
        """Score controls, drawn with replacement, as the prediction of every pair."""
        return self._scaled_controls(lambda *_: np.ones(self.store.n_genes))

    def _scaled_controls(self, factor: Callable[[Panel, np.ndarray], np.ndarray]) -> np.ndarray:
        """Score controls whose genes are scaled, for each panel by (G,) factors."""
        of_row = {}
        for panel in self.panels:
            controls = self._controls(panel.line)
            of_row |= dict.fromkeys(panel.rows, (controls, factor(panel, controls)))

        def counts(row: int) -> np.ndarray:
            controls, factors = of_row[row]
            rng = keyed_rng("scaled controls", *self.reference.keys[row])
            return controls[rng.integers(0, len(controls), self._size(row))] * factors

        return self.submission(counts)

    def replicates(self) -> np.ndarray:
        """Score split halves, each with a half of the controls: the 1 of the challenge's scale.

        Returns
        -------
        values
            (pairs, members), means over :data:`SPLITS` cuts; NaN for a panel with a pair of fewer
            than :data:`FEWEST` cells, or as few controls.
        """
        values = np.full((SPLITS, *self.shape), np.nan)
        for panel in self.panels:
            controls = self._controls(panel.line)
            if min(len(controls), *map(self._size, panel.rows)) >= FEWEST:
                for repeat in range(SPLITS):
                    values[repeat, panel.rows] = self._halves(panel, controls, repeat)
        return values.mean(axis=0)

    def _halves(self, panel: Panel, every_control: np.ndarray, repeat: int) -> np.ndarray:
        full, rows = panel.context, panel.rows

        def cut(counts: np.ndarray, side: int, *key: str) -> np.ndarray:
            order = keyed_rng("halves of counts", repeat, *key).permutation(len(counts))
            return counts[np.array_split(order, 2)[side]]

        def half(side: int) -> Measured:
            controls = cut(every_control, side, panel.line)
            with mapped(self._threads) as map_:
                return Measured.of(
                    controls,
                    lambda i: cut(self._real(rows[i]), side, *self.reference.keys[rows[i]]),
                    len(rows), full.real.genes, map_,
                )  # fmt: skip

        return _columns(replicate(full, half(0), half(1)))

    def _size(self, row: int) -> int:
        return self.reference.measured[row][0].n


def context_scores(table: pd.DataFrame) -> pd.DataFrame:
    """Return the challenge's score of each line from the rows of ``metrics.tsv``.

    Returns
    -------
    scores
        cell_line, score, and the place of each member between the mean response (0) and a
        replicate (1).
    """
    rows = []
    for line, of_line in table[table[METRIC].isin(MEMBERS)].groupby(CELL_LINE, sort=True):
        means = of_line.groupby(METRIC)[[VALUE, FLOOR, CEILING]].mean()
        total, places = score(*(means[column].to_dict() for column in means))
        rows.append({CELL_LINE: line, "score": total, **places})
    return pd.DataFrame(rows, columns=[CELL_LINE, "score", *MEMBERS])


def _of_row(read: Counts, rows: np.ndarray, number: int) -> np.ndarray:
    return read(rows[number])


def _columns(values: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack([values[name] for name in MEMBERS], axis=1)
