"""The store of a simulated screen, with its truth beside it."""

from ptrag.cells.preprocess import build_cells
from ptrag.cells.store import CellStore
from ptrag.simulate.screen import simulate_screen

SPEC = {
    "columns": {"perturbation": "perturbation", "cell_line": "cell_line"},
    "control": "control", "scale": "counts", "simulated": True,
}  # fmt: skip


def simulated_store(folder, knobs):
    """Write ``source.h5ad``, ``truth.h5ad`` and, with all genes, ``cells.h5ad`` into a folder."""
    simulate_screen(knobs, folder / "source.h5ad", folder / "truth.h5ad")
    chosen = {"genes": "all", "yardstick": 0.5}
    build_cells(folder / "source.h5ad", SPEC, chosen, folder / "cells.h5ad")
    return CellStore(folder / "cells.h5ad")
