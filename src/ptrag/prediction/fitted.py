"""An arm that several jobs read is fitted once, into a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptrag.arms.registry import load_arm
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.genes.embeddings import read_embedding
from ptrag.retrieval.index import read_neighbours
from ptrag.splits.leakage import audit_responses
from ptrag.splits.protocols import Split


def fit_once(
    store: CellStore,
    split: Split,
    arm: str,
    options: Mapping[str, Any],
    embedding: str | Path,
    index: str | Path,
    out: str | Path,
    like: str | Path | None = None,
) -> None:
    """Fit an arm on the training responses of a split, and write what was fitted.

    Parameters
    ----------
    store, split
        Cells and the roles of their pairs.
    arm, options
        The arm, such as ``response_expert@shuffled``, and its entry of ``arm_options``.
    embedding, index
        The h5ad and the folder it reads.
    out
        The file to write.
    like
        What was fitted to the same responses with other vectors: what reads no vectors is taken
        from there.

    Raises
    ------
    PtragError
        If a response leaks.
    """
    kind = load_arm(arm)
    responses = Responses.measured(store, split)
    audit_responses(split, responses.entries)
    given = dict(options) | {"like": None if like is None else kind.read(like)}
    fitted = kind.fit(responses, read_embedding(embedding), read_neighbours(index), given)
    kind.write(fitted, out)
