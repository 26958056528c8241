"""``predictions.h5ad``: the predicted cells of pairs, streamed to disk.

An ordinary AnnData file. obs: ``cell_line``, ``perturbation``, ``control_cell`` (the name of
the control cell that a predicted cell starts from); X: (n, G) float32 on the store's scale,
contiguous and uncompressed, each pair one block of rows; uns: ``arm``, ``seed``,
``checkpoint`` (SHA-256 of the weights, empty for arms without), ``scale``, ``simulated``.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError
from ptrag.base.files import atomic
from ptrag.cells.sets import prediction_controls
from ptrag.cells.store import CellStore, write_h5ad_around

#: Columns of ``evidence.tsv``: what each candidate of a pair did to its prediction. ``gate`` is
#: the mean over cells, or a closed form's coefficient ω; ``note`` says what a prediction fell back
#: on (in a row without candidate if need be).
EVIDENCE = [
    "cell_line", "perturbation", "candidate", "rank", "similarity", "gate", "effect", "note",
]  # fmt: skip


class Task(NamedTuple):
    """A pair to predict and the rows of the control cells it starts from."""

    cell_line: str
    perturbation: str
    rows: np.ndarray


def predicted_cells(cells_per_pair: int, set_size: int) -> int:
    """Return ``cells_per_pair`` rounded up to whole sets: what is predicted of each pair."""
    return -(-cells_per_pair // set_size) * set_size


def prediction_tasks(
    store: CellStore, pairs: Sequence[tuple[str, str]], cells_per_pair: int, set_size: int
) -> list[Task]:
    """Return what to predict: for each pair ``cells_per_pair`` rounded up to whole sets.

    The control cells depend on the pair alone, so that all arms start from the same ones.
    """
    n = predicted_cells(cells_per_pair, set_size)
    return [Task(*pair, prediction_controls(store, *pair, n)) for pair in pairs]


@contextmanager
def new_predictions(
    path: str | Path,
    store: CellStore,
    tasks: Sequence[Task],
    *,
    arm: str,
    seed: int,
    checkpoint: str = "",
) -> Iterator[Callable[[np.ndarray], None]]:
    """Make ``predictions.h5ad`` and yield what takes the cells of each task, in order.

    Parameters
    ----------
    path
        The file; it takes its name when the block ends without an exception.
    store
        Where the control cells come from.
    tasks
        What is predicted.
    arm, seed, checkpoint
        Kept in uns.

    Raises
    ------
    PtragError
        If there are no tasks.
    """
    if not tasks:
        raise PtragError(
            f"{path}: no val or test pair to predict; check the split and the embedding's coverage"
        )
    rows = np.concatenate([task.rows for task in tasks])
    sizes = [len(task.rows) for task in tasks]
    obs = {
        key: pd.Categorical(np.repeat(np.array([task[i] for task in tasks], dtype=object), sizes))
        for i, key in enumerate(("cell_line", "perturbation"))
    }
    obs["control_cell"] = pd.Categorical(store.obs.index[rows].astype(str))
    table = pd.DataFrame(obs, index=pd.RangeIndex(len(rows)).astype(str))
    uns = {
        "arm": arm, "seed": seed, "checkpoint": checkpoint, "scale": store.scale,
        "simulated": store.simulated,
    }  # fmt: skip
    with written_in_blocks(path, table, store.genes, uns) as write:
        yield write


@contextmanager
def written_in_blocks(
    path: str | Path, obs: pd.DataFrame, genes: Sequence[str], uns: dict[str, Any]
) -> Iterator[Callable[[np.ndarray], None]]:
    """Make an AnnData file and yield what takes its rows of X, block after block."""
    with atomic(path) as part:
        offset = write_h5ad_around(part, obs, genes, uns)
        with open(part, "r+b") as file:
            file.seek(offset)
            written = 0

            def write(block: np.ndarray) -> None:
                nonlocal written
                block = np.ascontiguousarray(block, dtype="<f4")
                if block.shape[1:] != (len(genes),):
                    raise ValueError(f"{path}: block {block.shape} for {len(genes)} genes")
                file.write(memoryview(block).cast("B"))
                written += len(block)

            yield write
            if written != len(obs):
                raise ValueError(f"{path}: {written} of {len(obs)} rows were written")
