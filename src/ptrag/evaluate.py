"""How good one run's predictions are: ``metrics.tsv``.

Long form, one row per scored pair and metric: cell_line, perturbation, role, metric, value,
n_real and n_predicted (cells). ``NA`` is a value that the real cells leave undefined (no DEG,
no other perturbation in the line, a single cell), the same pairs for every arm, or a pair that
was not predicted (n_predicted 0). What only the prediction leaves undefined scores as no
information (see each metric).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem

from ptrag.cells.store import CellStore
from ptrag.errors import PtragError, did_you_mean
from ptrag.files import write_table
from ptrag.metrics.discrimination import discrimination
from ptrag.metrics.registry import METRICS, score_pair
from ptrag.reference import Reference, read_reference
from ptrag.splits import Split

COLUMNS = ["cell_line", "perturbation", "role", "metric", "value", "n_real", "n_predicted"]
Pair = tuple[str, str]

logger = logging.getLogger("ptrag")


def evaluate(
    store: CellStore,
    split: Split,
    reference: str | Path,
    predictions: str | Path,
    evaluation: Mapping[str, Any],
    out: str | Path,
) -> None:
    """Score every val and test pair of one run.

    Parameters
    ----------
    store, split
        The real cells, and the role of every pair.
    reference
        What :func:`ptrag.reference.build_reference` wrote for this split.
    predictions
        ``predictions.h5ad`` of the run.
    evaluation
        The section of the configuration; that of ``reference``.
    out
        ``metrics.tsv``.

    Raises
    ------
    PtragError
        If reference or predictions belong to other cells, another split or other settings.
    """
    yardstick = read_reference(reference, store, split)
    if yardstick.settings != dict(evaluation):
        raise PtragError(f"{reference}: made with other settings of `evaluation`; delete it")
    write_table(score_predictions(yardstick, PredictedCells(predictions, store)), out)


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
        keys = [obs["cell_line"].astype(str), obs["perturbation"].astype(str)]
        rows = obs.reset_index(drop=True).groupby(keys_of(keys), sort=False, observed=True).indices
        self.rows: dict[Pair, np.ndarray] = {pair: np.sort(its) for pair, its in rows.items()}

    def read(self, pairs: Sequence[Pair]) -> Iterator[np.ndarray | None]:
        """Yield the (n, G) float32 cells of each pair, or None where it was not predicted."""
        with h5py.File(self.path) as file:
            X = file["X"]
            for pair in pairs:
                rows = self.rows.get(pair)
                if rows is None:
                    yield None
                elif rows[-1] - rows[0] + 1 == len(rows):
                    yield X[rows[0] : rows[-1] + 1]
                else:
                    yield X[rows]


def keys_of(columns: Sequence[pd.Series]) -> list[np.ndarray]:
    """Return the columns as plain arrays to group by."""
    return [column.to_numpy(dtype=object) for column in columns]


def score_predictions(reference: Reference, predicted: PredictedCells) -> pd.DataFrame:
    """Return the table of all metrics of all scored pairs, in the reference's order."""
    pairs = list(zip(reference.pairs["cell_line"], reference.pairs["perturbation"], strict=True))
    if strange := sorted(set(predicted.rows) - set(pairs)):
        line, name = strange[0]
        raise PtragError(
            f"{predicted.path}: {name!r} in {line!r} is no val or test pair of this split; "
            + did_you_mean(name, sorted({other for _, other in pairs}))
        )
    n_predicted = np.array([len(predicted.rows.get(pair, ())) for pair in pairs])
    if missing := int((n_predicted == 0).sum()):
        logger.warning("%s: %d of %d pairs were not predicted", predicted.path, missing, len(pairs))
    values = score_all(reference, predicted.read(pairs))
    n_real = [its.n for its, _ in reference.measured]
    table = reference.pairs.assign(n_real=n_real, n_predicted=n_predicted)
    table = table.loc[np.repeat(table.index, len(METRICS))].reset_index(drop=True)
    table["metric"] = np.tile(list(METRICS), len(pairs))
    return table.assign(value=values.ravel())[COLUMNS]


def score_all(reference: Reference, predicted: Iterator[np.ndarray | None]) -> np.ndarray:
    """Score the cells of every pair in turn, then what needs all pairs of a line.

    Returns
    -------
    values
        (pairs, metrics) in the orders of ``reference.pairs`` and :data:`METRICS`.
    """
    values = np.full((len(reference.pairs), len(METRICS)), np.nan)
    means = np.full((len(reference.pairs), reference.store.n_genes), np.nan)
    at = {name: i for i, name in enumerate(METRICS)}
    for number, cells in enumerate(predicted):
        if cells is not None:
            real = reference.real(number)
            profile = reference.profile(number, cells, size=real.moments.n)
            means[number] = profile.moments.mean
            for name, value in score_pair(reference.scored(number, profile, real)).items():
                values[number, at[name]] = value
        if (number + 1) % 100 == 0:
            logger.info("%d of %d pairs scored", number + 1, len(values))
    for distance in ("l1", "l2", "cosine"):
        values[:, at[f"pds_{distance}"]] = _discriminate(reference, means, distance)
    return values


def _discriminate(reference: Reference, means: np.ndarray, distance: str) -> np.ndarray:
    """Discrimination of every pair among the scored pairs of its line and role."""
    score = np.full(len(means), np.nan)
    there = ~np.isnan(means[:, 0])
    for (line, _), rows in reference.pairs.groupby(["cell_line", "role"]).indices.items():
        asked = np.flatnonzero(there[rows])
        control = reference.lines[line].control.mean
        real = np.stack([reference.measured[i][0].mean for i in rows]) - control
        names = reference.pairs["perturbation"].iloc[rows[asked]]
        score[rows[asked]] = discrimination(
            means[rows[asked]] - control,
            real,
            asked,
            distance,
            [reference.targets(n) for n in names],
        )
    return score
