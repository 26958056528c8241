"""Predict pairs from the given controls of their lines, and write what is predicted."""

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

import pandas as pd
from threadpoolctl import threadpool_limits

from ptrag.arms.estimate import Estimate
from ptrag.base.errors import PtragError
from ptrag.base.names import Pair
from ptrag.base.progress import Progress
from ptrag.cells.store import CellStore
from ptrag.prediction.bundle import Bundle
from ptrag.prediction.closed_form import prediction_of
from ptrag.prediction.files import PredictionFiles, written_predictions
from ptrag.prediction.lines import FALLBACK
from ptrag.prediction.prediction import GivenControls, predicted_cells
from ptrag.prediction.resumed import resumed
from ptrag.splits.protocols import Split

AT_ONCE = 128
"""Perturbations whose vectors are held at a time."""

MEAN_RESPONSE = "fallback: mean response of the line"

logger = logging.getLogger("ptrag")


def controls_of_split(store: CellStore, split: Split) -> dict[str, GivenControls]:
    """Return the given controls of every line of which pairs are predicted.

    What makes cells of them is worked out once and kept: all arms of a job share it.
    """
    lines = sorted({line for line, _ in split.pairs("val") + split.pairs("test")})
    return {line: GivenControls.of_store(store, line) for line in lines}


def predict_split(
    bundle: Bundle,
    split: Split,
    controls: Mapping[str, GivenControls],
    n_cells: int,
    files: PredictionFiles,
) -> None:
    """Predict every val and test pair of a split that the bundle's arm knows.

    Parameters
    ----------
    bundle
        What was fitted or trained on the split.
    split
        The role of every pair.
    controls
        Of :func:`controls_of_split`.
    n_cells
        Cells of each pair.
    files
        Where predictions go.

    Raises
    ------
    PtragError
        If nothing can be predicted.
    """
    pairs = [Pair(*pair) for pair in sorted(split.pairs("val") + split.pairs("test"))]
    known = [pair for pair in pairs if bundle.predictor.knows(pair.perturbation)]
    if len(known) < len(pairs):
        logger.info("%d of %d pairs have no vector", len(pairs) - len(known), len(pairs))
    predict_pairs(bundle, known, controls, n_cells, files)


def predict_with_network(
    bundle: Bundle,
    store: CellStore,
    split: Split,
    cells_per_pair: int,
    files: PredictionFiles,
    code: str = "",
) -> None:
    """Predict every val and test pair of the split that a network was trained on.

    After a kill it goes on where it was.

    Parameters
    ----------
    bundle
        What :func:`ptrag.prediction.loading.load_bundle` returns.
    store, split
        What it was trained on.
    cells_per_pair
        Cells of each pair, rounded up to whole sets.
    files
        To write.
    code
        Digest of the code that predicts: what other code has predicted is not gone on with.

    Raises
    ------
    PtragError
        If the store has other genes than the bundle, or nothing can be predicted.
    """
    if store.genes != bundle.genes:
        raise PtragError(f"{store.path}: other genes than the bundle's; train on this store again")
    n_cells = predicted_cells(cells_per_pair, bundle.predictor.set_size)
    depends_on = bundle.about | {"split": split.sha256, "cells": n_cells, "code": code}
    with resumed(bundle.predictor, files.cells, depends_on) as keeping:
        controls = controls_of_split(store, split)
        predict_split(replace(bundle, predictor=keeping), split, controls, n_cells, files)


def predict_pairs(
    bundle: Bundle,
    pairs: Sequence[Pair],
    controls: Mapping[str, GivenControls],
    n_cells: int | None,
    files: PredictionFiles,
    fallback: Set[str] = frozenset(),
) -> pd.DataFrame:
    """Predict pairs one after the other: the one path of the workflow, the command and Python.

    Parameters
    ----------
    bundle
        What predicts; its predictor knows the lines.
    pairs
        What is predicted.
    controls
        The given controls of each line.
    n_cells
        Cells of each pair; None: one for each control.
    files
        To write.
    fallback
        Perturbations to predict by the mean response of the line.

    Returns
    -------
    summary
        As :mod:`ptrag.prediction.summary` describes it.
    """
    progress = Progress(bundle.about["arm"], len(pairs), "pairs predicted")
    with (
        threadpool_limits(1, user_api="blas"),  # sums of several threads have other last bits
        written_predictions(files, pairs, controls, n_cells, bundle.genes, bundle.facts) as write,
    ):
        for number, pair in enumerate(pairs):
            if number % AT_ONCE == 0:
                names = [other.perturbation for other in pairs[number : number + AT_ONCE]]
                bundle.meet([name for name in names if name not in fallback])
            given = controls[pair.cell_line]
            level = FALLBACK if pair.perturbation in fallback else bundle.lines.level(pair)
            if level == FALLBACK:
                estimate = Estimate(bundle.lines.mean_response(pair.cell_line), note=MEAN_RESPONSE)
                prediction = prediction_of(estimate, given, pair.perturbation, n_cells)
            else:
                prediction = bundle.predictor.predict(given, pair.perturbation, n_cells)
            write(prediction, level, bundle.nearest(pair.perturbation))
            progress.step()
    return write.summary()
