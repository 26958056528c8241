"""Arms that need no training loop: fitted in one go, they predict a delta."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ptrag.arms.estimate import Fitted, start
from ptrag.arms.registry import load_arm
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.genes.embeddings import read_embedding
from ptrag.prediction.files import PredictionFiles
from ptrag.prediction.pairs import predict_split
from ptrag.prediction.prediction import GivenControls, Prediction, evidence_table
from ptrag.retrieval.index import read_neighbours
from ptrag.splits.leakage import audit_responses
from ptrag.splits.protocols import Split

logger = logging.getLogger("ptrag")


class ClosedFormPredictor(NamedTuple):
    """A fitted closed form.

    Attributes
    ----------
    fitted
        From (line, perturbation) to the estimated delta.
    """

    fitted: Fitted

    def knows(self, perturbation: str) -> bool:
        """Every closed form has a word on any perturbation: at worst the line's mean."""
        return True

    def predict(
        self, controls: GivenControls, perturbation: str, n_cells: int | None = None
    ) -> Prediction:
        """Predict one pair: profile max(0, origin + δ̂), and cells of it."""
        estimate, given = self.fitted(controls.line, perturbation), controls.mean
        origin = start(estimate.origin, given)
        rows = controls.drawn(perturbation, n_cells)
        cells = controls.emitted(origin - given + estimate.delta, perturbation, rows)
        profile = np.maximum(origin + estimate.delta, 0.0)
        changes: list[tuple[Any, ...]] = [
            (
                candidate.name, candidate.similarity, candidate.weight,
                np.linalg.norm(
                    np.maximum(start(candidate.origin, given) + candidate.without, 0.0) - profile
                ),
            )
            for candidate in estimate.candidates
        ]  # fmt: skip
        return Prediction(
            profile, profile - origin, cells, rows, evidence_table(changes, estimate.note)
        )


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
    files
        To write.
    """

    arm: str
    options: dict[str, Any]
    embedding: Path | None
    index: Path | None
    files: PredictionFiles


def predict_closed_forms(
    store: CellStore,
    split: Split,
    forms: Sequence[ClosedForm],
    n_cells: int,
    truth: str | Path | None = None,
) -> dict[str, Any]:
    """Fit each arm on the training responses, and predict every val and test pair.

    Parameters
    ----------
    store, split
        Cells and the roles of their pairs.
    forms
        The arms.
    n_cells
        Cells of each pair.
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
    for form in forms:
        uns = {"arm": form.arm, "seed": 0, "checkpoint": ""}
        # no name is kept for a fitted arm: while the next is fitted, its memory is free
        predict_split(_fitted(form, responses, truth), store, split, n_cells, form.files, uns)
    return audit


def _fitted(
    form: ClosedForm, responses: Responses, truth: str | Path | None
) -> ClosedFormPredictor:
    fitted = load_arm(form.arm).fit(
        responses,
        form.embedding and read_embedding(form.embedding),
        form.index and read_neighbours(form.index),
        form.options | {"truth": truth},
    )
    return ClosedFormPredictor(fitted)
