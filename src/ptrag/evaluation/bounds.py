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

from ptrag.base.random import keyed_rng
from ptrag.cells.responses import Responses
from ptrag.evaluation.predictions import PredictedMean
from ptrag.evaluation.scoring import Case, Reference, score_all
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
    given = {name: GivenControls.of_store(reference.store, name) for name in deltas}

    def case(number: int) -> Case:
        pair, origin = reference.keys[number], reference.line(number).given
        controls, delta = given[pair.cell_line], deltas[pair.cell_line]
        rows = controls.drawn(pair.perturbation, n_cells)
        cells = controls.emitted(delta, pair.perturbation, rows)
        profile = np.maximum(origin.moments.mean + delta, 0.0)
        mean = PredictedMean(profile, profile - origin.moments.mean)
        real = reference.real(number)
        return Case(reference.side(number, cells, origin, mean, real.moments.n), real)

    return score_all(reference, case, threads)


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

    return score_all(reference, case, threads)


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
