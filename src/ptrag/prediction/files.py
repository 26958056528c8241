"""``profiles.h5ad``, ``predictions.h5ad``, ``evidence.tsv``: what a run predicts, pair by pair.

``profiles.h5ad``
    One row per pair. obs: cell_line, perturbation; X: (pairs, G) float64, the predicted mean;
    layer ``delta``: the same less the line's control profile as the arm knows it
    (:class:`ptrag.prediction.prediction.Prediction`).
``predictions.h5ad``
    One row per predicted cell, each pair one block. obs: cell_line, perturbation, control_cell
    (the name of the control cell it starts from); X: (n, G) float32, contiguous, streamed.
``evidence.tsv``
    One row per pair and candidate: :data:`ptrag.prediction.prediction.EVIDENCE`.

Both h5ad files are ordinary AnnData on the store's scale, with the store's genes; uns: ``arm``,
``seed``, ``checkpoint`` (SHA-256 of the weights, empty for arms without), ``scale``,
``simulated``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anndata
import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError
from ptrag.base.files import atomic, write_table
from ptrag.base.names import CELL_LINE, DELTA, PAIR, PERTURBATION, Pair
from ptrag.cells.store_writer import write_h5ad_around
from ptrag.prediction.prediction import EVIDENCE, GivenControls, Prediction

CONTROL_CELL = "control_cell"
"""Column of ``predictions.h5ad``: the control cell that a predicted cell starts from."""


class PredictionFiles(NamedTuple):
    """Where the predictions of one run go."""

    profiles: Path
    cells: Path
    evidence: Path

    @classmethod
    def beside(cls, cells: str | Path) -> "PredictionFiles":
        """Return the files beside ``predictions.h5ad``."""
        cells = Path(cells)
        return cls(cells.with_name("profiles.h5ad"), cells, cells.with_name("evidence.tsv"))


@contextmanager
def written_predictions(
    files: PredictionFiles,
    pairs: Sequence[Pair],
    controls: Mapping[str, GivenControls],
    n_cells: int | None,
    genes: Sequence[str],
    uns: Mapping[str, Any],
) -> Iterator[Callable[[Prediction], None]]:
    """Make the files of a run and yield what takes the prediction of each pair, in order.

    Parameters
    ----------
    files
        Each takes its name when the block ends without an exception.
    pairs
        What is predicted.
    controls
        The given controls of each line.
    n_cells
        Cells of each pair; None: one for each control.
    genes, uns
        Columns and facts of both h5ad files.

    Raises
    ------
    PtragError
        If there is no pair.
    """
    if not pairs:
        raise PtragError(
            f"{files.cells}: no val or test pair to predict; check the split and the embedding's "
            "coverage"
        )
    rows = [controls[pair.cell_line].drawn(pair.perturbation, n_cells) for pair in pairs]
    starts = [
        np.asarray(controls[pair.cell_line].names, dtype=object)[drawn]
        for pair, drawn in zip(pairs, rows, strict=True)
    ]
    obs = _labels(pairs, [len(drawn) for drawn in rows])
    obs[CONTROL_CELL] = pd.Categorical(np.concatenate(starts).astype(str))
    profiles, deltas, evidence = [], [], []
    with written_in_blocks(files.cells, obs, genes, uns) as write_cells:

        def write(prediction: Prediction) -> None:
            pair = pairs[len(profiles)]
            write_cells(prediction.cells)
            profiles.append(prediction.profile)
            deltas.append(prediction.delta)
            named = dict(zip(PAIR, pair, strict=True))
            evidence.append(prediction.evidence.assign(**named))

        yield write
    means = np.array(profiles), np.array(deltas)
    _write_profiles(files.profiles, *means, _labels(pairs, [1] * len(pairs)), genes, uns)
    rows_of_pairs = [table for table in evidence if len(table)]
    table = pd.concat(rows_of_pairs) if rows_of_pairs else pd.DataFrame(columns=EVIDENCE)
    write_table(table[EVIDENCE], files.evidence)


def _labels(pairs: Sequence[Pair], counts: Sequence[int]) -> pd.DataFrame:
    """Cell line and perturbation of each row, ``counts`` rows for each pair."""
    columns = {
        name: pd.Categorical(np.repeat(np.array([pair[at] for pair in pairs], object), counts))
        for at, name in enumerate((CELL_LINE, PERTURBATION))
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(sum(counts)).astype(str))


def _write_profiles(
    path: Path, X: np.ndarray, delta: np.ndarray, obs: pd.DataFrame, genes: Sequence[str],
    uns: Mapping[str, Any],
) -> None:  # fmt: skip
    """Write profiles in float64: in float32 their differences are rounding errors."""
    data = anndata.AnnData(X, obs, pd.DataFrame(index=pd.Index(list(genes), dtype=object)))
    data.layers[DELTA] = delta
    data.uns.update(uns)
    with atomic(path) as part:
        data.write_h5ad(part)


@contextmanager
def written_in_blocks(
    path: str | Path, obs: pd.DataFrame, genes: Sequence[str], uns: Mapping[str, Any]
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
