"""A data set's source file: opened, its labels read, and everything wrong with it named.

Labels become the project's: the control label is ``control``, a guide's name its gene
(``perturbation_pattern``), a double ``A+B`` in sorted order.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.names import CONTROL
from ptrag.cells.matrix import Csc, Matrix, open_matrix, reading
from ptrag.cells.store_writer import SINGLE_BATCH

_CHUNK_CACHE = 32 << 20  # bytes, so that a chunk that two blocks share is unpacked once


@dataclass(frozen=True)
class Source:
    """An open source.

    Attributes
    ----------
    path
        The file.
    obs
        The project's cell_line, perturbation and batch, then the source's own columns;
        one of those names with other content is kept as ``source_{name}``.
    genes
        Symbols of the columns of ``matrix``.
    given
        Which genes the source itself chose, (genes,) bool.
    matrix
        The expression.
    simulated
        Whether the source says so.
    """

    path: Path
    obs: pd.DataFrame
    genes: list[str]
    given: np.ndarray
    matrix: Matrix
    simulated: bool


@contextmanager
def open_source(path: str | Path, spec: Mapping[str, Any], scratch: Path) -> Iterator[Source]:
    """Open a source and check all but the values of its expression.

    Parameters
    ----------
    path
        An ``.h5ad`` file.
    spec
        ``columns`` {perturbation, cell_line, batch (optional: one batch)}, ``control``,
        ``matrix`` (``X``, ``layers/NAME`` or ``obsm/NAME``) and ``perturbation_pattern``.
    scratch
        A folder for temporary files.

    Raises
    ------
    PtragError
        If the file is no readable h5ad, lacks a column, the matrix or control cells of
        a line, has a missing or unreadable label, or the same gene twice.
    """
    path = Path(path)
    with _open(path) as file:
        with reading(path):
            obs, var = read_elem(file["obs"]), read_elem(file["var"])
            simulated = bool(file["uns/simulated"][()]) if "uns/simulated" in file else False
        obs = _labels(path, obs, spec)
        key = spec.get("matrix") or "X"
        node = _node(path, file, key)
        genes, given = _genes(path, file, key, node, var)
        matrix = open_matrix(path, key, node, scratch)
        if matrix is None:
            raise PtragError(f"{path}: matrix: {key} is no table of numbers; choose another")
        try:
            if matrix.shape != (len(obs), len(genes)):
                raise PtragError(
                    f"{path}: {key} is {matrix.shape[0]} × {matrix.shape[1]}, but there are "
                    f"{len(obs)} cells and {len(genes)} genes; fetch the file again"
                )
            yield Source(path, obs, genes, given, matrix, simulated)
        finally:
            if isinstance(matrix, Csc):
                matrix.close()


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise PtragError(f"{path}: there is no such file; check `file` and `data_dir`")
    with open(path, "rb") as raw:
        start = raw.read(512).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise PtragError(
            f"{path}: is a web page saved under this name, not an h5ad file; download the file "
            "itself"
        )
    if not start.startswith(b"\x89hdf"):
        raise PtragError(f"{path}: is no h5ad (HDF5) file; check `file`, or fetch it again")
    with reading(path):
        file = h5py.File(path, "r", rdcc_nbytes=_CHUNK_CACHE)
    with file:
        if not {"obs", "var"} <= set(file):
            raise PtragError(f"{path}: is HDF5 but no AnnData (no obs or var); check `file`")
        yield file


def _labels(path: Path, obs: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """Return obs with the project's labels first, and the source's columns kept."""
    columns = {key: name for key, name in spec["columns"].items() if name}
    labels = {key: _column(path, obs, key, name) for key, name in columns.items()}
    control, where = (
        str(spec["control"]),
        f"{path}: columns.perturbation '{columns['perturbation']}'",
    )
    labels["perturbation"] = _perturbations(
        labels["perturbation"], control, spec.get("perturbation_pattern"), where
    )
    labels.setdefault("batch", pd.Series(SINGLE_BATCH, index=obs.index))
    untreated = labels["perturbation"] == CONTROL
    for line in sorted(set(labels["cell_line"])):
        if not untreated[(labels["cell_line"] == line).to_numpy()].any():
            raise PtragError(
                f"{where}: cell line '{line}' has no control cells ('{control}'), and effects are "
                "measured against a line's own; leave the line out of the file"
            )
    kept = {}
    for name in obs:
        as_is = name in labels and obs[name].astype(str).equals(labels[name].astype(str))
        if not as_is:
            kept[_free(f"source_{name}", obs) if name in labels else name] = obs[name]
    order = ("cell_line", "perturbation", "batch")
    return pd.DataFrame({name: labels[name] for name in order} | kept, index=obs.index)


def _column(path: Path, obs: pd.DataFrame, key: str, name: str) -> pd.Series:
    """Return a column of labels as strings."""
    if name not in obs:
        raise PtragError(
            f"{path}: columns.{key}: no obs column '{name}'; {did_you_mean(name, obs.columns)}"
        )
    column = obs[name]
    missing = column.isna() | (column.astype(str).str.strip() == "")
    if n := int(missing.sum()):
        raise PtragError(
            f"{path}: columns.{key}: {n} of {len(obs)} cells have no value in obs column "
            f"'{name}'; leave these cells out of the file or give them one"
        )
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.rename_categories([str(label) for label in column.cat.categories])
    return column.astype(str)


def _perturbations(labels: pd.Series, control: str, pattern: str | None, where: str) -> pd.Series:
    """Return the project's names of perturbations."""
    counts = labels.value_counts()  # most frequent first: the control is often among them
    if control not in counts:
        raise PtragError(
            f"{where}: no cells are labelled '{control}' (control); "
            f"{did_you_mean(control, counts.index)}"
        )
    names = {control: CONTROL}
    for label in counts.index.drop(control):
        names[label] = _perturbation(label, pattern, where)
        if names[label] == CONTROL:
            raise PtragError(
                f"{where}: label '{label}' means control here, but `control` is '{control}'; "
                "set control to it or rename the label"
            )
    return labels.map(names)


def _perturbation(label: str, pattern: str | None, where: str) -> str:
    """Return ``label``'s gene, or its genes as ``A+B`` in sorted order."""
    name = label
    if pattern:
        found = re.search(pattern, label)
        if not found or not found.groups() or not found[1]:
            raise PtragError(
                f"{where}: label '{label}' does not match perturbation_pattern '{pattern}' "
                "(its first group is the gene); mend the pattern"
            )
        name = found[1]
    parts = sorted(part.strip() for part in name.split("+"))
    if not all(parts):
        raise PtragError(f"{where}: label '{label}' names no gene on one side of '+'; mend it")
    return "+".join(parts)


def _node(path: Path, file: h5py.File, key: str) -> h5py.Dataset | h5py.Group:
    there = ["X"] if "X" in file else []
    there += [f"{room}/{name}" for room in ("layers", "obsm") for name in file.get(room, ())]
    if key not in there:
        raise PtragError(f"{path}: matrix: there is no {key}; {did_you_mean(key, there)}")
    return file[key]


def _genes(
    path: Path, file: h5py.File, key: str, node: h5py.Dataset | h5py.Group, var: pd.DataFrame
) -> tuple[list[str], np.ndarray]:
    """Return the genes of a matrix, and which of them the source chose."""
    chosen = np.ones(len(var), bool)
    if "highly_variable" in var and (marked := var["highly_variable"].to_numpy(bool)).any():
        chosen = marked
    if key.startswith("obsm/"):
        names = _obsm_genes(path, file, key, node, var.index, chosen)
        chosen = np.ones(len(names), bool)
    else:
        names = [str(name) for name in var.index]
    twice = pd.Index(names)[pd.Index(names).duplicated()].unique()
    if len(twice):
        raise PtragError(
            f"{path}: {len(twice)} gene names of {key} occur more than once "
            f"({', '.join(twice[:3])}{', ...' if len(twice) > 3 else ''}); keep one of each"
        )
    return names, chosen


def _obsm_genes(
    path: Path,
    file: h5py.File,
    key: str,
    node: h5py.Dataset | h5py.Group,
    var: pd.Index,
    chosen: np.ndarray,
) -> list[str]:
    """Return the genes of an obsm matrix, which AnnData itself does not name.

    In this order: the columns of a table; ``uns["{NAME}_names"]``; the genes that
    ``var["highly_variable"]`` marks, in the order of var; all of var. The number must fit.
    """
    if isinstance(node, h5py.Group) and "column-order" in node.attrs:
        return [str(name) for name in node.attrs["column-order"]]
    shape = node.shape if isinstance(node, h5py.Dataset) else node.attrs["shape"]
    n, named = int(shape[1]) if len(shape) == 2 else 0, f"uns/{key.removeprefix('obsm/')}_names"
    if named in file:
        names = read_elem(file[named])
    elif chosen.sum() == n:
        names = var[chosen]
    else:
        names = var
    if len(names) != n:
        raise PtragError(
            f"{path}: matrix: the {n} columns of {key} have no names; mark as many genes in "
            f"var['highly_variable'] ({int(chosen.sum())} of {len(var)} now) or name them in "
            f"{named}"
        )
    return [str(name) for name in names]


def _free(name: str, obs: pd.DataFrame) -> str:
    while name in obs:
        name = f"source_{name}"
    return name
