"""Predicted cells as whole counts: a layer of their file, or the layout of a challenge.

A predicted cell has the unit of the control cell it starts from (:mod:`ptrag.cells.counts`). Cells
that were emitted by counts come back exactly; those of networks are rounded to the nearest counts.
Both functions read a file of predicted cells block by block, so that memory does not grow with it.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import read_elem, sparse_dataset, write_elem

from ptrag.base.errors import PtragError
from ptrag.base.files import atomic
from ptrag.base.names import CELL_LINE, PERTURBATION
from ptrag.cells.counts import to_counts
from ptrag.prediction.files import CONTROL_CELL
from ptrag.prediction.prediction import GivenControls

COUNTS = "counts"
"""Layer of a file of predicted cells."""

VCC_CELLS = 400
"""Cells of each perturbation in the layout of the 2026 Virtual Cell Challenge."""

VCC_TARGET, VCC_CONTEXT = "target_gene", "context"
MOST_COUNTS = 1_000_000
"""A cell with more is refused by the challenge."""

_BLOCK = 2048


def add_counts(cells: str | Path, controls: Mapping[str, GivenControls]) -> None:
    """Add the layer ``counts``, (n, G) int32 by rows, to a file of predicted cells.

    Parameters
    ----------
    cells
        The h5ad that :func:`ptrag.prediction.files.written_predictions` wrote.
    controls
        The given controls of each line that the cells start from.
    """
    cells = Path(cells)
    with atomic(cells) as part:
        shutil.copyfile(cells, part)
        with h5py.File(part, "r+") as file:
            layers = file["layers"]
            for block in _blocks(file, controls):
                _append(layers, COUNTS, block)


def write_vcc2026(
    cells: str | Path, controls: Mapping[str, GivenControls], out: str | Path
) -> None:
    """Write predicted cells as the 2026 Virtual Cell Challenge takes them.

    Parameters
    ----------
    cells, controls
        As of :func:`add_counts`; :data:`VCC_CELLS` cells of each pair.
    out
        h5ad to write: X whole counts, (n, G) int32 by rows; obs ``target_gene`` (the perturbation)
        and ``context`` (the cell line). It has no control cell: they are the challenge's.

    Raises
    ------
    PtragError
        If a pair has another number of cells, or a cell more counts than the challenge takes.
    """
    with h5py.File(cells) as file, atomic(out) as part, h5py.File(part, "w") as new:
        obs = read_elem(file["obs"])
        for pair, n in obs.value_counts([CELL_LINE, PERTURBATION], sort=False).items():
            if n not in (0, VCC_CELLS):
                raise PtragError(
                    f"{cells}: {n} cells of {' '.join(pair)}, and the challenge takes {VCC_CELLS} "
                    f"of each perturbation; predict {VCC_CELLS} (--cells {VCC_CELLS})"
                )
        new.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        start = 0
        for block in _blocks(file, controls):
            totals = block.sum(axis=1)
            if totals.max() > MOST_COUNTS:
                cell = obs.iloc[start + int(totals.argmax())]
                raise PtragError(
                    f"{cells}: a cell of {cell[CELL_LINE]} {cell[PERTURBATION]} has "
                    f"{totals.max()} counts, and the challenge takes {MOST_COUNTS} at most; "
                    "give control cells of ordinary depth"
                )
            _append(new, "X", block)
            start += len(block)
        labels = {VCC_TARGET: obs[PERTURBATION], VCC_CONTEXT: obs[CELL_LINE]}
        write_elem(new, "obs", pd.DataFrame(labels, index=obs.index))
        write_elem(new, "var", read_elem(file["var"]))
        for name in ("uns", "layers", "obsm", "obsp", "varm", "varp"):
            write_elem(new, name, {})


def _blocks(file: h5py.File, controls: Mapping[str, GivenControls]) -> Iterator[np.ndarray]:
    """Yield the counts of the predicted cells of a file, (n, G) whole numbers of the next n."""
    obs = read_elem(file["obs"])
    units = np.empty(len(obs))
    for line, rows in obs.groupby(CELL_LINE, observed=True).indices.items():
        given = controls[str(line)]
        of_cell = dict(zip(map(str, given.names), given.units, strict=True))
        units[rows] = [of_cell[name] for name in obs[CONTROL_CELL].iloc[rows].astype(str)]
    for start in range(0, len(obs), _BLOCK):
        rows = slice(start, start + _BLOCK)
        yield to_counts(file["X"][rows], units[rows])


def _append(group: h5py.Group, name: str, block: np.ndarray) -> None:
    """Append rows to a sparse matrix, which the first block makes."""
    rows = sp.csr_matrix(block.astype(np.int32))
    if name in group:
        sparse_dataset(group[name]).append(rows)
    else:
        write_elem(group, name, rows)
