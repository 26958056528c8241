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
    The metric of the mean baseline and of split halves of the real cells, for this pair.
scaled
    (value − floor) / (ceiling − floor); ``NA`` where the ceiling is not better than the floor.
n_real, n_predicted
    Cells.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.files import write_table
from ptrag.cells.store import CellStore
from ptrag.evaluation.reference import read_reference
from ptrag.evaluation.scoring import Case, Reference, score_all
from ptrag.metrics.registry import METRICS
from ptrag.splits.protocols import Split

COLUMNS = [
    "cell_line", "perturbation", "role", "metric", "value", "floor", "ceiling", "scaled", "n_real",
    "n_predicted",
]  # fmt: skip
Pair = tuple[str, str]

logger = logging.getLogger("ptrag")


def evaluate(
    store: CellStore,
    split: Split,
    reference: str | Path,
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
    predictions
        ``predictions.h5ad`` of the run.
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
    yardstick = read_reference(reference, store, split)
    if yardstick.settings != dict(evaluation):
        raise PtragError(f"{reference}: made with other settings of `evaluation`; delete it")
    write_table(score_predictions(yardstick, PredictedCells(predictions, store), threads), out)


class PredictedCells:
    """``predictions.h5ad``, read pair by pair."""

    def __init__(self, path: str | Path, store: CellStore) -> None:
        self.path = Path(path)
        try:
            with h5py.File(path) as file:
                obs, genes = read_elem(file["obs"]), read_elem(file["var"]).index
                uns = read_elem(file["uns"])
        except (OSError, KeyError):
            raise PtragError(f"{path}: is no file of predictions; delete it") from None
        if list(genes.astype(str)) != store.genes:
            raise PtragError(f"{path}: other genes than {store.path}; predict again from it")
        if uns.get("scale") != store.scale:
            raise PtragError(
                f"{path}: predicted on scale {uns.get('scale')!r}, "
                f"{store.path} is on {store.scale!r}; both must be the same"
            )
        keys = [obs[key].astype(str).to_numpy(object) for key in ("cell_line", "perturbation")]
        rows = obs.reset_index(drop=True).groupby(keys, sort=False).indices
        self.rows: dict[Pair, np.ndarray] = {pair: np.sort(its) for pair, its in rows.items()}

    @contextmanager
    def opened(self) -> Iterator[Callable[[Pair], np.ndarray | None]]:
        """Yield what reads the (n, G) float32 cells of a pair, None where it was not predicted."""
        with h5py.File(self.path) as file:
            X = file["X"]

            def read(pair: Pair) -> np.ndarray | None:
                rows = self.rows.get(pair)
                if rows is None:
                    return None
                together = rows[-1] - rows[0] + 1 == len(rows)
                return X[rows[0] : rows[-1] + 1] if together else X[rows]

            yield read


def score_predictions(
    reference: Reference, predicted: PredictedCells, threads: int = 1
) -> pd.DataFrame:
    """Return the table of all metrics of all scored pairs, in the reference's order."""
    pairs = list(zip(reference.pairs["cell_line"], reference.pairs["perturbation"], strict=True))
    n_predicted = np.array([len(predicted.rows.get(pair, ())) for pair in pairs])
    _check_pairs(predicted, pairs, n_predicted)

    with predicted.opened() as read:

        def case(number: int) -> Case | None:
            cells = read(pairs[number])
            if cells is None:
                return None
            real = reference.real(number)
            return Case(reference.profile(number, cells, size=real.moments.n), real)

        values = score_all(reference, case, threads)
    names, n_real = reference.metrics, [its.n for its, _ in reference.measured]
    table = reference.pairs.assign(n_real=n_real, n_predicted=n_predicted)
    table = table.loc[np.repeat(table.index, len(names))].reset_index(drop=True)
    table["metric"] = np.tile(names, len(pairs))
    floor, ceiling = reference.bounds["floor"], reference.bounds["ceiling"]
    scaled = scale(values, floor, ceiling, np.array([METRICS[name].higher for name in names]))
    columns = {"value": values, "floor": floor, "ceiling": ceiling, "scaled": scaled}
    return table.assign(**{key: its.ravel() for key, its in columns.items()})[COLUMNS]


def _check_pairs(predicted: PredictedCells, pairs: Sequence[Pair], n: np.ndarray) -> None:
    if strange := sorted(set(predicted.rows) - set(pairs)):
        line, name = strange[0]
        raise PtragError(
            f"{predicted.path}: {name!r} in {line!r} is no val or test pair of this split; "
            + did_you_mean(name, sorted({other for _, other in pairs}))
        )
    if (n == 1).any():
        line, name = pairs[int(np.flatnonzero(n == 1)[0])]
        raise PtragError(
            f"{predicted.path}: one predicted cell of {name!r} in {line!r}; distances between "
            "samples need at least two"
        )
    if missing := int((n == 0).sum()):
        logger.warning("%s: %d of %d pairs were not predicted", predicted.path, missing, len(pairs))


def scale(
    values: np.ndarray, floor: np.ndarray, ceiling: np.ndarray, higher: np.ndarray
) -> np.ndarray:
    """Return (value − floor) / (ceiling − floor), NaN where the ceiling is not better.

    Parameters
    ----------
    values, floor, ceiling
        (pairs, metrics).
    higher
        (metrics,) whether more is better.
    """
    room = ceiling - floor
    usable = np.where(higher, room, -room) > 0
    return np.divide(values - floor, room, out=np.full(values.shape, np.nan), where=usable)
