"""What files of cells call their columns and controls, where the user does not say it.

State, cell-eval, GEARS and scPerturb write files that differ in little but names. Those known here
are tried in order; what was taken is said.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.names import CELL_LINE, CONTROL, PERTURBATION
from ptrag.cells.opening import open_cells

PERTURBATIONS = (PERTURBATION, "target_gene", "gene", "target", "condition")
LINES = (CELL_LINE, "cell_type", "context")
CONTROLS = (CONTROL, "ctrl", "non-targeting", "non_targeting", "NT")


class Conventions(NamedTuple):
    """How the files of one evaluation are read.

    Attributes
    ----------
    perturbation, cell_line
        Columns of obs; without ``cell_line`` all cells are of one line.
    control
        Labels of control cells.
    notes
        What was recognised, as sentences.
    """

    perturbation: str
    cell_line: str | None
    control: Sequence[str]
    notes: list[str]


def recognise(
    files: Sequence[str | Path],
    perturbation: str | None,
    cell_line: str | None,
    control: str | Sequence[str] | None,
) -> Conventions:
    """Fill in what is None from the files, the real one first.

    Raises
    ------
    PtragError
        If no column of perturbations, or no label of controls, is one that is known.
    """
    notes: list[str] = []
    columns, labels = [], set()
    for path in files:
        with open_cells(path) as file:
            columns.append(list(file.obs.columns))
            if perturbation is None:
                perturbation = _column(path, columns[0])
                notes.append(f"perturbations: column {perturbation!r}")
            if not labels and perturbation in file.obs:
                labels = set(file.obs[perturbation].astype(str).unique())
    if cell_line is None:
        cell_line = next((c for c in LINES if all(c in of for of in columns)), None)
        if cell_line:
            notes.append(f"cell lines: column {cell_line!r}")
    if control is None:
        control = [name for name in CONTROLS if name in labels]
        if not control:
            raise PtragError(
                f"{files[0]}: no control cells: column {perturbation!r} has none of the labels "
                f"{', '.join(CONTROLS)}; name them with --control"
            )
        if control != [CONTROL]:
            notes.append(f"controls: {', '.join(control)}")
    return Conventions(perturbation, cell_line, control, notes)


def _column(path: str | Path, columns: Sequence[str]) -> str:
    for name in PERTURBATIONS:
        if name in columns:
            return name
    raise PtragError(
        f"{path}: obs has none of the columns {', '.join(PERTURBATIONS)}; name that of the "
        f"perturbations with --perturbation ({did_you_mean(PERTURBATION, list(columns))})"
    )
