"""The real side of the 2026 challenge's metrics: what every prediction of a split is held against.

Summed up once, when the reference of a split is made, and kept in its file: profiles of summed
counts with their noise, and which genes are called. All controls of a line are the origin, as the
challenge has it. The controls that a test ranks are sorted again by whoever scores: that takes a
second, and the sorted values more room than the cells.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from ptrag.base.names import Pair
from ptrag.cells.controls import ALL
from ptrag.cells.store import CellStore
from ptrag.metrics.calls import Calls, Pool
from ptrag.metrics.pseudobulk import Panel, Pseudobulk
from ptrag.metrics.vcc2026 import Map, Observed


class Counted(NamedTuple):
    """What the counts of L lines and P pairs say.

    Attributes
    ----------
    control_level, control_noise
        (L, G) and (L,) profiles of the controls.
    tested
        (L, G) bool, the genes that are tested.
    level, noise
        (P, G) and (P,) profiles of the pairs.
    fold, called
        (P, G) log2 fold changes, NaN where a gene is not tested, and whether it is called.
    """

    control_level: np.ndarray
    control_noise: np.ndarray
    tested: np.ndarray
    level: np.ndarray
    noise: np.ndarray
    fold: np.ndarray
    called: np.ndarray

    @classmethod
    def of(
        cls, store: CellStore, lines: Sequence[str], pairs: Sequence[Pair], threads: int = 1
    ) -> "Counted":
        """Sum up the cells of a store, ``threads`` pairs at once."""
        controls, tested = [], np.zeros((len(lines), store.n_genes), bool)
        level, fold = np.full((2, len(pairs), store.n_genes), np.nan)
        noise, called = np.zeros(len(pairs)), np.zeros(level.shape, bool)
        for number, line in enumerate(lines):
            counts = store.counts(store.control_rows(line, ALL))
            controls.append(Pseudobulk.of(counts))
            pool = Pool.of(counts)
            tested[number] = pool.genes

            def sum_up(row: int, pool: Pool = pool) -> None:
                cells = store.counts(store.rows(*pairs[row]))
                level[row], noise[row] = Pseudobulk.of(cells)
                calls = pool.tested(cells).calls
                fold[row, pool.genes], called[row, pool.genes] = calls

            with mapped(threads) as map_:
                for _ in map_(sum_up, [i for i, pair in enumerate(pairs) if pair[0] == line]):
                    pass
        return cls(*map(np.array, zip(*controls, strict=True)), tested, level, noise, fold, called)

    def observed(self, line: int, rows: np.ndarray) -> Observed:
        """Return what the pairs ``rows`` of line number ``line`` are to a prediction."""
        genes = self.tested[line]
        return Observed(
            Pseudobulk(self.control_level[line], float(self.control_noise[line])), genes,
            Panel(self.level[rows], self.noise[rows]),
            [Calls(self.fold[row, genes], self.called[row, genes]) for row in rows],
        )  # fmt: skip


@contextmanager
def mapped(threads: int) -> Iterator[Map]:
    """Yield the ``map`` of a pool of threads."""
    with ThreadPoolExecutor(threads) as pool:
        yield pool.map
