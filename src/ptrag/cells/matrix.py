"""Expression in a source file, read by blocks of cells.

Whatever the storage - dense, CSR, CSC, or the columns of a table, in HDF5 or zarr - a reader hands
out blocks of consecutive cells with all their genes, each small enough that memory does not
grow with the number of cells.
"""

import os
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.sparse as sp
import zarr

from ptrag.base.errors import PtragError

BLOCK_VALUES = 16_000_000
"""Values of a block, zeros included: 64 MB as float32."""

_CHUNK_ROW = 256 << 20  # bytes; a row of HDF5 chunks larger than this is not read whole
_RECORD = np.dtype([("cell", "<i4"), ("gene", "<i4"), ("value", "<f4")])

Group = h5py.Group | zarr.Group
Node = h5py.Dataset | h5py.Group | zarr.Array | zarr.Group

Block = np.ndarray | sp.csr_matrix
"""Cells × genes, float32."""


class Matrix:
    """Expression of ``shape`` (cells, genes) in an open file.

    Attributes
    ----------
    path, key
        Where it is, for messages.
    shape
        Cells and genes.
    sparse
        Whether blocks are CSR matrices.
    edges
        First cell of each block, and the number of cells.
    """

    sparse = False

    def __init__(self, path: Path, key: str, node: Node) -> None:
        self.path, self.key, self._node = path, key, node
        self.shape = self._shape()
        self.edges = self._edges()

    def block(self, number: int) -> Block:
        """Return block ``number``, the cells from ``edges[number]`` to ``edges[number + 1]``."""
        with reading(self.path):
            return self._read(number, int(self.edges[number]), int(self.edges[number + 1]))

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Yield (first cell, block) for all blocks in order."""
        for number, start in enumerate(self.edges[:-1]):
            yield int(start), self.block(number)

    def _shape(self) -> tuple[int, int]:
        raise NotImplementedError

    def _edges(self) -> np.ndarray:
        return _even_edges(self.shape, 1)

    def _read(self, number: int, start: int, stop: int) -> Block:
        raise NotImplementedError


class Dense(Matrix):
    """A two-dimensional dataset."""

    def _shape(self) -> tuple[int, int]:
        return tuple(int(n) for n in self._node.shape)

    def _edges(self) -> np.ndarray:
        rows = self._node.chunks[0] if self._node.chunks else 1
        aligned = rows * self.shape[1] * self._node.dtype.itemsize <= _CHUNK_ROW
        return _even_edges(self.shape, rows if aligned else 1)

    def _read(self, number: int, start: int, stop: int) -> np.ndarray:
        return self._node[start:stop].astype(np.float32, copy=False)


class Columns(Matrix):
    """A table: one dataset per gene."""

    def _shape(self) -> tuple[int, int]:
        return self._node[self._node.attrs["_index"]].shape[0], len(self._names())

    def _names(self) -> list[str]:
        return list(self._node.attrs["column-order"])

    def _read(self, number: int, start: int, stop: int) -> np.ndarray:
        block = np.empty((stop - start, self.shape[1]), np.float32)
        for i, name in enumerate(self._names()):
            block[:, i] = self._node[name][start:stop]
        return block


class _Compressed(Matrix):
    """A compressed sparse matrix; its pointers are checked, and its indices as they are read."""

    sparse = True
    _major = 0

    def _shape(self) -> tuple[int, int]:
        with reading(self.path):
            self._indptr = self._node["indptr"][:].astype(np.int64)
            shape = self._stored_shape()
            ends = {int(self._node[key].shape[0]) for key in ("data", "indices")}
        steps = np.diff(self._indptr)
        if (
            len(self._indptr) != shape[self._major] + 1
            or self._indptr[0] != 0
            or (steps < 0).any()
            or ends != {int(self._indptr[-1])}
        ):
            raise PtragError(
                f"{self.path}: {self.key} is damaged: its pointers do not fit its shape "
                f"{shape[0]} × {shape[1]}; fetch the file again"
            )
        return shape

    def _stored_shape(self) -> tuple[int, int]:
        shape = self._node.attrs.get("shape", self._node.attrs.get("h5sparse_shape"))
        rows, columns = (int(n) for n in shape)
        return rows, columns

    def _indices(self, first: int, last: int) -> np.ndarray:
        indices = self._node["indices"][first:last]
        if len(indices) and not 0 <= indices.min() <= indices.max() < self.shape[1 - self._major]:
            raise PtragError(
                f"{self.path}: {self.key} is damaged: it has values outside its shape; fetch the "
                "file again"
            )
        return indices


class Csr(_Compressed):
    """A compressed sparse matrix by rows."""

    def _read(self, number: int, start: int, stop: int) -> sp.csr_matrix:
        first, last = self._indptr[start], self._indptr[stop]
        block = sp.csr_matrix(
            (
                self._node["data"][first:last].astype(np.float32, copy=False),
                self._indices(first, last),
                self._indptr[start : stop + 1] - first,
            ),
            shape=(stop - start, self.shape[1]),
        )
        block.sum_duplicates()
        return block


class TenX(Csr):
    """The matrix of a 10x file: genes × cells by columns, whose shape stands in a dataset."""

    def _stored_shape(self) -> tuple[int, int]:
        genes, cells = (int(n) for n in self._node["shape"][:])
        return cells, genes


class Csc(_Compressed):
    """A compressed sparse matrix by columns, sorted into blocks of rows on disk.

    Every value is read once, and appended to the part of a scratch file that belongs to
    its block of cells; a block is then read back whole.
    """

    _major = 1

    def __init__(self, path: Path, key: str, node: Group, scratch: Path) -> None:
        super().__init__(path, key, node)
        self._scratch = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - closed with self
        self._starts = self._count()
        self._sort()

    def close(self) -> None:
        """Delete the scratch file."""
        self._scratch.close()

    def _pieces(self) -> Iterator[tuple[int, int]]:
        """Ranges of columns that hold at most about a block's values."""
        first = 0
        while first < self.shape[1]:
            most = self._indptr[first] + BLOCK_VALUES // 4
            last = max(first + 1, int(np.searchsorted(self._indptr, most, side="right")) - 1)
            yield first, min(last, self.shape[1])
            first = last

    def _count(self) -> np.ndarray:
        """Return the record at which each block begins in the scratch file."""
        counts = np.zeros(len(self.edges) - 1, np.int64)
        for first, last in self._pieces():
            with reading(self.path):
                cells = self._indices(self._indptr[first], self._indptr[last])
            counts += np.bincount(self._block_of(cells), minlength=len(counts))
        return np.r_[0, np.cumsum(counts)]

    def _block_of(self, cells: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.edges, cells, side="right") - 1

    def _sort(self) -> None:
        ends = self._starts[:-1].copy()
        for first, last in self._pieces():
            a, b = self._indptr[first], self._indptr[last]
            records = np.empty(b - a, _RECORD)
            with reading(self.path):
                records["cell"] = self._indices(a, b)
                records["value"] = self._node["data"][a:b]
            records["gene"] = np.repeat(
                np.arange(first, last), np.diff(self._indptr[first : last + 1])
            )
            block = self._block_of(records["cell"])
            records = records[np.argsort(block, kind="stable")]
            cuts = np.cumsum(np.bincount(block, minlength=len(ends)))
            for number, part in enumerate(np.split(records, cuts[:-1])):
                self._scratch.seek(int(ends[number]) * _RECORD.itemsize)
                self._scratch.write(part.tobytes())
                ends[number] += len(part)
        self._scratch.flush()

    def _read(self, number: int, start: int, stop: int) -> sp.csr_matrix:
        first, last = (int(n) * _RECORD.itemsize for n in self._starts[number : number + 2])
        raw = os.pread(self._scratch.fileno(), last - first, first)
        records = np.frombuffer(raw, _RECORD)
        cells_genes = (records["cell"] - start, records["gene"])
        return sp.csr_matrix((records["value"], cells_genes), shape=(stop - start, self.shape[1]))


def open_matrix(path: Path, key: str, node: Node, scratch: Path) -> Matrix | None:
    """Return the reader of ``node``, or None if it is stored in no known way.

    Parameters
    ----------
    path, key
        Where the node is, for messages.
    node
        In the open file.
    scratch
        A folder for a temporary file of up to 12 bytes per stored value, needed by
        matrices compressed by columns alone.
    """
    if isinstance(node, h5py.Dataset | zarr.Array):
        return Dense(path, key, node) if node.ndim == 2 and node.dtype.kind in "fiub" else None
    layout = node.attrs.get("encoding-type") or node.attrs.get("h5sparse_format")
    match layout:
        case "csr_matrix" | "csr":
            return Csr(path, key, node)
        case "csc_matrix" | "csc":
            return Csc(path, key, node, scratch)
        case "dataframe":
            return Columns(path, key, node)
    return TenX(path, key, node) if "barcodes" in node else None


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what HDF5, zarr and anndata say of a file that they cannot read into one line."""
    try:
        yield
    except PtragError:
        raise
    except Exception as error:  # a malformed file fails in whatever way its reader happens to
        reason = re.sub(r"\s+", " ", str(error).strip("'\"")) or type(error).__name__
        raise PtragError(
            f"{path}: cannot be read, it is truncated or damaged ({reason[:160]}); fetch it again, "
            "or read it with anndata and write it as a new h5ad"
        ) from error


def in_threads(
    function: Callable[[int, Block], Any], blocks: Iterable[tuple[int, Block]], workers: int
) -> Iterator[Any]:
    """Apply ``function`` to blocks while the next ones are read; few are held at a time."""
    pending: deque[Future] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for start, block in blocks:
            pending.append(pool.submit(function, start, block))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


class Rows(Matrix):
    """Some rows of another matrix, in its order.

    Parameters
    ----------
    whole
        The matrix.
    rows
        Sorted rows of it.
    """

    def __init__(self, whole: Matrix, rows: np.ndarray) -> None:
        self._whole, self._rows = whole, rows
        self.path, self.key, self.sparse = whole.path, whole.key, whole.sparse
        self.shape = (len(rows), whole.shape[1])
        self.edges = np.searchsorted(rows, whole.edges)

    def block(self, number: int) -> Block:
        """Return the rows of block ``number`` that are among these."""
        wanted = self._rows[self.edges[number] : self.edges[number + 1]]
        return self._whole.block(number)[wanted - self._whole.edges[number]]


def _even_edges(shape: tuple[int, int], multiple: int) -> np.ndarray:
    """Edges of blocks of at most about BLOCK_VALUES, in a multiple of so many cells."""
    rows = max(1, BLOCK_VALUES // max(1, shape[1]) // multiple) * multiple
    return np.r_[0 : shape[0] : rows, shape[0]]
