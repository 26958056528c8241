"""What every metric is read against: the mean baseline and the replicate.

floor
    The mean baseline: the profile is the given mean of the line plus the mean delta of its
    training perturbations (of all training pairs where the line has none), the cells are given
    controls changed by one factor per gene. As many cells as the arms predict: some metrics (W1,
    W2, DEGs) depend on how many there are.
ceiling
    Split halves: one random half of the pair's real cells as the prediction of the other, mean
    of :data:`REPEATS` splits. Each half is measured from its own half of the line's yardstick
    controls, so that the two sides share no cell. Half as many cells and controls on both sides
    as an arm is scored on make it a cautious ceiling: distances that grow with fewer cells (W1,
    W2) are too large, correlations too small.
"""

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np

from ptrag.base.names import Pair
from ptrag.base.random import keyed_rng
from ptrag.cells.responses import Responses
from ptrag.evaluation.predictions import PredictedMean
from ptrag.evaluation.scoring import score_all, score_among
from ptrag.evaluation.sides import Case, Reference
from ptrag.prediction.prediction import GivenControls

REPEATS = 3
FEWEST = 4  # real cells, and yardstick controls, that can be halved


def floor(
    reference: Reference, deltas: Mapping[str, np.ndarray], n_cells: int, threads: int = 1
) -> np.ndarray:
    """Score the mean baseline, ``n_cells`` of each pair; NaN everywhere without training pairs.

    Parameters
    ----------
    reference
        What to score with.
    deltas
        What :func:`mean_deltas` returned.
    n_cells
        Cells of each pair.
    threads
        Pairs scored at once.

    Returns
    -------
    values
        (pairs, metrics).
    """
    if not deltas:
        return np.full((len(reference.pairs), len(reference.metrics)), np.nan)
    return moved(
        reference, {pair: deltas[pair.cell_line] for pair in reference.keys}, n_cells, threads
    )


def moved(
    reference: Reference, deltas: Mapping[Pair, np.ndarray], n_cells: int | None, threads: int = 1
) -> np.ndarray:
    """Score given controls that are moved by a delta of each pair.

    Parameters
    ----------
    reference
        What to score with.
    deltas
        (G,) of every scored pair.
    n_cells
        Predicted cells of each pair; None: as many as there are real ones.
    threads
        Pairs scored at once.

    Returns
    -------
    values
        (pairs, metrics).
    """
    given = {name: GivenControls.of_store(reference.store, name) for name in reference.lines}

    def case(number: int) -> Case:
        pair, origin = reference.keys[number], reference.line(number).given
        controls, delta = given[pair.cell_line], deltas[pair]
        n = n_cells or reference.measured[number][0].n
        rows = controls.drawn(pair.perturbation, n)
        cells = controls.emitted(delta, pair.perturbation, rows)
        profile = np.maximum(origin.moments.mean + delta, 0.0)
        mean = PredictedMean(profile, profile - origin.moments.mean)
        real = reference.real(number)
        return Case(reference.side(number, cells, origin, mean, real.moments.n), real)

    return score_all(reference, case, threads, "mean baseline")


def ceiling(reference: Reference, threads: int = 1) -> np.ndarray:
    """Score halves of the real cells against each other.

    Returns
    -------
    values
        (pairs, metrics), means over the splits; NaN for pairs of fewer than :data:`FEWEST` cells
        or yardstick controls.
    """
    return np.mean([_halves(reference, repeat, threads) for repeat in range(REPEATS)], axis=0)


def _halves(reference: Reference, repeat: int, threads: int) -> np.ndarray:
    origins = {
        name: line.yardstick.halves(keyed_rng("halves of controls", repeat, name))
        for name, line in reference.lines.items()
        if line.yardstick.moments.n >= FEWEST
    }

    def case(number: int) -> Case | None:
        pair = reference.keys[number]
        cells = np.asarray(reference.store.cells(*pair))
        if len(cells) < FEWEST or pair.cell_line not in origins:
            return None
        order = keyed_rng("halves", repeat, *pair).permutation(len(cells))
        halves = (cells[np.sort(half)] for half in np.array_split(order, 2))
        return Case(*map(partial(reference.side, number), halves, origins[pair.cell_line]))

    return score_all(reference, case, threads, f"real halves, split {repeat + 1} of {REPEATS}")


def mean_deltas(responses: Responses, lines: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the (G,) mean training delta of each line; that of all pairs where it has none.

    Empty where nothing is trained on.
    """
    if responses.entries.empty:
        return {}
    rows = {line: responses.rows(line) for line in lines}
    return {
        line: responses.delta[own if len(own) else slice(None)].mean(axis=0)
        for line, own in rows.items()
    }


def floor_of_others(reference: Reference, threads: int = 1) -> np.ndarray:
    """Score the mean response of the line's other scored pairs, for want of training pairs.

    Where a pair is held against the others of its line, one profile is given to all: the mean of
    all scored pairs. The mean of the others lies on the far side of a pair from them, which would
    score far below chance.

    Returns
    -------
    values
        (pairs, metrics).
    """
    values = moved(reference, deltas_of_others(reference), None, threads)
    means = {
        line: np.mean(
            [
                sample.mean
                for (of, _), (sample, _) in zip(reference.keys, reference.measured, strict=True)
                if of == line
            ],
            axis=0,
        )
        for line in reference.lines
    }
    for name, scores in score_among(reference, means).items():
        values[:, reference.metrics.index(name)] = scores
    return values


def deltas_of_others(reference: Reference) -> dict[Pair, np.ndarray]:
    """Return for each scored pair the (G,) mean delta of the other scored pairs of its line.

    From the given controls, as a training delta is. Zero for a pair that is alone.
    """
    store, by_line = reference.store, {}
    for pair in reference.keys:
        by_line.setdefault(pair.cell_line, []).append(pair)
    deltas = {}
    for line, pairs in by_line.items():
        control = reference.lines[line].given.moments.mean
        each = {pair: store.mean(*pair) - control for pair in pairs}
        total = np.sum([*each.values()], axis=0)
        for pair, delta in each.items():
            others = len(pairs) - 1
            deltas[pair] = (total - delta) / others if others else np.zeros_like(total)
    return deltas
