"""From a source to ``cells.h5ad``, in blocks: memory does not grow with the cells.

One pass over the source checks every value, brings it to the log1p scale, keeps the
chosen genes and writes each cell where it belongs. Choosing genes on control cells takes
a pass before that, over the blocks that hold the cells looked at.
"""

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scanpy
import scipy.sparse as sp
from tqdm import tqdm

from ptrag.base.errors import PtragError
from ptrag.base.files import sha256, write_table, writing
from ptrag.base.names import CELL_LINE, CONTROL, PERTURBATION, TARGET_TOTAL
from ptrag.cells.controls import CONTROL_PART, GIVEN, deal_controls
from ptrag.cells.matrix import Block, in_threads
from ptrag.cells.scale import HIGHEST_LOG1P, ScaleCheck, silent_controls
from ptrag.cells.source import Source, open_source
from ptrag.cells.store_writer import new_store
from ptrag.genes.names import Names
from ptrag.genes.symbols import GENE_TEXT, Symbols

CONTROLS_LOOKED_AT = 10_000
"""Control cells on which genes are chosen, at most; an equal share of each line."""

FEWEST_CONTROLS = 20
"""A line with fewer control cells has no say in the choice of genes, if another has more."""

_VALUES_LOOKED_AT = 40_000_000  # dense values for the choice of genes: 160 MB
_FEW = 10_000
_SEED = 0

logger = logging.getLogger("ptrag")


def build_cells(
    source: str | Path,
    spec: Mapping[str, Any],
    settings: Mapping[str, Any],
    out: str | Path,
    gene_text: str | Path = GENE_TEXT,
) -> None:
    """Turn a source into a store of cells, and write what its names became beside it.

    Parameters
    ----------
    source
        A file of cells (:func:`ptrag.cells.opening.open_cells`).
    spec
        The data set's entry in the configuration: ``columns`` {perturbation, cell_line,
        batch, gene_symbol}, ``control``, ``scale`` (counts | log1p), ``matrix`` (X | layers/NAME |
        obsm/NAME | raw/X), ``perturbation_pattern``, ``unlabelled``, ``twins``, ``simulated``.
    settings
        ``yardstick`` (the share of controls kept for evaluation,
        :func:`ptrag.cells.controls.deal_controls`), ``genes`` and ``n_genes``:

        - ``controls``: the ``n_genes`` most variable genes among *given* control cells
          (scanpy's ``highly_variable_genes``, ranked within each line), so that no held-out
          response chooses genes;
        - ``given``: those that the source marks in ``var["highly_variable"]``, else all;
        - ``all``.
    out
        The ``cells.h5ad``. Counts are divided by their cell's sum over *all* genes of the
        source, times 10,000, then log1p; what is log1p stays as it is. Beside it comes
        :func:`names_path`.
    gene_text
        The table of gene symbols and aliases.

    Raises
    ------
    PtragError
        For a source that cannot be used as declared, or an ``out`` that cannot be
        written; nothing is left under its name.
    """
    source, out = Path(source), Path(out)
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        names = Names(Symbols.read(gene_text), spec["control"], spec.get("perturbation_pattern"))
        with open_source(source, spec, out.parent, names) as opened:
            opened.obs[CONTROL_PART] = deal_controls(opened.obs, settings["yardstick"])
            blocks = _Blocks(opened, spec["scale"])
            chosen = _choose_genes(blocks, settings)
            _fill(blocks, chosen, spec, settings, out)
            write_table(opened.names, names_path(out))


def names_path(cells: str | Path) -> Path:
    """Return where the table of names of a store stands: ``cells.names.tsv``."""
    return Path(cells).with_suffix(".names.tsv")


def _fill(
    blocks: "_Blocks",
    chosen: np.ndarray,
    spec: Mapping[str, Any],
    settings: Mapping[str, Any],
    out: Path,
) -> None:
    """Write the store: the chosen genes of all cells."""
    source = blocks.source
    began = time.monotonic()
    facts = {
        "simulated": bool(spec.get("simulated")) or source.simulated,
        "source_sha256": sha256(source.path),
        "config": {"source": dict(spec), "cells": dict(settings)},
    }
    genes = [source.genes[i] for i in chosen]
    controls = (source.obs[PERTURBATION] == CONTROL).to_numpy()
    lines = source.obs[CELL_LINE].to_numpy()
    scales = ScaleCheck(source.path, source.matrix.key, lines, source.genes, controls)
    with (
        new_store(out, source.obs, genes, **facts) as writer,
        tqdm(total=len(source.obs), unit=" cells", disable=None) as bar,
    ):

        def write(start: int, block: Block) -> int:
            if not block.shape[0]:  # all its cells are left out
                return 0
            blocks.check(start, block)
            scales.add(start, block)
            block = blocks.log1p(block, chosen)
            writer.write(start, block.toarray() if sp.issparse(block) else block)
            return block.shape[0]

        for n in in_threads(write, source.matrix.blocks(), _workers()):
            bar.update(n)
        scales.check_controls()
        if spec["scale"] == "log1p":
            scales.check_log1p()
        scales.warn_unmeasured()
    seconds, megabytes = time.monotonic() - began, len(source.obs) * len(genes) * 4 / 1e6
    logger.info(
        "%s: %d cells × %d genes, %.0f MB in %.1f s (%.0f MB/s)",
        out, len(source.obs), len(genes), megabytes, seconds, megabytes / max(seconds, 1e-9),
    )  # fmt: skip
    if blocks.empty:
        logger.warning("%s: %d cells have no counts at all", source.path, blocks.empty)


class _Blocks:
    """A source's blocks, checked and brought to the log1p scale."""

    def __init__(self, source: Source, scale: str) -> None:
        self.source, self.scale = source, scale
        self.empty = 0

    def log1p(self, block: Block, genes: np.ndarray) -> Block:
        """Return the chosen columns of a checked block on the log1p scale."""
        if self.scale == "log1p":
            return block[:, genes]
        totals = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
        self.empty += int((totals == 0).sum())
        factors = (TARGET_TOTAL / np.where(totals == 0, 1.0, totals)).astype(np.float32)
        block = block[:, genes]
        if sp.issparse(block):
            block.data *= np.repeat(factors, np.diff(block.indptr))
            np.log1p(block.data, out=block.data)
        else:
            block *= factors[:, None]
            np.log1p(block, out=block)
        return block

    def check(self, start: int, block: Block) -> None:
        """Refuse values that cannot be on the declared scale."""
        values = block.data if sp.issparse(block) else block.ravel()
        if not values.size:
            return
        low, high = values.min(), values.max()
        if not (low >= 0 and high < np.inf):  # NaN fails both
            self._refuse(start, block, ~(values >= 0) | (values == np.inf), "not a valid amount")
        if self.scale == "counts":
            if not _whole(values):
                self._refuse(
                    start, block, values != np.rint(values),
                    "not a whole number, so these are no counts; set `scale: log1p` if they are "
                    "normalised and logged",
                )  # fmt: skip
        elif high > HIGHEST_LOG1P:
            self._refuse(
                start, block, values > HIGHEST_LOG1P,
                "too high for a logarithm; set `scale: counts` if these are counts",
            )  # fmt: skip
        elif high > 0 and _whole(values):
            raise PtragError(
                f"{self.source.path}: {self.source.matrix.key} holds whole numbers only, so it "
                "is not log1p; set `scale: counts`"
            )

    def _refuse(self, start: int, block: Block, bad: np.ndarray, why: str) -> None:
        """Raise an error that names the first bad value, its cell and its gene."""
        at = int(np.flatnonzero(bad)[0])
        if sp.issparse(block):
            cell, gene = int(np.searchsorted(block.indptr, at, side="right")) - 1, block.indices[at]
            value = block.data[at]
        else:
            cell, gene = divmod(at, block.shape[1])
            value = block[cell, gene]
        raise PtragError(
            f"{self.source.path}: {self.source.matrix.key}: the value {value:g} of gene "
            f"'{self.source.genes[gene]}' in cell '{self.source.obs.index[start + cell]}' is {why}"
            + ("" if ";" in why else "; mend the file, or choose another `matrix`")
        )


def _choose_genes(blocks: _Blocks, settings: Mapping[str, Any]) -> np.ndarray:
    """Return the columns of the chosen genes, in the source's order."""
    source = blocks.source
    everything = np.arange(len(source.genes))
    if settings["genes"] == "given":
        return everything[source.given]
    if settings["genes"] == "all" or settings["n_genes"] >= len(everything):
        return everything
    cells = _controls_looked_at(source)
    logger.info("choosing %d genes on %d control cells", settings["n_genes"], len(cells))
    controls = anndata.AnnData(
        _read_cells(blocks, cells),
        obs=pd.DataFrame({CELL_LINE: source.obs[CELL_LINE].iloc[cells].astype("category")}),
    )
    for line, rows in controls.obs.groupby(CELL_LINE, observed=True).indices.items():
        if not controls.X[rows].sum():
            raise silent_controls(source.path, source.matrix.key, line)
    table = scanpy.pp.highly_variable_genes(
        controls,
        n_top_genes=settings["n_genes"],
        batch_key=CELL_LINE if len(set(controls.obs[CELL_LINE])) > 1 else None,
        inplace=False,
    )
    return everything[table["highly_variable"].to_numpy()]


def _read_cells(blocks: _Blocks, cells: np.ndarray) -> Block:
    """Return all genes of some cells (sorted rows) on the log1p scale."""
    source, everything = blocks.source, np.arange(len(blocks.source.genes))
    edges = source.matrix.edges
    parts, dense = [], np.empty((0 if source.matrix.sparse else len(cells), len(everything)), "f4")
    for number in np.unique(np.searchsorted(edges, cells, side="right") - 1):
        first, last = np.searchsorted(cells, edges[number : number + 2])
        start = int(edges[number])
        block = source.matrix.block(number)
        blocks.check(start, block)
        here = blocks.log1p(block, everything)
        here = here[cells[first:last] - start]
        if source.matrix.sparse:
            parts.append(here)
        else:
            dense[first:last] = here
    blocks.empty = 0  # counted again when all cells are written
    return sp.vstack(parts, format="csr") if source.matrix.sparse else dense


def _controls_looked_at(source: Source) -> np.ndarray:
    """Draw the given controls on which genes are chosen; sorted row numbers."""
    rows = np.flatnonzero((source.obs[CONTROL_PART] == GIVEN).to_numpy())
    lines = source.obs[CELL_LINE].iloc[rows]
    counts = lines.value_counts()
    enough = counts.index[counts >= min(FEWEST_CONTROLS, counts.max())]
    most = CONTROLS_LOOKED_AT
    if not source.matrix.sparse:
        most = min(most, _VALUES_LOOKED_AT // len(source.genes))
    rng = np.random.default_rng(_SEED)
    drawn = []
    for line in sorted(enough):
        here = rows[(lines == line).to_numpy()]
        drawn.append(rng.permutation(here)[: max(1, most // len(enough))])
    return np.sort(np.concatenate(drawn))


def _workers() -> int:
    return max(1, min(4, len(os.sched_getaffinity(0))))


def _whole(values: np.ndarray) -> bool:
    """Whether all values are whole numbers; most often a few tell."""
    return all(bool((part == np.rint(part)).all()) for part in (values[:_FEW], values[_FEW:]))
