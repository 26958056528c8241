"""``cells.h5ad``: one store of cells for everything downstream.

An ordinary AnnData file (scanpy opens it) with three promises besides: ``X`` is
contiguous uncompressed float32, so that it can be memory-mapped in place; rows are
sorted by (cell line, perturbation), so that a pair is one block; ``uns["pairs"]``
holds the offsets of these blocks. A line's block of controls has the given ones first, then the
yardsticks (:mod:`ptrag.cells.controls`). The same input gives the same bytes.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem, write_elem

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.files import atomic
from ptrag.base.names import BATCH, CELL_LINE, CONTROL, N_CELLS, PERTURBATION
from ptrag.cells.controls import (
    ALL,
    CONTROL_PART,
    GIVEN,
    YARDSTICK,
    YARDSTICK_SHARE,
    Part,
    deal_controls,
)

FORMAT = 2
SINGLE_BATCH = "batch0"
"""Batch of all cells where the source names no batches."""
N_GIVEN = "n_given"
"""Column of the table of pairs: the given controls of a line, 0 for a perturbation."""
_LABELS = (CELL_LINE, PERTURBATION, BATCH)
_PAGE = 4096


class CellStore:
    """A ``cells.h5ad``, opened read-only; cheap to open and to pickle.

    Attributes
    ----------
    path
        The file.
    n_cells, n_genes
        The shape of :attr:`X`.
    simulated
        Whether the cells were made by the simulator.
    scale
        Scale of :attr:`X`, ``log1p``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with h5py.File(self.path) as file:
                facts = file["uns/ptrag"]
                if (found := int(facts["format"][()])) != FORMAT:
                    raise PtragError(
                        f"{path}: made in format {found}, this version reads {FORMAT}; delete it"
                    )
                self.scale = facts["scale"].asstr()[()]
                self.simulated = bool(facts["simulated"][()])
                self.source_sha256 = facts["source_sha256"].asstr()[()]
                self.n_cells, self.n_genes = (int(n) for n in file["X"].shape)
                self._offset = file["X"].id.get_offset()
        except FileNotFoundError:
            raise PtragError(f"{path}: there is no such file") from None
        except (OSError, KeyError) as error:
            raise PtragError(
                f"{path}: is no store of cells ({_short(error)}); make it with the workflow"
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])

    @cached_property
    def genes(self) -> list[str]:
        """Gene symbols, in the order of the columns of :attr:`X`."""
        return [str(gene) for gene in self._read("var").index]

    @cached_property
    def obs(self) -> pd.DataFrame:
        """All columns of all cells: cell_line, perturbation, batch, then the source's."""
        return self._read("obs")

    @cached_property
    def X(self) -> np.memmap:  # noqa: N802 - as in AnnData
        """Expression, (n_cells, n_genes) float32, memory-mapped."""
        return np.memmap(
            self.path, "<f4", mode="r", offset=self._offset, shape=(self.n_cells, self.n_genes)
        )

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """One row per pair, controls too: its labels, start, stop, n_cells and n_given."""
        return self._read("uns/pairs").reset_index(drop=True)

    @cached_property
    def lines(self) -> list[str]:
        """Cell lines, sorted."""
        return sorted(set(self.pairs["cell_line"]))

    @cached_property
    def perturbations(self) -> list[str]:
        """Perturbations without the control, sorted."""
        return sorted(set(self.pairs["perturbation"]) - {CONTROL})

    @cached_property
    def batches(self) -> list[str]:
        """Batches, sorted; :attr:`batch_codes` counts along them."""
        return [str(name) for name in self._read("obs/batch/categories")]

    @cached_property
    def batch_codes(self) -> np.ndarray:
        """Batch of each cell, (n_cells,) int32 over :attr:`batches`."""
        return self._read("obs/batch/codes").astype(np.int32)

    def rows(self, line: str, perturbation: str) -> slice:
        """Return the rows of one pair; those of controls are :meth:`control_rows`.

        Raises
        ------
        PtragError
            If the line or the pair was not measured.
        """
        if perturbation == CONTROL:
            raise ValueError("rows of controls: say which, by control_rows")
        return self._block(line, perturbation)

    def _block(self, line: str, perturbation: str) -> slice:
        try:
            return self._blocks[line, perturbation]
        except KeyError:
            pass
        if line not in self.lines:
            raise PtragError(
                f"{self.path}: no cell line {line!r}; {did_you_mean(line, self.lines)}"
            )
        there = [name for of, name in self._blocks if of == line]
        raise PtragError(
            f"{self.path}: no cells of {perturbation!r} in {line!r}; "
            f"{did_you_mean(perturbation, there)}"
        )

    def cells(self, line: str, perturbation: str) -> np.ndarray:
        """Return the expression of a pair's cells, (n, n_genes) float32, a view."""
        return self.X[self.rows(line, perturbation)]

    def control_rows(self, line: str, part: Part) -> slice:
        """Return the rows of a line's controls: ``given``, ``yardstick`` or ``all``.

        Raises
        ------
        PtragError
            If the line is not there or has no such control.
        """
        block, given = self._block(line, CONTROL), self._n_given[line]
        rows = {
            GIVEN: slice(block.start, block.start + given),
            YARDSTICK: slice(block.start + given, block.stop),
            ALL: block,
        }[part]
        if rows.start == rows.stop:
            raise PtragError(
                f"{self.path}: {line!r} has no {part} control ({block.stop - block.start} controls "
                "in all); give it more, or change cells.yardstick and make the store again"
            )
        return rows

    def controls(self, line: str, part: Part) -> np.ndarray:
        """Return the expression of a line's controls, (n, n_genes) float32, a view."""
        return self.X[self.control_rows(line, part)]

    def control_mean(self, line: str, part: Part) -> np.ndarray:
        """Return the mean expression of a line's controls, (n_genes,) float64."""
        return np.asarray(self.controls(line, part)).mean(axis=0, dtype=np.float64)

    def mean(self, line: str, perturbation: str) -> np.ndarray:
        """Return the mean expression of a pair, (n_genes,) float64."""
        return np.asarray(self.cells(line, perturbation)).mean(axis=0, dtype=np.float64)

    @cached_property
    def _blocks(self) -> dict[tuple[str, str], slice]:
        pairs = self.pairs
        return {
            (str(line), str(name)): slice(int(start), int(stop))
            for line, name, start, stop in zip(
                pairs["cell_line"], pairs["perturbation"], pairs["start"], pairs["stop"],
                strict=True,
            )
        }  # fmt: skip

    @cached_property
    def _n_given(self) -> dict[str, int]:
        controls = self.pairs[self.pairs[PERTURBATION] == CONTROL]
        return dict(zip(controls[CELL_LINE], controls[N_GIVEN].astype(int), strict=True))

    def _read(self, key: str) -> Any:
        with h5py.File(self.path) as file:
            return read_elem(file[key])


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
        _check_space(part, 4 * len(obs) * len(genes))
        offset = write_h5ad_around(part, obs, genes, uns)
        descriptor = os.open(part, os.O_WRONLY)
        try:
            yield RowWriter(descriptor, offset, position)
        finally:
            os.close(descriptor)


def write_store(
    path: str | Path, X: np.ndarray, obs: pd.DataFrame, genes: Sequence[str], **facts: Any
) -> None:
    """Write a store from expression in memory, ``X`` (n_cells, n_genes) on the log1p scale.

    Rows may come in any order; the other parameters are those of :func:`new_store`.
    """
    if np.shape(X) != (len(obs), len(genes)):
        raise ValueError(f"X is {np.shape(X)}, obs and genes say {(len(obs), len(genes))}")
    with new_store(path, obs, genes, **facts) as writer:
        writer.write(0, np.asarray(X))


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn what the file system says while ``path`` is written into one line."""
    try:
        yield
    except OSError as error:
        raise PtragError(
            f"cannot write {path}: {_short(error)}; free some space or choose another folder"
        ) from error


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


def _check_space(path: Path, needed: int) -> None:
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
    codes = obs[[CELL_LINE, PERTURBATION]].apply(lambda labels: labels.cat.codes).to_numpy()
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


def _short(error: Exception) -> str:
    """Say an error in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error).strip("'\"").splitlines()[0]
