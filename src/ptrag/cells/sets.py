"""Which cells make up a cell set: row numbers into the store, drawn by key.

Every draw is a pure function of its key (seed and step, or line and perturbation), so that
neither loader workers nor an interruption change it.

Axes: B sets, S cells of a set.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptrag.base.random import choose, keyed_rng
from ptrag.cells.controls import GIVEN

if TYPE_CHECKING:
    from ptrag.cells.store import CellStore


class Draw(NamedTuple):
    """Row numbers of the cells of one batch of sets.

    Attributes
    ----------
    pair
        (B,) number of each set's pair in the sampler's list.
    control
        (B, S) rows of control cells of the pair's line.
    perturbed
        (B, S) rows of the pair's cells.
    """

    pair: np.ndarray
    control: np.ndarray
    perturbed: np.ndarray


def drawn_controls(line: str, perturbation: str, n_controls: int, n: int) -> np.ndarray:
    """Return which n of a line's given controls a pair is predicted from, as numbers among them.

    They depend on line and perturbation alone: every arm and seed starts from the same cells.
    """
    return choose(keyed_rng("prediction", line, perturbation), n_controls, n)


def whole_sets(n: int, set_size: int) -> np.ndarray:
    """Return n cells as sets, (sets, S) numbers from 0; the first cells fill up the last set."""
    return (np.arange(-(-n // set_size) * set_size) % n).reshape(-1, set_size)


class SetSampler:
    """Cell sets for training.

    In one epoch each pair gives ⌈n/S⌉ sets, in which each of its n cells comes once (the last
    set is filled up from the same cells); the sets of all pairs are shuffled together, and
    batch t is the t-th slice of that endless sequence. A set's controls are drawn afresh from
    all given controls of its line.

    Parameters
    ----------
    store
        Open cell store.
    pairs
        (line, perturbation) to train on.
    sets, set_size
        B and S.
    seed
        With the step, all that a batch depends on.
    match_batch
        Draw controls from the perturbed cells' own batches: a batch with fewer controls in
        the line than the set has cells of it gives way to the whole line.
    """

    def __init__(
        self,
        store: "CellStore",
        pairs: Sequence[tuple[str, str]],
        sets: int,
        set_size: int,
        seed: int,
        match_batch: bool = False,
    ) -> None:
        self.sets, self.set_size, self.seed = sets, set_size, seed
        self._blocks = [store.rows(*pair) for pair in pairs]
        lines = [line for line, _ in pairs]
        self._controls = {line: store.control_rows(line, GIVEN) for line in dict.fromkeys(lines)}
        self._line_of = lines
        sizes = np.array([block.stop - block.start for block in self._blocks])
        counts = -(-sizes // set_size)
        self._slot_pair = np.repeat(np.arange(len(pairs)), counts)
        self._slot_part = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        self._epoch: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))
        self._pools = _batch_pools(store, self._controls, seed) if match_batch else None
        self._codes = store.batch_codes

    def draw(self, step: int) -> Draw:
        """Return the rows of batch ``step``, a pure function of the seed and the step."""
        places = np.arange(step * self.sets, (step + 1) * self.sets)
        rng = keyed_rng(self.seed, "controls", step)
        pair = np.empty(self.sets, dtype=np.int64)
        control = np.empty((self.sets, self.set_size), dtype=np.int64)
        perturbed = np.empty_like(control)
        for i, (epoch, at) in enumerate(zip(*divmod(places, len(self._slot_pair)), strict=True)):
            slot = self._order(int(epoch))[at]
            pair[i] = self._slot_pair[slot]
            perturbed[i] = self._perturbed(int(pair[i]), int(epoch), int(self._slot_part[slot]))
            control[i] = self._control(rng, self._line_of[pair[i]], perturbed[i])
        return Draw(pair, control, perturbed)

    def _order(self, epoch: int) -> np.ndarray:
        if self._epoch[0] != epoch:
            rng = keyed_rng(self.seed, "epoch", epoch)
            self._epoch = (epoch, rng.permutation(len(self._slot_pair)))
        return self._epoch[1]

    def _perturbed(self, pair: int, epoch: int, part: int) -> np.ndarray:
        block = self._blocks[pair]
        order = keyed_rng(self.seed, "cells", epoch, pair).permutation(block.stop - block.start)
        places = np.arange(part * self.set_size, (part + 1) * self.set_size)
        return block.start + order[places % len(order)]

    def _control(self, rng: np.random.Generator, line: str, perturbed: np.ndarray) -> np.ndarray:
        block = self._controls[line]
        rows = block.start + choose(rng, block.stop - block.start, self.set_size)
        if self._pools is None:
            return rows
        pool, start, count = self._pools[line]
        codes, group, need = np.unique(
            self._codes[perturbed], return_inverse=True, return_counts=True
        )
        order = np.argsort(group, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order)) - np.repeat(need.cumsum() - need, need)
        turn = (rng.random(len(codes)) * count[codes]).astype(np.int64)
        enough = (count[codes] >= need)[group]
        code = codes[group][enough]
        place = start[code] + (turn[group][enough] + rank[enough]) % count[code]
        rows[enough] = pool[place]
        return rows


def _batch_pools(
    store: "CellStore", controls: dict[str, slice], seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return per line: its control rows grouped by batch, each batch's start and count.

    Within a batch the rows are shuffled once; a set takes a run of them from a random place.
    """
    pools = {}
    for line, block in controls.items():
        order = keyed_rng(seed, "pool", line).permutation(block.stop - block.start)
        codes = store.batch_codes[block][order]
        by_batch = np.argsort(codes, kind="stable")
        count = np.bincount(codes, minlength=len(store.batches))
        pools[line] = (block.start + order[by_batch], count.cumsum() - count, count)
    return pools
