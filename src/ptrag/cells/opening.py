"""One way into every file of cells: whatever stands in it, ``obs``, ``var`` and matrices.

Reads what anndata reads: h5ad of every age (tables as compound arrays, categories in ``uns``,
``h5sparse_format``), HDF5 with filters of hdf5plugin (zstd, blosc, lz4), zarr folders, the RNA of
an h5mu, and 10x h5. Names in one line what it cannot read. Expression is never read here.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import zarr
from anndata.io import read_elem

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.files import ZARR_ROOTS, zarr_root
from ptrag.cells.matrix import Group, Node, reading

RNA = ("rna", "gex", "gene expression", "gene_expression")
"""What the modality of expression is called in an h5mu, in lower case."""

SYMBOLS_10X = "gene_symbol"
"""The var column of a 10x file's symbols; its index are the ids."""

_CHUNK_CACHE = 32 << 20  # bytes, so that a chunk that two blocks share is unpacked once
_OTHER_HDF5 = {
    "row_attrs": ("a loom file", "anndata.io.read_loom(...).write_h5ad(...)"),
    "assays": ("an h5Seurat file", "SeuratDisk::Convert(..., dest = 'h5ad')"),
}
_PAGE = "is a web page saved under this name, not an h5ad file; download the file itself"
_STARTS = {
    b"<!doctype html": _PAGE,
    b"<html": _PAGE,
    b"\x1f\x8b": "is compressed by gzip; unpack it (gunzip) first",
    b"pk\x03\x04": "is a zip archive; unpack it first",
    b"bzh": "is compressed by bzip2; unpack it first",
    b"\xfd7zxz": "is compressed by xz; unpack it first",
    b"version https://git-lfs": "is a pointer of Git LFS; fetch the file itself (git lfs pull)",
    b"%%matrixmarket": "is a Matrix Market file; read it with scanpy.read_mtx and write an h5ad",
}

logger = logging.getLogger("ptrag")


@dataclass(frozen=True)
class OpenFile:
    """An open file of cells.

    Attributes
    ----------
    path
        The user's own file: where a link points.
    obs, var
        Tables of cells and of genes.
    group
        The node that holds the AnnData.
    simulated
        What ``uns`` says.
    """

    path: Path
    obs: pd.DataFrame
    var: pd.DataFrame
    group: Group
    transposed: bool = False

    def keys(self) -> list[str]:
        """Return the matrices: X, layers/NAME, obsm/NAME, raw/X."""
        if self.transposed:
            return ["X"]
        keys = ["X"] if "X" in self.group and not _is_null(self.group["X"]) else []
        keys += [
            f"{room}/{name}" for room in ("layers", "obsm") for name in self.group.get(room, ())
        ]
        raw = self.group.get("raw")
        return [*keys, "raw/X"] if hasattr(raw, "keys") and "X" in raw else keys

    def node(self, key: str) -> Node:
        """Return a matrix's node.

        Raises
        ------
        PtragError
            If there is none of this name.
        """
        with reading(self.path):
            keys = self.keys()
        if key not in keys:
            raise PtragError(f"{self.path}: matrix: there is no {key}; {did_you_mean(key, keys)}")
        return self.group if self.transposed else self.group[key]

    def var_of(self, key: str) -> pd.DataFrame:
        """Return the table of genes that belongs to a matrix: that of ``raw`` for ``raw/X``."""
        if key != "raw/X":
            return self.var
        if "raw/var" in self.group:
            with reading(self.path):
                return _table(self.path, self.group["raw/var"], "raw/var", self.group)
        raise PtragError(f"{self.path}: raw/X has no raw/var; choose another `matrix`")


def own_path(path: str | Path) -> Path:
    """Return the user's file that ``path`` is or links to, relative to this folder if in it."""
    path = Path(path)
    if not path.is_symlink():
        return path
    target = path.resolve()
    if target.name in ZARR_ROOTS:
        target = target.parent
    return target.relative_to(Path.cwd()) if target.is_relative_to(Path.cwd()) else target


@contextmanager
def open_cells(path: str | Path) -> Iterator[OpenFile]:
    """Open a file of cells.

    Parameters
    ----------
    path
        ``.h5ad``, ``.h5mu``, 10x ``.h5``, a zarr folder, or a link to one of them (for a folder,
        to its ``zarr.json`` or ``.zgroup``).

    Raises
    ------
    PtragError
        If there is no such file or it is none of these, with the remedy.
    """
    path = own_path(path)
    if path.name in ZARR_ROOTS:
        path = path.parent
    if path.is_dir():
        yield from _open_zarr(path)
        return
    if not path.is_file():
        raise PtragError(f"{path}: there is no such file; check its name and folder")
    _refuse_others(path)
    with reading(path):
        file = h5py.File(path, "r", rdcc_nbytes=_CHUNK_CACHE)
    with file:
        with reading(path):
            _need_filters(path, file)
            opened = _opened(path, file)
        yield opened


def _refuse_others(path: Path) -> None:
    """Name a file that is no HDF5."""
    with open(path, "rb") as raw:
        start = raw.read(512)
    if h5py.is_hdf5(path):
        return
    if start.startswith(b"\x89HDF"):
        raise PtragError(f"{path}: cannot be read, it is truncated or damaged; fetch it again")
    for magic, reason in _STARTS.items():
        if start.lstrip().lower().startswith(magic):
            raise PtragError(f"{path}: {reason}")
    kind = "is empty" if not start else "is no h5ad (HDF5) file"
    raise PtragError(f"{path}: {kind}; check `file`, or fetch it again")


def _need_filters(path: Path, file: h5py.File) -> None:
    """Make HDF5 able to unpack a file: zstd, blosc and others come with hdf5plugin.

    Raises
    ------
    PtragError
        That names a filter which is not installed.
    """
    unknown: dict[int, str] = {}

    def look(name: str, node: Node) -> None:
        if not isinstance(node, h5py.Dataset):
            return
        layout = node.id.get_create_plist()
        for code, _, _, label in map(layout.get_filter, range(layout.get_nfilters())):
            if not h5py.h5z.filter_avail(code):
                unknown[code] = label.decode(errors="replace").split(";")[0] or f"number {code}"

    file.visititems(look)
    if unknown:
        with suppress(ImportError):
            import hdf5plugin  # noqa: F401 - registers its filters
    for code, label in unknown.items():
        if not h5py.h5z.filter_avail(code):
            raise PtragError(
                f"{path}: is compressed by the HDF5 filter '{label}', which is not installed; "
                "pip install hdf5plugin, or write the file again with compression='gzip'"
            )


def _open_zarr(path: Path) -> Iterator[OpenFile]:
    if zarr_root(path) is None:
        raise PtragError(f"{path}: is a folder, but no zarr; give the h5ad file in it")
    with reading(path):
        opened = _opened(path, zarr.open_group(path, mode="r"))
    yield opened


def _opened(path: Path, root: Group) -> OpenFile:
    """Find the AnnData in a file."""
    if "mod" in root:
        return _modality(path, root)
    if "matrix" in root and "barcodes" in root["matrix"]:
        return _tenx(path, root["matrix"])
    for key, (kind, remedy) in _OTHER_HDF5.items():
        if key in root:
            raise PtragError(f"{path}: is {kind}; convert it: {remedy}")
    if not {"obs", "var"} <= set(root.keys()):
        raise PtragError(f"{path}: is HDF5 but no AnnData (no obs or var); check `file`")
    obs, var = (_table(path, root[name], name, root) for name in ("obs", "var"))
    return OpenFile(path, obs, var, root)


def _modality(path: Path, root: Group) -> OpenFile:
    """Open the expression of an h5mu; labels that only the whole has are taken from there."""
    names = list(root["mod"].keys())
    rna = [name for name in names if name.lower() in RNA] or (names if len(names) == 1 else [])
    if not rna:
        raise PtragError(
            f"{path}: has the modalities {', '.join(names)}, and none is called rna; save the "
            "right one alone: mudata.read(...)[NAME].write_h5ad(...)"
        )
    logger.info("%s: reading mod/%s", path, rna[0])
    opened = _opened(path, root["mod"][rna[0]])
    if "obs" not in root:
        return opened
    whole = _table(path, root["obs"], "obs", root)
    extra = [column for column in whole if column not in opened.obs]
    if whole.index.has_duplicates or not opened.obs.index.isin(whole.index).all():
        return opened
    obs = pd.concat([opened.obs, whole.loc[opened.obs.index, extra]], axis=1)
    return OpenFile(path, obs, opened.var, opened.group)


def _tenx(path: Path, matrix: Group) -> OpenFile:
    """Open the file of Cell Ranger: genes × barcodes by columns, which is cells × genes by rows."""
    lacking = [
        key for key in ("features", "data", "indices", "indptr", "shape") if key not in matrix
    ]
    if lacking:
        raise PtragError(
            f"{path}: is a 10x file without matrix/{lacking[0]}; write it again with Cell Ranger 3 "
            "or newer, or give an h5ad"
        )
    features = matrix["features"]
    obs = pd.DataFrame(index=pd.Index(_strings(matrix["barcodes"])))
    var = pd.DataFrame(
        {SYMBOLS_10X: _strings(features["name"])}, index=pd.Index(_strings(features["id"]))
    )
    return OpenFile(path, obs, var, matrix, transposed=True)


def _table(path: Path, node: Node, name: str, root: Group) -> pd.DataFrame:
    """Read a table of any age, its columns one by one: one that cannot be read is left out."""
    if not hasattr(node, "keys"):
        return _compound(node, root)
    index = node.attrs.get("_index", "_index" if "_index" in node else "index")
    if index not in node:
        raise PtragError(
            f"{path}: {name} has no column of names; write the file with anndata again"
        )
    labels = _strings(node[index])
    order = [str(column) for column in node.attrs.get("column-order", ())]
    columns: dict[str, object] = {}
    for column in order or [key for key in node if key not in (index, "__categories")]:
        try:
            columns[column] = _old_categories(node, column, read_elem(node[column]))
        except Exception as error:  # anndata, HDF5 and zarr raise errors of their own here
            logger.warning(
                "%s: %s column '%s' cannot be read (%s) and is left out",
                path,
                name,
                column,
                _first_line(error),
            )
            continue
        if len(columns[column]) != len(labels):
            raise PtragError(
                f"{path}: {name} column '{column}' has {len(columns[column])} values for "
                f"{len(labels)} rows; fetch the file again"
            )
    table = pd.DataFrame(
        {key: pd.Series(value).array for key, value in columns.items()}, index=labels
    )
    return table.rename(columns={"_index": _free_name("source_index", table)})


def _old_categories(node: Group, column: str, values: object) -> object:
    """Return a column whose categories anndata 0.7 kept apart."""
    reference = node[column].attrs.get("categories") if hasattr(node[column], "attrs") else None
    if reference is None or not isinstance(values, np.ndarray):
        return values
    if isinstance(reference, h5py.Reference):
        categories = node[reference]
    else:
        categories = node["__categories"][column]
    return pd.Categorical.from_codes(values, _strings(categories))


def _compound(node: h5py.Dataset, root: Group) -> pd.DataFrame:
    """Read a table of anndata 0.6 and older: one compound array, its categories in ``uns``."""
    records = node[()]
    names = list(records.dtype.names or ())
    if not names:
        raise ValueError("a table that is no compound array")
    table = pd.DataFrame(
        {name: _decoded(records[name]) for name in names[1:]}, index=_decoded(records[names[0]])
    )
    for name in names[1:]:
        if f"uns/{name}_categories" in root:
            categories = _strings(root[f"uns/{name}_categories"])
            table[name] = pd.Categorical.from_codes(table[name].to_numpy(), categories)
    return table


def _strings(node: Node) -> np.ndarray:
    """Return the strings of a node, whatever anndata, HDF5 or zarr keeps them in."""
    values = node[()] if isinstance(node, h5py.Dataset) else read_elem(node)
    return _decoded(np.atleast_1d(np.asarray(values)).astype(object))


def _decoded(values: np.ndarray) -> np.ndarray:
    """Return values, those of bytes and of objects as strings."""
    if values.dtype.kind not in "SO":
        return values
    return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], dtype=object)


def _is_null(node: Node) -> bool:
    return node.attrs.get("encoding-type") == "null" or getattr(node, "shape", ()) is None


def _free_name(name: str, table: pd.DataFrame) -> str:
    while name in table:
        name += "_"
    return name


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]
