"""The ends of the 0-1 scale: the mean baseline and the replicate.

A metric is also given as (value − floor) / (ceiling − floor) of its pair:

floor
    The mean baseline: control cells of the line moved by the mean delta of its training
    perturbations (of all training pairs where the line has none), as many cells as the arms
    predict: some metrics (W1, W2, DEGs) depend on how many there are.
ceiling
    Split halves: one random half of the pair's real cells as the prediction of the other,
    mean of :data:`REPEATS` splits. Half as many cells on both sides as an arm is scored on
    make it a cautious ceiling: distances that grow with fewer cells (W1, W2) are too large.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from ptrag.base.names import CONTROL
from ptrag.base.random import keyed_rng
from ptrag.cells.sets import prediction_controls
from ptrag.cells.store import CellStore
from ptrag.evaluation.scoring import Case, Reference, score_all
from ptrag.prediction.emission import shift_cells

REPEATS = 3
FEWEST = 4  # real cells that can be halved


def floor(
    reference: Reference, train: Sequence[tuple[str, str]], n_cells: int, threads: int = 1
) -> np.ndarray:
    """Score the mean baseline, ``n_cells`` of each pair; NaN everywhere without training pairs.

    Returns
    -------
    values
        (pairs, metrics).
    """
    if not train:
        return np.full((len(reference.pairs), len(reference.metrics)), np.nan)
    shifts = mean_shifts(reference.store, train, list(reference.lines))

    pairs = _pairs(reference)

    def case(number: int) -> Case:
        line, name = pairs[number]
        rows = prediction_controls(reference.store, line, name, n_cells)
        mean = reference.lines[line].control.mean
        cells = shift_cells(reference.store.X[rows], shifts[line], mean)
        real = reference.real(number)
        return Case(reference.profile(number, cells, real.moments.n), real)

    return score_all(reference, case, threads)


def ceiling(reference: Reference, threads: int = 1) -> np.ndarray:
    """Score halves of the real cells against each other; NaN for pairs of too few cells.

    Returns
    -------
    values
        (pairs, metrics), means over the splits.
    """
    pairs = _pairs(reference)

    def case(repeat: int, number: int) -> Case | None:
        line, name = pairs[number]
        cells = np.asarray(reference.store.cells(line, name))
        if len(cells) < FEWEST:
            return None
        order = keyed_rng("halves", repeat, line, name).permutation(len(cells))
        halves = [np.sort(half) for half in np.array_split(order, 2)]
        return Case(*(reference.profile(number, cells[half]) for half in halves))

    scores = [score_all(reference, partial(case, repeat), threads) for repeat in range(REPEATS)]
    return np.mean(scores, axis=0)


def mean_shifts(
    store: CellStore, train: Sequence[tuple[str, str]], lines: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the (G,) mean training delta of each line; that of all lines where it has none."""
    control = {line: store.mean(line, CONTROL) for line in {line for line, _ in train}}
    deltas: dict[str, list[np.ndarray]] = {}
    for line, name in train:
        deltas.setdefault(line, []).append(store.mean(line, name) - control[line])
    every = np.mean([delta for its in deltas.values() for delta in its], axis=0)
    return {line: np.mean(deltas[line], axis=0) if line in deltas else every for line in lines}


def _pairs(reference: Reference) -> list[tuple[str, str]]:
    return list(zip(reference.pairs["cell_line"], reference.pairs["perturbation"], strict=True))
