"""``last.ckpt``: the whole state of an unfinished training."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import torch

from ptrag.arms.registry import load_arm
from ptrag.base.files import atomic
from ptrag.cells.store import CellStore
from ptrag.provenance.code import code_digest

logger = logging.getLogger("ptrag")


def digest(*parts: Any) -> str:
    """Return the SHA-256 of JSON-able content."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def store_digest(store: CellStore) -> str:
    """Return a digest of a store: genes, pairs, batches and a thousand of its cells.

    A store of hundreds of thousands of cells is too much to read whole at each start.
    """
    rows = store.X[:: max(1, store.n_cells // 1000)]
    values = hashlib.sha256(rows.tobytes()).hexdigest()
    codes = hashlib.sha256(store.batch_codes.tobytes()).hexdigest()
    table = store.pairs.to_csv(index=False)
    return digest(store.genes, table, store.batches, store.source_sha256, values, codes)


def training_digest(arm: str) -> str:
    """Return a digest of the code that decides what the training of an arm computes."""
    return digest(code_digest(["ptrag/training/run.py", load_arm(arm).path]), torch.__version__)


def save_checkpoint(path: Path, fingerprint: str, state: dict[str, Any]) -> None:
    """Write the state whole or not at all; ``fingerprint`` says what it belongs to."""
    with atomic(path) as part:
        torch.save({"fingerprint": fingerprint, **state}, part)


def load_checkpoint(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return the state to go on from, or None where there is none of this fingerprint."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever unpickling happens to
        logger.info("%s: cannot be read (%s); starting afresh", path, type(error).__name__)
        return None
    if state.get("fingerprint") != fingerprint:
        logger.info("%s: made with other settings, inputs or code; starting afresh", path)
        return None
    return state
