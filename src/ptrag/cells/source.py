"""A data set's source file: opened, its labels and genes read, everything wrong with it named."""

import logging
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
from ptrag.base.names import N_CELLS, PERTURBATION
from ptrag.cells.labels import NAMES, read_flags, read_labels, require_controls
from ptrag.cells.matrix import Csc, Matrix, Node, Rows, open_matrix, reading
from ptrag.cells.opening import OpenFile, open_cells
from ptrag.genes.columns import column_names, share_of_symbols, without_column
from ptrag.genes.names import EXACT, Names
from ptrag.genes.words import tidy

GENE = "gene"
"""Kind of the rows of the table of names that are columns of the matrix."""

NO_SYMBOLS, SYMBOLS = 0.05, 0.2
"""Names of which less than the first share are symbols are plainly none; a var column of which
more than the second share are, plainly is one of symbols."""

logger = logging.getLogger("ptrag")


@dataclass(frozen=True)
class Source:
    """An open source.

    Attributes
    ----------
    path
        The user's own file.
    obs
        The project's cell_line, perturbation and batch, then the source's own columns;
        one of those names with other content is kept as ``source_{name}``.
    genes
        Current symbols of the columns of ``matrix``.
    given
        Which genes the source itself chose, (genes,) bool.
    matrix
        The expression of the cells in ``obs``.
    simulated
        Whether the source says so.
    names
        What became what, :data:`ptrag.cells.labels.NAMES`.
    """

    path: Path
    obs: pd.DataFrame
    genes: list[str]
    given: np.ndarray
    matrix: Matrix
    simulated: bool
    names: pd.DataFrame


@contextmanager
def open_source(
    path: str | Path, spec: Mapping[str, Any], scratch: Path, names: Names
) -> Iterator[Source]:
    """Open a source and check all but the values of its expression.

    Parameters
    ----------
    path
        A file of cells, as :func:`ptrag.cells.opening.open_cells` reads it.
    spec
        ``columns`` {perturbation, cell_line, batch (optional: one batch), gene_symbol (optional:
        a column of var)}, ``control``, ``matrix`` (``X``, ``layers/NAME``, ``obsm/NAME`` or
        ``raw/X``), ``perturbation_pattern``, ``unlabelled``, ``twins``
        (:func:`ptrag.cells.labels.read_labels`).
    scratch
        A folder for temporary files.
    names
        How labels are read.

    Raises
    ------
    PtragError
        If the file cannot be read, lacks a column, the matrix or control cells of
        a line, has a missing or unreadable label, or the same gene twice.
    """
    with open_cells(path) as file:
        key = spec.get("matrix") or "X"
        _look_for_matrix(file, key)
        labels = read_labels(file.path, file.obs, _label_spec(spec), names)
        where = f"columns.perturbation '{spec['columns'][PERTURBATION]}'"
        require_controls(file.path, labels.obs, names, where)
        with reading(file.path):
            simulated = _simulated(file)
        with matrix_of(file, key, scratch) as matrix:
            genes, given, table = read_genes(
                file,
                matrix,
                names,
                spec["columns"].get("gene_symbol"),
                set(labels.obs[PERTURBATION]),
            )
            if len(labels.rows) < matrix.shape[0]:
                matrix = Rows(matrix, labels.rows)
            table = pd.concat([labels.table, table], ignore_index=True)
            yield Source(file.path, labels.obs, genes, given, matrix, simulated, table)


@contextmanager
def matrix_of(file: OpenFile, key: str, scratch: Path) -> Iterator[Matrix]:
    """Open a matrix of a file, checked to have a row for each cell.

    Raises
    ------
    PtragError
        If there is none of this name, or it is stored in no known way.
    """
    node = file.node(key)
    matrix = open_matrix(file.path, key, node, scratch)
    if matrix is None:
        stored = node.attrs.get("encoding-type", getattr(node, "dtype", "a group"))
        raise PtragError(
            f"{file.path}: matrix: {key} is no table of numbers (but {stored}); choose another"
        )
    try:
        if matrix.shape[0] != len(file.obs):
            raise PtragError(
                f"{file.path}: {key} is {matrix.shape[0]} × {matrix.shape[1]}, but there are "
                f"{len(file.obs)} cells and {len(file.var_of(key))} genes; fetch the file again"
            )
        yield matrix
    finally:
        if isinstance(matrix, Csc):
            matrix.close()


def read_genes(
    file: OpenFile,
    matrix: Matrix,
    names: Names,
    symbol_column: str | None = None,
    perturbations: set[str] = frozenset(),
) -> tuple[list[str], np.ndarray, pd.DataFrame]:
    """Return the current symbols of a matrix's columns, which the source chose, and a table.

    Parameters
    ----------
    file
        The open file.
    matrix
        The matrix.
    names
        Current symbols and aliases.
    symbol_column
        The column of var that has the symbols; None: found where the var names plainly are none
        and another column plainly has them.
    perturbations
        Whose targets are looked for among the genes.

    Returns
    -------
    genes
        Distinct.
    given
        (genes,) bool, those that ``var["highly_variable"]`` marks, else all.
    table
        The columns whose name is not that of the file, and ambiguous ones.

    Raises
    ------
    PtragError
        For a gene twice, no such column, or targets none of which any column measures while the
        names of the columns are no symbols.
    """
    var = file.var_of(matrix.key)
    chosen = np.ones(len(var), bool)
    if "highly_variable" in var:
        marked = read_flags(file.path, "var['highly_variable']", var["highly_variable"])
        chosen = marked if marked.any() else chosen
    symbols = _symbols(file, var, names, symbol_column)
    if matrix.key.startswith("obsm/"):
        columns = _obsm_genes(file, matrix, var.index, symbols, chosen)
        chosen = np.ones(len(columns), bool)
    else:
        columns = symbols
    if matrix.shape[1] != len(columns):
        raise PtragError(
            f"{file.path}: {matrix.key} is {matrix.shape[0]} × {matrix.shape[1]}, but there are "
            f"{len(file.obs)} cells and {len(columns)} genes; fetch the file again"
        )
    repeated = pd.Index(columns)[pd.Index(columns).duplicated()].unique()
    if len(repeated):
        raise PtragError(
            f"{file.path}: {len(repeated)} gene names of {matrix.key} occur more than once "
            f"({', '.join(repeated[:3])}{', ...' if len(repeated) > 3 else ''}); keep one of each"
        )
    named = column_names(columns, names)
    genes = [gene.name for gene in named]
    _look_for_targets(file, matrix.key, genes, var, perturbations, names)
    table = [
        (GENE, column, gene.name, gene.how, 0, gene.note)
        for column, gene in zip(columns, named, strict=True)
        if gene.name != column or (gene.note and gene.how != EXACT)
    ]
    return genes, chosen, pd.DataFrame(table, columns=NAMES).assign(**{N_CELLS: len(file.obs)})


def _look_for_matrix(file: OpenFile, key: str) -> None:
    """Look for the matrix before anything of millions of cells is read."""
    try:
        file.node(key)
    except PtragError as error:
        raise PtragError(f"{error}{_instead_of(file, key)}") from None


def _instead_of(file: OpenFile, key: str) -> str:
    """Say how to do without a matrix of chosen genes, where the file has one of all genes."""
    if not key.startswith("obsm/") or "X" not in file.keys():  # noqa: SIM118 - no mapping
        return ""
    return (
        "; or take all genes and choose among them by the control cells: `matrix: X` with "
        "`cells: {genes: controls}`"
    )


def _label_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    columns = {key: name for key, name in spec["columns"].items() if key != "gene_symbol"}
    return {**spec, "columns": columns}


def _simulated(file: OpenFile) -> bool:
    if "uns" not in file.group or "simulated" not in file.group["uns"]:
        return False
    flag = pd.Series([np.asarray(read_elem(file.group["uns"]["simulated"])).item()])
    return bool(read_flags(file.path, "uns['simulated']", flag)[0])


def _symbols(file: OpenFile, var: pd.DataFrame, names: Names, column: str | None) -> list[str]:
    """Return the name of each row of var: its symbol where a column has one, else its index."""
    index = [tidy(name) for name in var.index]
    if column is None:
        column = _symbol_column(var, names)
        if column is None:
            return index
        logger.warning(
            "%s: var names such as '%s' are no gene symbols; taking those of var['%s']",
            file.path, index[0], column,
        )  # fmt: skip
    elif column not in var:
        raise PtragError(
            f"{file.path}: columns.gene_symbol: no var column '{column}'; "
            f"{did_you_mean(column, var.columns)}"
        )
    values = var[column]
    labels = np.where(values.isna(), "", values.astype(str).map(tidy))
    twice = pd.Index(labels).duplicated(keep=False)
    return [
        name if repeated or not label else label
        for name, label, repeated in zip(index, labels, twice, strict=True)
    ]


def _symbol_column(var: pd.DataFrame, names: Names) -> str | None:
    """Return the column of var that plainly has symbols, where the index plainly has none."""
    if share_of_symbols(var.index, names.symbols) >= NO_SYMBOLS:
        return None
    shares = {
        column: share_of_symbols(var[column].dropna(), names.symbols)
        for column in var
        if not (
            pd.api.types.is_numeric_dtype(var[column]) or pd.api.types.is_bool_dtype(var[column])
        )
    }
    best = max(shares, key=shares.get, default=None)
    return best if best is not None and shares[best] > SYMBOLS else None


def _look_for_targets(
    file: OpenFile,
    key: str,
    genes: list[str],
    var: pd.DataFrame,
    perturbations: set[str],
    names: Names,
) -> None:
    """Say how many perturbed genes no column measures; refuse names that are plainly no genes."""
    measured, absent = without_column(perturbations, genes, names.symbols)
    if not absent:
        return
    n = len(measured) + len(absent)
    shown = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
    if not measured and share_of_symbols(genes, names.symbols) < NO_SYMBOLS:
        raise PtragError(
            f"{file.path}: none of the {n} perturbed genes ({shown}) is among the gene names of "
            f"{key}, such as '{genes[0]}', which are no symbols; name the column of var that has "
            f"symbols in columns.gene_symbol (there are: {', '.join(map(str, var)) or 'none'})"
        )
    logger.warning(
        "%s: %d of %d perturbed genes have no column in %s (%s): their own expression is neither "
        "predicted nor scored", file.path, len(absent), n, key, shown,
    )  # fmt: skip


def _obsm_genes(
    file: OpenFile, matrix: Matrix, index: pd.Index, symbols: list[str], chosen: np.ndarray
) -> list[str]:
    """Return the genes of an obsm matrix, which AnnData itself does not name.

    In this order: the columns of a table; ``uns["{NAME}_names"]``; the genes that
    ``var["highly_variable"]`` marks, in the order of var; all of var. The number must fit.
    """
    node: Node = file.node(matrix.key)
    if not isinstance(node, h5py.Dataset) and "column-order" in node.attrs:
        return [tidy(name) for name in node.attrs["column-order"]]
    named = f"{matrix.key.removeprefix('obsm/')}_names"
    if "uns" in file.group and named in file.group["uns"]:
        with reading(file.path):
            labels = [tidy(name) for name in read_elem(file.group["uns"][named])]
        known = dict(zip(map(tidy, index), symbols, strict=True))
        columns = [known.get(label, label) for label in labels]
    elif chosen.sum() == matrix.shape[1]:
        columns = [symbols[i] for i in np.flatnonzero(chosen)]
    else:
        columns = symbols
    if len(columns) != matrix.shape[1]:
        raise PtragError(
            f"{file.path}: matrix: the {matrix.shape[1]} columns of {matrix.key} have no names; "
            f"mark as many genes in var['highly_variable'] ({int(chosen.sum())} of {len(index)} "
            f"now) or name them in uns/{named}{_instead_of(file, matrix.key)}"
        )
    return columns
