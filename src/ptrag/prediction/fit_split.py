"""The closed forms of a split: fitted on its training pairs, written, and asked for the others."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ptrag.arms.registry import load_arm
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.genes.embeddings import read_embedding
from ptrag.genes.vectors import Provider
from ptrag.prediction.bundle import Bundle, write_closed_form
from ptrag.prediction.files import PredictionFiles
from ptrag.prediction.fitting import bundle_of, fit_bundle
from ptrag.prediction.lines import Lines
from ptrag.prediction.pairs import controls_of_split, predict_split
from ptrag.retrieval.index import read_neighbours
from ptrag.splits.leakage import audit_responses
from ptrag.splits.protocols import Split

logger = logging.getLogger("ptrag")


class ClosedFormJob(NamedTuple):
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
    bundle
        The folder to write what was fitted to; None: none.
    provider
        Where new genes get their vectors from.
    fitted
        The file of the arm as it was fitted before; None: it is fitted here.
    """

    arm: str
    options: dict[str, Any]
    embedding: Path | None
    index: Path | None
    files: PredictionFiles
    bundle: Path | None = None
    provider: Provider | None = None
    fitted: Path | None = None


def predict_closed_forms(
    store: CellStore,
    split: Split,
    jobs: Sequence[ClosedFormJob],
    n_cells: int,
    truth: str | Path | None = None,
) -> dict[str, Any]:
    """Fit each arm on the training responses, predict every val and test pair, write its bundle.

    Parameters
    ----------
    store, split
        Cells and the roles of their pairs.
    jobs
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
    lines, controls = Lines.of(responses, store), controls_of_split(store, split)
    for job in jobs:
        # no name is kept for a fitted arm: while the next is fitted, its memory is free
        bundle = _fitted(job, responses, lines, store, split, truth)
        predict_split(bundle, split, controls, n_cells, job.files)
        del bundle
    return audit


def _fitted(
    job: ClosedFormJob,
    responses: Responses,
    lines: Lines,
    store: CellStore,
    split: Split,
    truth: str | Path | None,
) -> Bundle:
    """Fit one arm, or read it where it was fitted; write its bundle where one is asked for."""
    embedding = job.embedding and read_embedding(job.embedding)
    hashes = {"split": split.sha256}
    if job.fitted is not None:
        fits = {split.protocol: load_arm(job.arm).read(job.fitted)}
        bundle = bundle_of(store, fits, lines, job.arm, job.options, embedding, hashes)
    else:
        bundle = fit_bundle(
            store, responses, lines, job.arm, job.options | {"truth": truth}, embedding,
            job.index and read_neighbours(job.index), hashes=hashes,
        )  # fmt: skip
    if job.bundle is not None:
        write_closed_form(bundle, job.bundle, job.provider)
    return bundle
