"""What a run predicts, pair by pair, streamed to files: memory does not grow with the pairs.

``profiles.h5ad``
    One row per pair. obs: cell_line, perturbation and the rest of the summary; X: (pairs, G)
    float64, the predicted mean; layer ``delta``, float64: the same less the line's control profile
    as the arm knows it (:class:`ptrag.prediction.prediction.Prediction`). Layers in float32, NaN
    where an arm does not know them: ``lower`` and ``upper``, the central :data:`INTERVAL` of the
    true delta; ``p_moves``, probability that the gene moves to the side of ``direction``, -1, 0 or
    1.
``predictions.h5ad`` (the workflow's) or ``cells.h5ad`` (the command's)
    One row per predicted cell, each pair one block. obs: cell_line, perturbation, control_cell
    (the name of the control cell it starts from); X: (n, G) float32, contiguous.
``evidence.tsv``
    One row per pair and candidate: :data:`ptrag.prediction.prediction.EVIDENCE`.
``summary.tsv``
    One row per pair: :mod:`ptrag.prediction.summary`.

Both h5ad files are ordinary AnnData on the store's scale, with the store's genes; uns: ``arm``,
``seed``, ``checkpoint`` (SHA-256 of the weights, empty for arms without), ``scale``,
``simulated``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem

from ptrag.base.errors import PtragError
from ptrag.base.files import TABLE, atomic, write_table, writing
from ptrag.base.names import CELL_LINE, DELTA, PAIR, PERTURBATION, Pair
from ptrag.cells.store_writer import check_space, write_h5ad_around
from ptrag.prediction.prediction import EVIDENCE, GivenControls, Prediction
from ptrag.prediction.summary import SUMMARY, summary_row

CONTROL_CELL = "control_cell"
"""Column of the file of cells: the control cell that a predicted cell starts from."""

INTERVAL = 0.9
"""Probability of the interval of a delta."""

Z = 1.6448536269514722  # normal quantile of (1 + INTERVAL) / 2

FLUSHED = 64  # pairs whose evidence is written at a time


class PredictionFiles(NamedTuple):
    """Where the predictions of one run go; ``cells`` is None where none are wanted."""

    profiles: Path
    cells: Path | None
    evidence: Path
    summary: Path

    @classmethod
    def beside(cls, cells: str | Path) -> "PredictionFiles":
        """Return the files beside ``predictions.h5ad``."""
        return cls.into(Path(cells).parent, Path(cells).name)

    @classmethod
    def into(cls, folder: str | Path, cells: str | None = "cells.h5ad") -> "PredictionFiles":
        """Return the files in a folder."""
        folder = Path(folder)
        return cls(
            folder / "profiles.h5ad", cells and folder / cells, folder / "evidence.tsv",
            folder / "summary.tsv",
        )  # fmt: skip


class PredictionWriter:
    """Takes the prediction of each pair, in order.

    Parameters
    ----------
    pairs, genes
        As of :func:`written_predictions`.
    profiles
        The open file.
    evidence
        The open table.
    write_cells
        What takes the cells of a pair; None where none are wanted.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        genes: Sequence[str],
        profiles: h5py.File,
        evidence: IO[str],
        write_cells: Callable[[np.ndarray], None] | None,
    ) -> None:
        self._pairs, self._genes = pairs, list(genes)
        self._profiles, self._evidence_file, self._write_cells = profiles, evidence, write_cells
        self._rows: list[dict[str, object]] = []
        self._evidence: list[pd.DataFrame] = []
        profiles.create_dataset("X", (len(pairs), len(self._genes)), "<f8")

    def __call__(
        self, prediction: Prediction, level: str, nearest: tuple[str | None, float | None]
    ) -> None:
        """Write the next pair: its prediction, what it rests on, and the nearest measured one."""
        number = len(self._rows)
        pair = self._pairs[number]
        if self._write_cells is not None:
            self._write_cells(prediction.cells)
        self._profiles["X"][number] = prediction.profile
        for name, values in self._layers(prediction).items():
            self._layer(name)[number] = values
        self._rows.append(summary_row(pair, prediction, level, nearest, self._genes))
        self._evidence.append(prediction.evidence.assign(**dict(zip(PAIR, pair, strict=True))))
        if len(self._evidence) >= FLUSHED:
            self.flush()

    def summary(self) -> pd.DataFrame:
        """Return the summary of what was written."""
        return pd.DataFrame(self._rows, columns=SUMMARY)

    def flush(self) -> None:
        """Write the evidence that is held."""
        tables = [table for table in self._evidence if len(table)]
        if tables:
            pd.concat(tables)[EVIDENCE].to_csv(self._evidence_file, header=False, **TABLE)
        self._evidence = []

    def _layers(self, prediction: Prediction) -> dict[str, np.ndarray]:
        delta = prediction.delta
        layers = {DELTA: delta, "direction": np.sign(delta)}
        if prediction.sd is not None:
            least = delta - prediction.profile  # expression is not negative
            layers["lower"] = np.maximum(delta - Z * prediction.sd, least)
            layers["upper"] = np.maximum(delta + Z * prediction.sd, least)
        if prediction.wrong_sign is not None:
            layers["p_moves"] = 1 - prediction.wrong_sign
        return layers

    def _layer(self, name: str) -> h5py.Dataset:
        """Return a layer; it is made when an arm first knows it."""
        key = f"layers/{name}"
        if key not in self._profiles:
            kind = {"direction": "i1", DELTA: "<f8"}.get(name, "<f4")
            fill = 0 if name == "direction" else np.nan
            shape = self._profiles["X"].shape
            self._profiles.create_dataset(key, shape, dtype=kind, fillvalue=fill)
        return self._profiles[key]


@contextmanager
def written_predictions(
    files: PredictionFiles,
    pairs: Sequence[Pair],
    controls: Mapping[str, GivenControls],
    n_cells: int | None,
    genes: Sequence[str],
    uns: Mapping[str, Any],
) -> Iterator[PredictionWriter]:
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
            f"{files.profiles}: no val or test pair to predict; check the split and the "
            "embedding's coverage"
        )
    with writing(files.profiles), ExitStack() as stack:
        write_cells = None
        if files.cells is not None:
            obs = _cells_obs(pairs, controls, n_cells)
            write_cells = stack.enter_context(written_in_blocks(files.cells, obs, genes, uns))
        part = stack.enter_context(atomic(files.profiles))
        table = stack.enter_context(atomic(files.evidence))
        with h5py.File(part, "w") as profiles, open(table, "w", newline="") as evidence:
            pd.DataFrame(columns=EVIDENCE).to_csv(evidence, **TABLE)
            write = PredictionWriter(pairs, genes, profiles, evidence, write_cells)
            yield write
            write.flush()
            _finish(profiles, write.summary(), genes, uns)
    write_table(write.summary(), files.summary)


def _finish(
    profiles: h5py.File, summary: pd.DataFrame, genes: Sequence[str], uns: Mapping[str, Any]
) -> None:
    """Make an AnnData file of what holds X and layers."""
    if len(summary) != profiles["X"].shape[0]:
        raise ValueError(f"{len(summary)} of {profiles['X'].shape[0]} pairs were written")
    obs = summary.set_index(pd.RangeIndex(len(summary)).astype(str))
    for column in PAIR:
        obs[column] = obs[column].astype("category")
    for column in ("strength", "n_moving", "confidence", "similarity"):
        obs[column] = obs[column].astype(float)
    for column in ("level", "nearest", "up", "down", "note"):
        obs[column] = obs[column].fillna("").astype(str)
    profiles.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    for node in (profiles["X"], *profiles["layers"].values()):
        node.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    profiles["layers"].attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
    write_elem(profiles, "obs", obs)
    write_elem(profiles, "var", pd.DataFrame(index=pd.Index(list(genes), dtype=object)))
    write_elem(profiles, "uns", dict(uns))
    for name in ("obsm", "obsp", "varm", "varp"):
        write_elem(profiles, name, {})


def _cells_obs(
    pairs: Sequence[Pair], controls: Mapping[str, GivenControls], n_cells: int | None
) -> pd.DataFrame:
    """Cell line, perturbation and control cell of each predicted cell."""
    rows = [controls[pair.cell_line].drawn(pair.perturbation, n_cells) for pair in pairs]
    counts = [len(drawn) for drawn in rows]
    columns = {
        name: _repeated([pair[at] for pair in pairs], counts)
        for at, name in enumerate((CELL_LINE, PERTURBATION))
    }
    names, offset = [], {}
    for line, given in controls.items():
        offset[line] = len(names)
        names += map(str, given.names)
    starts = [drawn + offset[pair.cell_line] for pair, drawn in zip(pairs, rows, strict=True)]
    columns[CONTROL_CELL] = _of_codes(names, np.concatenate(starts))
    return pd.DataFrame(columns, index=pd.RangeIndex(sum(counts)).astype(str))


def _repeated(labels: Sequence[str], counts: Sequence[int]) -> pd.Categorical:
    return _of_codes(labels, np.repeat(np.arange(len(labels)), counts))


def _of_codes(labels: Sequence[str], codes: np.ndarray) -> pd.Categorical:
    """Return ``labels[codes]`` as categories that occur, sorted."""
    kept, within = np.unique(codes, return_inverse=True)
    categories, of_kept = np.unique(np.array(labels, dtype=object)[kept], return_inverse=True)
    return pd.Categorical.from_codes(of_kept[within], categories)


@contextmanager
def written_in_blocks(
    path: str | Path, obs: pd.DataFrame, genes: Sequence[str], uns: Mapping[str, Any]
) -> Iterator[Callable[[np.ndarray], None]]:
    """Make an AnnData file and yield what takes its rows of X, block after block."""
    with atomic(path) as part:
        check_space(part, 4 * len(obs) * len(genes))
        offset = write_h5ad_around(part, obs, genes, uns)
        with open(part, "r+b") as file:
            file.seek(offset)
            written = 0

            def write(block: np.ndarray) -> None:
                nonlocal written
                block = np.ascontiguousarray(block, dtype="<f4")
                if block.shape[1:] != (len(genes),):
                    raise ValueError(f"{path}: block {block.shape} for {len(genes)} genes")
                file.write(block)
                written += len(block)

            yield write
            if written != len(obs):
                raise ValueError(f"{path}: {written} of {len(obs)} rows were written")
