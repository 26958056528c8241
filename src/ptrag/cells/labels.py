"""The labels of cells, from a source's columns to the project's names.

The same for the workflow, ``ptrag predict`` and ``ptrag evaluate``. Cells without a label are
refused, or left out and counted. What became what is a table, :data:`NAMES`, that stands beside
``cells.h5ad``.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.names import BATCH, CELL_LINE, CONTROL, N_CELLS, PERTURBATION
from ptrag.cells.store_writer import SINGLE_BATCH
from ptrag.genes.names import (
    AMBIGUOUS,
    CONTROL_WORD,
    EXACT,
    Named,
    Names,
    one_spelling,
)
from ptrag.genes.words import is_placeholder, tidy

ONE_LINE = "cells"
"""The cell line of files that name none."""

NAMES = ["kind", "source", "name", "how", N_CELLS, "note"]
"""Columns of the table of names; ``kind`` is cell_line, perturbation or gene."""

_TRUE = frozenset(("true", "t", "yes", "y", "1", "1.0"))
_FALSE = frozenset(("false", "f", "no", "n", "0", "0.0"))
_SHOWN = 3

logger = logging.getLogger("ptrag")


class Labels(NamedTuple):
    """Labels in the project's names.

    Attributes
    ----------
    obs
        cell_line, perturbation and batch, then the source's own columns, of labelled cells.
    rows
        Row of the source for each of them, sorted.
    table
        :data:`NAMES`, one row per label of the source.
    """

    obs: pd.DataFrame
    rows: np.ndarray
    table: pd.DataFrame


def read_labels(
    path: str | Path,
    obs: pd.DataFrame,
    spec: Mapping[str, Any],
    names: Names,
    keys: Callable[[str], str] = "columns.{}".format,
) -> Labels:
    """Give the cells of a file the project's labels.

    Parameters
    ----------
    path
        The file, for messages.
    obs
        Its table of cells.
    spec
        ``columns`` {perturbation, cell_line (optional: one line), batch (optional)};
        ``unlabelled``: error (default) | drop, for cells without perturbation or line; ``twins``:
        merge (default) | error, for two spellings of one perturbation.
    names
        How labels are read.
    keys
        How messages call the option that names a column.

    Raises
    ------
    PtragError
        For a missing column, unlabelled cells, no control cells, or a label that cannot be read.
    """
    columns = {key: name for key, name in spec["columns"].items() if name}
    where = f"{path}: {keys(PERTURBATION)} '{columns[PERTURBATION]}'"
    labels = pd.DataFrame(
        {key: _column(path, obs, keys(key), name) for key, name in columns.items()}
    )
    if CELL_LINE not in columns:
        labels[CELL_LINE] = ONE_LINE
    controls = _control_labels(labels[PERTURBATION], names, where)
    rows = _labelled(path, labels, columns, controls, spec.get("unlabelled") or "error", keys)
    labels, kept = labels.iloc[rows], obs.iloc[rows]
    lines = one_spelling(labels[CELL_LINE].value_counts().to_dict())
    perturbations = _perturbations(labels[PERTURBATION], names, spec.get("twins") or "merge", where)
    table = _table(labels, lines, perturbations)
    project = pd.DataFrame(
        {
            CELL_LINE: labels[CELL_LINE].map(lines),
            PERTURBATION: labels[PERTURBATION].map({k: v.name for k, v in perturbations.items()}),
            BATCH: labels[BATCH].map(tidy) if BATCH in labels else SINGLE_BATCH,
        },
        index=kept.index,
    )
    _say_merged_lines(path, lines)
    return Labels(pd.concat([project, _kept(kept, project)], axis=1), rows, table)


def require_controls(path: str | Path, obs: pd.DataFrame, names: Names, where: str) -> None:
    """Refuse a file without control cells, or with none in one of its lines.

    Raises
    ------
    PtragError
        That names the control and, where there is one, the line.
    """
    untreated = obs[PERTURBATION] == CONTROL
    if not untreated.any():
        labels = obs[PERTURBATION].value_counts().index
        asked = names.control.strip("'")
        raise PtragError(
            f"{path}: {where}: no cells are labelled {names.control} (control); "
            f"{did_you_mean(asked, labels)}"
        )
    for line in sorted(set(obs[CELL_LINE]) - set(obs[CELL_LINE][untreated])):
        raise PtragError(
            f"{path}: {where}: cell line '{line}' has no control cells ({names.control}), and "
            "effects are measured against a line's own; leave the line out of the file"
        )


def read_flags(path: str | Path, name: str, column: pd.Series) -> np.ndarray:
    """Read a column of booleans, however it is stored: never by truthiness.

    Parameters
    ----------
    path, name
        The file and the column, for messages.
    column
        Booleans, 0 and 1, or such words as ``True``, ``no``, ``1``.

    Raises
    ------
    PtragError
        If a value is missing or neither true nor false.
    """
    words = column.astype(str).str.strip().str.lower()
    missing = column.isna().to_numpy() | words.map(is_placeholder).to_numpy()
    if n := int(missing.sum()):
        raise PtragError(
            f"{path}: {name}: {n} of {len(column)} values are missing; set each to True or False"
        )
    unclear = ~words.isin(_TRUE | _FALSE)
    if unclear.any():
        raise PtragError(
            f"{path}: {name}: '{column[unclear].iloc[0]}' is neither True nor False; set it to one"
        )
    return words.isin(_TRUE).to_numpy()


def _column(path: str | Path, obs: pd.DataFrame, key: str, name: str) -> pd.Series:
    """Return a column of labels as strings, missing ones empty; whole numbers without ``.0``."""
    if name not in obs:
        raise PtragError(
            f"{path}: {key}: no obs column '{name}'; {did_you_mean(name, obs.columns)}"
        )
    column = obs[name]
    if pd.api.types.is_float_dtype(column.dtype) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    missing = column.isna().to_numpy()
    labels = column.astype(str).to_numpy(object)
    labels[missing] = ""
    return pd.Series(labels, index=obs.index, dtype=object)


def _control_labels(labels: pd.Series, names: Names, where: str) -> set[str]:
    """Return the labels that mean control; they may be words that elsewhere stand for missing."""
    try:
        return {label for label in labels.unique() if label and names.is_control(label)}
    except PtragError as error:
        raise PtragError(f"{where}: {error}") from None


def _labelled(
    path: str | Path,
    labels: pd.DataFrame,
    columns: Mapping[str, str],
    controls: set[str],
    unlabelled: str,
    keys: Callable[[str], str],
) -> np.ndarray:
    """Return the rows of cells with all their labels."""
    missing = np.zeros(len(labels), bool)
    for key, name in columns.items():
        words = {
            label: (not tidy(label) if key == BATCH else is_placeholder(label))
            for label in labels[key].unique()
        }
        if key == PERTURBATION:
            words |= dict.fromkeys(controls, False)
        lacks = labels[key].map(words).to_numpy(bool)
        if (n := int(lacks.sum())) and unlabelled == "error":
            shown = sorted({repr(label) for label in labels[key][lacks].unique() if tidy(label)})
            reads = f" (but {', '.join(shown[:_SHOWN])})" if shown else ""
            raise PtragError(
                f"{path}: {keys(key)}: {n} of {len(labels)} cells have no value{reads} in "
                f"obs column '{name}'; leave these cells out of the file (or set "
                "`unlabelled: drop`) or give them one"
            )
        missing |= lacks
    if missing.any():
        logger.warning(
            "%s: %d of %d cells have no label and are left out", path, missing.sum(), len(missing)
        )
    if len(missing) and missing.all():
        raise PtragError(f"{path}: no cell has a label; check `columns`")
    return np.flatnonzero(~missing)


def _perturbations(labels: pd.Series, names: Names, twins: str, where: str) -> dict[str, Named]:
    """Return the name of every label; what is no gene has the spelling of most cells."""
    result: dict[str, Named] = {}
    own_spelling: dict[str, str] = {}
    spellings: dict[str, dict[str, None]] = defaultdict(dict)
    for label in labels.value_counts().index:  # most frequent first
        try:
            named = names.perturbation(label)
            name = own_spelling.setdefault(named.name.casefold(), named.name)
            result[label] = named._replace(name=name)
            if name != CONTROL:
                spellings[name][names.raw(label)] = None
        except PtragError as error:
            raise PtragError(f"{where}: {error}") from None
    several = {name: list(raw) for name, raw in spellings.items() if len(raw) > 1}
    if several:
        shown = "; ".join(f"{' = '.join(raw)}" for raw in list(several.values())[:_SHOWN])
        message = (
            f"{len(several)} perturbations have more than one name and become one each ({shown})"
        )
        if twins == "error":
            raise PtragError(f"{where}: {message}; give them one, or set `twins: merge`")
        logger.warning("%s: %s", where, message)
    _say_doubts(result, where)
    return result


def _say_doubts(perturbations: Mapping[str, Named], where: str) -> None:
    """Warn of labels that may be another's gene, or that read like a control."""
    own = {named.name for named in perturbations.values()}
    for label, named in perturbations.items():
        others = sorted(set(named.note.removeprefix("may be ").split(" or ")) & own)
        if named.how == AMBIGUOUS and others:
            logger.warning(
                "%s: label '%s' %s, and %s is a label too: both stay; rename it if they are one",
                where, label, named.note, " and ".join(others),
            )  # fmt: skip
        if named.how == CONTROL_WORD:
            logger.warning("%s: label '%s' %s", where, label, named.note)


def _say_merged_lines(path: str | Path, lines: Mapping[str, str]) -> None:
    changed = {label: line for label, line in lines.items() if label != line}
    if changed:
        shown = "; ".join(
            f"'{label}' is '{line}'" for label, line in list(changed.items())[:_SHOWN]
        )
        logger.warning(
            "%s: %d labels of cell lines are other spellings: %s", path, len(changed), shown
        )


def _table(
    labels: pd.DataFrame, lines: Mapping[str, str], perturbations: Mapping[str, Named]
) -> pd.DataFrame:
    counts = {key: labels[key].value_counts() for key in (CELL_LINE, PERTURBATION)}
    rows = [
        (
            CELL_LINE,
            label,
            line,
            EXACT if label == line else "spelling",
            counts[CELL_LINE][label],
            "",
        )
        for label, line in sorted(lines.items())
    ]
    rows += [
        (PERTURBATION, label, named.name, named.how, counts[PERTURBATION][label], named.note)
        for label, named in sorted(perturbations.items())
    ]
    return pd.DataFrame(rows, columns=NAMES)


def _kept(obs: pd.DataFrame, project: pd.DataFrame) -> pd.DataFrame:
    """Return the source's own columns; one of the project's names is ``source_{name}``."""
    kept = {}
    for name in obs:
        if name in project and obs[name].astype(str).equals(project[name].astype(str)):
            continue
        kept[_free(f"source_{name}", {*obs.columns, *kept}) if name in project else name] = obs[
            name
        ]
    return pd.DataFrame(kept, index=obs.index)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"source_{name}"
    return name
