"""How good one run's predictions are: ``metrics.tsv``.

Long form, one row per scored pair and metric:

cell_line, perturbation, role, metric
    What is scored.
value
    The metric. ``NA`` is a value that the real cells leave undefined (no DEG, no other
    perturbation in the line, too few cells), the same pairs for every arm, or a pair that was
    not predicted (n_predicted 0). What only the prediction leaves undefined scores as no
    information (see each metric), so that no arm gains by it.
floor, ceiling
    The metric of the mean baseline and of split halves of the real cells, for this pair. One
    pair's own floor and ceiling are noisy: a scale is made of the means over pairs
    (``comparison.tsv``).
n_real, n_predicted
    Cells.
strength
    Of the real response, the noise of its measurement taken off
    (:func:`ptrag.evaluation.strength.strengths`).
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.files import write_table
from ptrag.base.names import PAIR, ROLE, STRENGTH, Pair
from ptrag.cells.store import CellStore
from ptrag.evaluation.challenge import Challenge
from ptrag.evaluation.lines import Controls
from ptrag.evaluation.predictions import Predictions, read_profiles
from ptrag.evaluation.reference import read_reference
from ptrag.evaluation.scoring import score_all
from ptrag.evaluation.sides import Case, Reference
from ptrag.evaluation.strength import strengths
from ptrag.splits.protocols import Split

COLUMNS = [*PAIR, ROLE, "metric", "value", "floor", "ceiling", "n_real", "n_predicted", STRENGTH]

logger = logging.getLogger("ptrag")


def evaluate(
    store: CellStore,
    split: Split,
    reference: str | Path,
    profiles: str | Path,
    predictions: str | Path,
    evaluation: Mapping[str, Any],
    out: str | Path,
    threads: int = 1,
) -> None:
    """Score every val and test pair of one run.

    Parameters
    ----------
    store, split
        The real cells, and the role of every pair.
    reference
        What :func:`ptrag.evaluation.reference.build_reference` wrote for this split.
    profiles, predictions
        ``profiles.h5ad`` and ``predictions.h5ad`` of the run.
    evaluation
        The section of the configuration; that of ``reference``.
    out
        ``metrics.tsv``.
    threads
        Pairs scored at once.

    Raises
    ------
    PtragError
        If reference or predictions belong to other cells, another split or other settings.
    """
    known = read_reference(reference, store, split)
    if known.settings != dict(evaluation):
        raise PtragError(f"{reference}: made with other settings of `evaluation`; delete it")
    run = Predictions(predictions, store, read_profiles(profiles, store))
    given = {name: line.given for name, line in known.lines.items()}
    write_table(score_predictions(known, run, given, threads), out)


def score_predictions(
    reference: Reference,
    predictions: Predictions,
    origins: Mapping[str, Controls],
    threads: int = 1,
    challenge: Challenge | None = None,
) -> pd.DataFrame:
    """Return the table of all metrics of all scored pairs, in the reference's order.

    Parameters
    ----------
    reference
        What to score with.
    predictions
        What is scored.
    origins
        For each line the controls from which its predictions are measured.
    threads
        Pairs scored at once.
    challenge
        That of ``reference``, where several predictions are scored.
    """
    pairs = reference.keys
    n_predicted = np.array([len(predictions.rows.get(pair, ())) for pair in pairs])
    _check_pairs(predictions, pairs, n_predicted)

    with predictions.opened() as read:

        def case(number: int) -> Case | None:
            predicted, origin = read(pairs[number]), origins[pairs[number].cell_line]
            if predicted is None:
                return None
            real = reference.real(number)
            size = real.moments.n
            side = reference.side(number, predicted.cells, origin, predicted.mean, size)
            return Case(side, real)

        values = score_all(reference, case, threads)
        if reference.store.has_counts:
            challenge = challenge or Challenge(reference, threads)
            members = challenge.submission(lambda row: read(pairs[row]).counts, n_predicted > 0)
            values = reference.with_members(values, members)
    return table_of(reference, values, n_predicted)


def table_of(reference: Reference, values: np.ndarray, n_predicted: np.ndarray) -> pd.DataFrame:
    """Return (pairs, metrics) values as the rows of ``metrics.tsv``.

    ``n_predicted`` (pairs,) are the predicted cells of each pair.
    """
    names = reference.metrics
    table = reference.pairs.assign(
        n_real=[sample.n for sample, _ in reference.measured],
        n_predicted=n_predicted,
        **{STRENGTH: strengths(reference)},
    )
    table = table.loc[np.repeat(table.index, len(names))].reset_index(drop=True)
    return table.assign(
        metric=np.tile(names, len(reference.pairs)),
        value=values.ravel(),
        **{name: bound.ravel() for name, bound in reference.bounds.items()},
    )[COLUMNS]


def _check_pairs(predictions: Predictions, pairs: Sequence[Pair], n: np.ndarray) -> None:
    if strange := sorted(set(predictions.rows) - set(pairs)):
        line, name = strange[0]
        raise PtragError(
            f"{predictions.path}: {name!r} in {line!r} is no val or test pair of this split; "
            + did_you_mean(name, sorted({pair.perturbation for pair in pairs}))
        )
    if (n == 1).any():
        line, name = pairs[int(np.flatnonzero(n == 1)[0])]
        raise PtragError(
            f"{predictions.path}: one predicted cell of {name!r} in {line!r}; distances between "
            "samples need at least two"
        )
    if missing := int((n == 0).sum()):
        logger.warning(
            "%s: %d of %d pairs were not predicted", predictions.path, missing, len(pairs)
        )
