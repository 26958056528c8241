"""A simulated Perturb-seq screen whose noise-free responses are known.

Real gene symbols, real GO terms, made-up biology: responses come from one of two worlds
(``simulate.kind``), so that no arm is judged by a world of its own making alone.

``programmes``
    Gene programmes that lines switch on and off (:mod:`ptrag.simulate.programmes`).
``network``
    Steady states of a regulatory network (:mod:`ptrag.simulate.network`).

Genes (:mod:`ptrag.simulate.panel`), cells, counts and truth (:mod:`ptrag.simulate.cells`) are the
same for both. The text embedding reads the same GO terms as a world does but none of its numbers.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ptrag.base.files import atomic
from ptrag.genes.symbols import Symbols
from ptrag.simulate.cells import Screen, draw_cells, true_deltas
from ptrag.simulate.knobs import Knobs
from ptrag.simulate.network import draw_network_screen
from ptrag.simulate.panel import draw_families, draw_genes
from ptrag.simulate.programmes import draw_programme_screen

WORLDS = {"programmes": draw_programme_screen, "network": draw_network_screen}


def simulate_screen(
    knobs: Mapping[str, Any], out_h5ad: str | Path, out_truth_h5ad: str | Path
) -> None:
    """Write a simulated screen and its truth.

    Parameters
    ----------
    knobs
        The fields of :class:`Knobs`.
    out_h5ad
        Counts (CSR float32); obs perturbation, cell_line, batch.
    out_truth_h5ad
        One row per pair: obs cell_line, perturbation, family, efficacy; X the
        noise-free delta on the log1p(10⁴) scale, expected over the count model,
        states, batches and the efficacies of cells. varm ``control``: every line's
        noise-free mean of control cells.

    Both carry ``uns["simulated"] = True`` and the knobs. The same knobs give the
    same bytes.
    """
    settings = Knobs(**{**knobs, "lines": tuple(knobs["lines"])})
    screen = draw_screen(settings)
    uns = {"simulated": True, "simulation": json.dumps(asdict(settings), sort_keys=True)}
    for data, path in (
        (draw_cells(screen, settings), out_h5ad),
        (true_deltas(screen, settings), out_truth_h5ad),
    ):
        data.uns = dict(uns)
        with atomic(path) as part:
            data.write_h5ad(part)


def draw_screen(knobs: Knobs) -> Screen:
    """Draw perturbed and measured genes, and the lines and responses of the world of a kind."""
    rng = np.random.default_rng([knobs.seed, 1])
    symbols = Symbols.read(knobs.gene_text)
    family = draw_families(symbols, knobs.n_perturbations, rng)
    genes = draw_genes(symbols, sorted(family), knobs.n_genes, rng)
    return WORLDS[knobs.kind](symbols, family, genes, knobs, rng)
