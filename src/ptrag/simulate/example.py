"""A tiny simulated screen in memory, for examples in docstrings."""

from pathlib import Path
from tempfile import TemporaryDirectory

import anndata

from ptrag.genes.symbols import GENE_TEXT
from ptrag.simulate.screen import simulate_screen


def example_screen(n_perturbations: int = 12, n_genes: int = 40) -> anndata.AnnData:
    """Return a **simulated** screen of raw counts: two lines, some 40 cells a pair, 50 controls.

    obs has ``perturbation``, with ``control`` for control cells, ``cell_line`` and ``batch``.

    Examples
    --------
    >>> screen = example_screen()
    >>> screen.n_vars, sorted(set(screen.obs["cell_line"]))
    (40, ['k562', 'rpe1'])
    """
    knobs = {
        "kind": "programmes", "seed": 1, "lines": ["k562", "rpe1"], "n_genes": n_genes,
        "n_perturbations": n_perturbations, "cells_per_pair": 40, "controls_per_line": 50,
        "batches": 1, "text_signal": 0.8, "context_signal": 0.5, "systematic_shift": 0.5,
        "gene_text": str(GENE_TEXT),
    }  # fmt: skip
    with TemporaryDirectory(prefix="ptrag-") as folder:
        path = Path(folder) / "screen.h5ad"
        simulate_screen(knobs, path, Path(folder) / "truth.h5ad")
        return anndata.read_h5ad(path)
