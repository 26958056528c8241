"""Predict pairs from the given controls of their lines, and write what is predicted."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ptrag.base.errors import PtragError
from ptrag.base.names import Pair
from ptrag.cells.store import CellStore
from ptrag.prediction.files import PredictionFiles, written_predictions
from ptrag.prediction.prediction import GivenControls, Predictor, predicted_cells
from ptrag.splits.protocols import Split

if TYPE_CHECKING:
    from ptrag.prediction.network import NetworkPredictor

PROGRESS_SECONDS = 30

logger = logging.getLogger("ptrag")


def predict_split(
    predictor: Predictor,
    store: CellStore,
    split: Split,
    n_cells: int,
    files: PredictionFiles,
    uns: Mapping[str, Any],
) -> None:
    """Predict every val and test pair of a split that the predictor knows.

    Parameters
    ----------
    predictor
        A trained network or a fitted closed form.
    store, split
        The cells it learnt from, and the role of every pair.
    n_cells
        Cells of each pair.
    files, uns
        Where predictions go, and ``arm``, ``seed`` and ``checkpoint``.

    Raises
    ------
    PtragError
        If nothing can be predicted.
    """
    pairs = [Pair(*pair) for pair in sorted(split.pairs("val") + split.pairs("test"))]
    known = [pair for pair in pairs if predictor.knows(pair.perturbation)]
    if len(known) < len(pairs):
        logger.info("%d of %d pairs have no vector", len(pairs) - len(known), len(pairs))
    controls = {
        line: GivenControls.of_store(store, line)
        for line in dict.fromkeys(pair.cell_line for pair in known)
    }
    facts = {"scale": store.scale, "simulated": store.simulated, **uns}
    predict_pairs(predictor, known, controls, n_cells, store.genes, files, facts)


def predict_with_bundle(
    predictor: "NetworkPredictor",
    store: CellStore,
    split: Split,
    cells_per_pair: int,
    files: PredictionFiles,
) -> None:
    """Predict every val and test pair of the split that a network was trained on.

    Parameters
    ----------
    predictor
        What :func:`ptrag.prediction.bundle.load_bundle` returns.
    store, split
        What it was trained on.
    cells_per_pair
        Cells of each pair, rounded up to whole sets.
    files
        To write.

    Raises
    ------
    PtragError
        If the store has other genes than the bundle, or nothing can be predicted.
    """
    if store.genes != predictor.genes:
        raise PtragError(f"{store.path}: other genes than the bundle's; train on this store again")
    predictor.use_threads()
    n_cells = predicted_cells(cells_per_pair, predictor.set_size)
    predict_split(predictor, store, split, n_cells, files, predictor.facts)


def predict_pairs(
    predictor: Predictor,
    pairs: Sequence[Pair],
    controls: Mapping[str, GivenControls],
    n_cells: int | None,
    genes: Sequence[str],
    files: PredictionFiles,
    uns: Mapping[str, Any],
) -> None:
    """Predict pairs one after the other: the one path of the workflow and of the command."""
    begun = last = time.monotonic()
    with written_predictions(files, pairs, controls, n_cells, genes, uns) as write:
        for number, pair in enumerate(pairs, start=1):
            write(predictor.predict(controls[pair.cell_line], pair.perturbation, n_cells))
            if time.monotonic() - last > PROGRESS_SECONDS or number == len(pairs):
                last = time.monotonic()
                rate = number / max(last - begun, 1e-9)
                logger.info(
                    "%s: %d of %d pairs predicted, %.3g pairs/s, %.0f s left",
                    uns["arm"], number, len(pairs), rate, (len(pairs) - number) / rate,
                )  # fmt: skip
