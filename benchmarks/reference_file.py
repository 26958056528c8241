"""A made file of the paper's layout, at any size: for a rehearsal of the whole workflow.

As ``replogle.h5ad`` is described: obs ``gene``, ``cell_line`` and ``gem_group``, controls
``non-targeting``, the log1p expression of the variable genes in ``obsm/X_hvg`` (float32, in
compressed chunks), whose names ``var["highly_variable"]`` marks. What a perturbation does is a
mixture of a few programmes, each with its own strength in every line; a table of vectors tells of
the same mixture. It is simulated, and says so.
"""

from pathlib import Path
from typing import NamedTuple

import anndata
import h5py
import numpy as np
import pandas as pd

from ptrag.genes.symbols import GENE_TEXT, Symbols

LINES = ("hepg2", "jurkat", "k562", "rpe1")
CONTROL = "non-targeting"
CONTROL_SHARE = 0.06  # of all cells
PROGRAMMES, VECTOR = 24, 1536  # of responses, and the size of a vector, as GenePT's
BLOCK = 4096  # cells


class Size(NamedTuple):
    """Cells, genes and perturbations of four lines; the paper's are the defaults."""

    cells: int = 643_426
    genes: int = 2000
    perturbations: int = 2000


def make_reference_file(path: Path, vectors: Path, size: Size, seed: int = 0) -> None:
    """Write the file of cells, and the table of vectors of its perturbations.

    Parameters
    ----------
    path
        The h5ad.
    vectors
        A ``.tsv.gz``: symbol, then one column per dimension.
    size
        How large; the time and the size of the file grow with ``cells * genes``.
    seed
        Of everything drawn.
    """
    rng = np.random.default_rng(seed)
    symbols = sorted(Symbols.read(GENE_TEXT).genes)
    names = list(rng.choice(symbols, max(size.genes, size.perturbations), replace=False))
    genes, perturbations = names[: size.genes], sorted(names[: size.perturbations])
    mixture = rng.normal(size=(size.perturbations, PROGRAMMES))
    mixture *= rng.gamma(0.7, 0.7, (size.perturbations, 1))
    programme = rng.normal(0, 0.12, (PROGRAMMES, size.genes))
    strength = rng.gamma(2.0, 0.5, (len(LINES), PROGRAMMES))
    level = rng.gamma(0.6, 1.2, (1, size.genes)) + rng.gamma(0.3, 0.6, (len(LINES), size.genes))
    obs = _labels(rng, perturbations, size.cells)
    var = pd.DataFrame({"highly_variable": True}, index=pd.Index(genes, dtype=object))
    anndata.AnnData(obs=obs, var=var, uns={"simulated": True}).write_h5ad(path)
    line, number = obs["cell_line"].cat.codes.to_numpy(), obs["gene"].cat.codes.to_numpy()
    known = {name: row for row, name in enumerate(perturbations)}
    row = np.array([known.get(name, -1) for name in obs["gene"].cat.categories])[number]
    with h5py.File(path, "r+") as file:
        X = file["obsm"].create_dataset(
            "X_hvg", (size.cells, size.genes), "f4", compression="lzf",
            chunks=(min(1024, size.cells), size.genes),
        )  # fmt: skip
        X.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        for start in range(0, size.cells, BLOCK):
            at = slice(start, min(start + BLOCK, size.cells))
            mixed = np.where(row[at, None] >= 0, mixture[row[at]], 0) * strength[line[at]]
            mean = level[line[at]] + mixed @ programme
            noise = rng.standard_normal(mean.shape, np.float32)
            X[at] = np.clip(mean + 0.6 * noise - 0.3, 0, 9).astype(np.float32)
    told = mixture @ rng.normal(size=(PROGRAMMES, VECTOR)) + rng.normal(
        0, 2, (size.perturbations, VECTOR)
    )
    table = pd.DataFrame(told.round(3), index=pd.Index(perturbations, name="symbol"))
    table.to_csv(vectors, sep="\t", compression={"method": "gzip", "compresslevel": 1})


def _labels(rng: np.random.Generator, perturbations: list[str], cells: int) -> pd.DataFrame:
    """Return line, gene and batch of each cell, in no order."""
    gene = rng.choice(perturbations, cells).astype(object)
    gene[rng.random(cells) < CONTROL_SHARE] = CONTROL
    obs = pd.DataFrame({
        "gene": gene,
        "cell_line": rng.choice(LINES, cells),
        "gem_group": rng.integers(1, 49, cells),
    })  # fmt: skip
    obs.index = "cell" + obs.index.astype(str)
    return obs.astype({"gene": "category", "cell_line": "category"})
