"""Cells in memory, handed to what reads files: one way in for both."""

from pathlib import Path
from typing import TypeAlias

import anndata

from ptrag.base.errors import PtragError

Cells: TypeAlias = "anndata.AnnData | str | Path"
"""Cells in memory, or the path of a file of cells (h5ad, h5mu, zarr, 10x h5)."""


def as_file(cells: Cells, scratch: Path, name: str) -> Path:
    """Return the file of cells: as it is, or written from memory without what is not read.

    Parameters
    ----------
    cells
        Cells or a path.
    scratch
        A folder for a file of cells in memory.
    name
        What the file is called, for messages.

    Raises
    ------
    PtragError
        If it is neither.
    """
    if isinstance(cells, str | Path):
        return Path(cells)
    if not isinstance(cells, anndata.AnnData):
        raise PtragError(f"{name}: is a {type(cells).__name__}; give an AnnData or a path")
    if cells.isbacked and not cells.is_view:
        return Path(cells.filename)
    path = scratch / f"{name}.h5ad"
    simulated = {"simulated": cells.uns["simulated"]} if "simulated" in cells.uns else {}
    anndata.AnnData(cells.X, cells.obs, cells.var, uns=simulated).write_h5ad(path)
    return path
