"""Columns of a matrix as genes: their current symbols, and which perturbed genes they measure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ptrag.base.names import CONTROL
from ptrag.genes.names import AMBIGUOUS, Named, Names
from ptrag.genes.symbols import Symbols
from ptrag.genes.words import is_placeholder, tidy


def column_names(columns: Sequence[str], names: Names) -> list[Named]:
    """Return the current symbols of columns of genes.

    A column keeps its own name where the current symbol is another column's, or would be that of
    two: measurements are never merged.
    """
    current = [names.gene(column) for column in columns]
    own = set(columns)
    wanted = Counter(named.name for named in current)
    result = []
    for column, named in zip(columns, current, strict=True):
        if named.name == column or (named.name not in own and wanted[named.name] == 1):
            result.append(named)
        else:
            result.append(Named(column, AMBIGUOUS, f"{named.name} is another column"))
    return result


def share_of_symbols(columns: Iterable[Any], symbols: Symbols, at_most: int = 5000) -> float:
    """Return the share of ``columns`` (of ``at_most``, evenly taken) that are names of one gene."""
    labels = [tidy(column) for column in columns]
    labels = labels[:: max(1, len(labels) // at_most)]
    known = sum(
        symbols.resolve(label)[0] is not None and not is_placeholder(label) for label in labels
    )
    return known / max(1, len(labels))


def without_column(
    perturbations: Iterable[str], genes: Iterable[str], symbols: Symbols
) -> tuple[list[str], list[str]]:
    """Split the genes that perturbations knock down by whether a column measures them.

    Returns
    -------
    measured, absent
        Sorted; labels that are no gene of the table (drugs, numbers) are in neither unless a
        column has their very name.
    """
    columns = set(genes)
    targets = {part for name in perturbations if name != CONTROL for part in name.split("+")}
    measured = sorted(targets & columns)
    return measured, sorted(t for t in targets - columns if t in symbols.genes)
