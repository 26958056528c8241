"""Fit the closed-form arms of a split and predict with them, in one go.

All arms start from the same control cells as the neural arms, and shift them so that their mean
is that of all the line's controls plus the delta they estimate
(:func:`ptrag.prediction.emission.shift_cells`).
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ptrag.arms.estimate import Estimate
from ptrag.arms.registry import load_arm
from ptrag.base.files import write_table
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.genes.embeddings import read_embedding
from ptrag.prediction.emission import shift_cells
from ptrag.prediction.files import EVIDENCE, Task, new_predictions, prediction_tasks
from ptrag.retrieval.index import read_neighbours
from ptrag.splits.leakage import audit_responses
from ptrag.splits.protocols import Split

logger = logging.getLogger("ptrag")


class ClosedForm(NamedTuple):
    """One closed-form arm to fit.

    Attributes
    ----------
    arm
        Its name, such as ``knn@shuffled``.
    options
        Its entry of ``arm_options``.
    embedding, index
        The h5ad and the folder it reads, or None.
    predictions, evidence
        Files to write.
    """

    arm: str
    options: dict[str, Any]
    embedding: Path | None
    index: Path | None
    predictions: Path
    evidence: Path


def predict_closed_forms(
    store: CellStore,
    split: Split,
    forms: Sequence[ClosedForm],
    cells_per_pair: int,
    set_size: int,
    truth: str | Path | None = None,
) -> dict[str, Any]:
    """Fit each arm on the training responses, predict every val and test pair, write both tables.

    Parameters
    ----------
    store, split
        Cells and the roles of their pairs.
    forms
        The arms.
    cells_per_pair, set_size
        As for neural arms: predicted cells of a pair, rounded up to whole sets.
    truth
        ``truth.h5ad`` of a simulated screen, which the arm ``oracle`` reads.

    Returns
    -------
    audit
        The leak audit of the responses that the arms learnt from.

    Raises
    ------
    PtragError
        If an arm lacks what it needs, or a response leaks.
    """
    responses = Responses.measured(store, split)
    audit = audit_responses(split, responses.entries)
    logger.info("%d training responses of %d genes", *responses.delta.shape)
    tasks = prediction_tasks(
        store, sorted(split.pairs("val") + split.pairs("test")), cells_per_pair, set_size
    )
    for form in forms:
        predict = load_arm(form.arm).fit(
            responses,
            form.embedding and read_embedding(form.embedding),
            form.index and read_neighbours(form.index),
            form.options | {"truth": truth},
        )
        rows: list[tuple] = []
        with new_predictions(form.predictions, store, tasks, arm=form.arm, seed=0) as write:
            for task in tasks:
                estimate = predict(task.cell_line, task.perturbation)
                mean = responses.control_mean[task.cell_line]
                write(predicted(np.asarray(store.X[task.rows]), estimate, mean))
                rows += evidence_rows(task, estimate, mean)
        write_table(pd.DataFrame(rows, columns=EVIDENCE), form.evidence)
        logger.info("%s: %d pairs", form.arm, len(tasks))
    return audit


def predicted(controls: np.ndarray, estimate: Estimate, mean: np.ndarray) -> np.ndarray:
    """Return the cells (n, G) of one pair, of mean ``mean`` + δ̂; without change, the controls.

    A delta is measured from the ``mean`` of all controls: from that of the few drawn for the pair,
    the prediction would be off by what these are off.
    """
    return shift_cells(controls, estimate.delta, mean) if estimate.delta.any() else controls


def evidence_rows(task: Task, estimate: Estimate, control: np.ndarray) -> list[tuple]:
    """Return the rows of ``evidence.tsv`` of one pair.

    ``effect`` is the L2 norm of the change of the mean predicted profile, max(0, ``control`` + δ̂),
    when the candidate is left out.
    """
    pair = task.cell_line, task.perturbation
    profile = np.maximum(control + estimate.delta, 0.0)
    rows = [
        (
            *pair, its.name, rank, its.similarity, its.weight,
            np.linalg.norm(np.maximum(control + its.without, 0.0) - profile), estimate.note,
        )
        for rank, its in enumerate(estimate.candidates, start=1)
    ]  # fmt: skip
    if estimate.note and not rows:
        rows = [(*pair, None, None, None, None, None, estimate.note)]
    return rows
