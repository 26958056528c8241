"""Writing ``cells.h5ad``: rows that come in any order go where they belong in the store."""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem

from ptrag.base.files import atomic, writing
from ptrag.base.names import BATCH, CELL_LINE, N_CELLS, PAIR, PERTURBATION
from ptrag.cells.controls import CONTROL_PART, GIVEN, YARDSTICK, YARDSTICK_SHARE, deal_controls
from ptrag.cells.store import FORMAT, N_GIVEN

SINGLE_BATCH = "batch0"
"""Batch of all cells where the source names no batches."""
_LABELS = (*PAIR, BATCH)
_PAGE = 4096


@dataclass(frozen=True)
class RowWriter:
    """Puts rows that come in source order where they belong in a store.

    Attributes
    ----------
    descriptor
        The open file.
    offset
        Byte where X begins.
    position
        Row of the store for each source row.
    """

    descriptor: int
    offset: int
    position: np.ndarray

    def write(self, start: int, block: np.ndarray) -> None:
        """Write ``block`` (n, n_genes), the source rows from ``start`` on."""
        position = self.position[start : start + len(block)]
        order = np.argsort(position)
        position = position[order]
        block = np.ascontiguousarray(block[order], dtype="<f4")
        ends = np.flatnonzero(np.diff(position) != 1) + 1
        width = block.shape[1] * block.itemsize
        for first, last in zip([0, *ends], [*ends, len(block)], strict=True):
            _write_at(
                self.descriptor,
                memoryview(block[first:last]).cast("B"),
                self.offset + int(position[first]) * width,
            )


@contextmanager
def new_store(
    path: str | Path,
    obs: pd.DataFrame,
    genes: Sequence[str],
    *,
    scale: str = "log1p",
    simulated: bool = False,
    source_sha256: str = "",
    config: Mapping[str, Any] | None = None,
) -> Iterator[RowWriter]:
    """Make a store whose rows are then handed over in any number of blocks.

    Memory does not grow with the number of cells, ``obs`` apart. The file takes its
    name when the block ends; on any exception there is none.

    Parameters
    ----------
    path
        The store to write.
    obs
        Cells in the order in which they will come: ``cell_line``, ``perturbation``
        (controls named ``control``), ``batch`` (one batch if absent), ``control_part`` (dealt
        here if absent), others kept.
    genes
        Symbols of the columns.
    scale, simulated, source_sha256, config
        Kept in ``uns["ptrag"]``.

    Raises
    ------
    PtragError
        If the file cannot be written.
    """
    obs = _labelled(obs)
    order = np.lexsort(
        (obs[CONTROL_PART] == YARDSTICK, obs[PERTURBATION].cat.codes, obs[CELL_LINE].cat.codes)
    )
    position = np.empty(len(obs), np.int64)
    position[order] = np.arange(len(obs))
    facts = {
        "format": FORMAT,
        "scale": scale,
        "simulated": bool(simulated),
        "source_sha256": source_sha256,
        "config": json.dumps(config or {}, sort_keys=True),
    }
    obs = obs.iloc[order]
    uns = {"ptrag": facts, "pairs": _pairs(obs)}
    with writing(path), atomic(path) as part:
        check_space(part, 4 * len(obs) * len(genes))
        offset = write_h5ad_around(part, obs, genes, uns)
        descriptor = os.open(part, os.O_WRONLY)
        try:
            yield RowWriter(descriptor, offset, position)
        finally:
            os.close(descriptor)


def write_h5ad_around(
    path: str | Path, obs: pd.DataFrame, genes: Sequence[str], uns: Mapping[str, Any]
) -> int:
    """Write an AnnData file with room for X, float32 and contiguous, and return where.

    Returns
    -------
    offset
        The byte where X, (len(obs), len(genes)) little-endian float32 by rows,
        begins. Whoever calls must fill it.
    """
    with h5py.File(path, "w", alignment_threshold=_PAGE, alignment_interval=_PAGE) as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.CONTIGUOUS)
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        layout.set_obj_track_times(False)
        space = h5py.h5s.create_simple((len(obs), len(genes)))
        X = h5py.Dataset(h5py.h5d.create(file.id, b"X", h5py.h5t.IEEE_F32LE, space, dcpl=layout))
        X.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        write_elem(file, "obs", obs)
        write_elem(file, "var", pd.DataFrame(index=pd.Index(list(genes), dtype=object)))
        write_elem(file, "uns", dict(uns))
        for name in ("layers", "obsm", "obsp", "varm", "varp"):
            write_elem(file, name, {})
        return X.id.get_offset()


def check_space(path: Path, needed: int) -> None:
    """Refuse to begin a file of ``needed`` bytes where there is no room for it.

    Raises
    ------
    OSError
        As the file system would say it later.
    """
    if needed > (free := shutil.disk_usage(path.parent).free):
        reason = f"needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
        raise OSError(errno.ENOSPC, reason)


def _labelled(obs: pd.DataFrame) -> pd.DataFrame:
    """``obs`` with its labels first, as categories of sorted strings."""
    obs = obs.copy(deep=False)
    if BATCH not in obs:
        obs[BATCH] = SINGLE_BATCH
    if CONTROL_PART not in obs:
        obs[CONTROL_PART] = deal_controls(obs, YARDSTICK_SHARE)
    for column in (*_LABELS, CONTROL_PART):
        labels = obs[column].astype(str)
        obs[column] = pd.Categorical(labels, categories=sorted(labels.unique()))
    obs.index = obs.index.astype(str)
    first = (*_LABELS, CONTROL_PART)
    return obs[[*first, *(name for name in obs.columns if name not in first)]]


def _pairs(obs: pd.DataFrame) -> pd.DataFrame:
    """Offsets of the blocks of sorted cells."""
    codes = obs[PAIR].apply(lambda labels: labels.cat.codes).to_numpy()
    starts = np.flatnonzero(np.r_[True, np.any(codes[1:] != codes[:-1], axis=1)][: len(codes)])
    stops = np.r_[starts[1:], len(codes)].astype(np.int64)[: len(starts)]
    first = obs.iloc[starts]
    given = np.concatenate([[0], np.cumsum((obs[CONTROL_PART] == GIVEN).to_numpy())])
    return pd.DataFrame(
        {
            CELL_LINE: first[CELL_LINE].astype(str).to_numpy(dtype=object),
            PERTURBATION: first[PERTURBATION].astype(str).to_numpy(dtype=object),
            "start": starts.astype(np.int64),
            "stop": stops,
            N_CELLS: stops - starts,
            N_GIVEN: given[stops] - given[starts],
        },
        index=[str(i) for i in range(len(starts))],
    )


def _write_at(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
