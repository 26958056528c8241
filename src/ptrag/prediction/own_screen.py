"""A bundle from somebody's own screen, in one call: ``ptrag fit``.

All control cells are given: nothing is evaluated here. Where the arm learns what is worth what by
leaving out what will be new about a pair, it is fitted for each kind of what may be new: a
perturbation (``unseen_perturbation``), and with several lines a combination
(``unseen_combination``) or a line (``unseen_line``).
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ptrag.arms.registry import PERMUTED, base_name, load_arm, negative_control
from ptrag.base.defaults import SCREEN
from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.names import BATCH, CELL_LINE, CONTROL, N_CELLS, PERTURBATION, REASON, ROLE
from ptrag.cells.opening import open_cells
from ptrag.cells.preprocess import build_cells
from ptrag.cells.recognise import Recogniser
from ptrag.cells.responses import Responses
from ptrag.cells.source import matrix_of
from ptrag.cells.store import CellStore
from ptrag.genes.any_gene import AnyGene
from ptrag.genes.embeddings import Embedding
from ptrag.genes.providers import embed
from ptrag.genes.symbols import GENE_TEXT
from ptrag.genes.vectors import Provider
from ptrag.prediction.bundle import Bundle
from ptrag.prediction.fitting import fit_bundle
from ptrag.prediction.lines import Lines
from ptrag.retrieval.index import Neighbours, find_neighbours
from ptrag.splits.protocols import Split

NEIGHBOURS = 8
"""Candidates of stage one, as ``arm_options`` of the shipped configuration has them."""

TEXTS = {"rag": False, "use_genept": True}
RETRIEVES = {"rag": True, "use_genept": True, "topk_rag": NEIGHBOURS}
OPTIONS: dict[str, dict[str, Any]] = {
    "ridge": TEXTS, "knn": RETRIEVES, "evidence_mean": RETRIEVES, "atlas_fusion": RETRIEVES,
    "response_expert": RETRIEVES,
}  # fmt: skip
"""What arms read, where they read texts."""

BY_WHAT_IS_NEW = "response_expert"  # the arm that is fitted for each kind of what may be new

MEMBER = "GenePT_gene_embedding_ada_text.pickle"

logger = logging.getLogger("ptrag")


@dataclass(frozen=True)
class Screen:
    """How a user's screen is to be read.

    Attributes
    ----------
    path
        A file of cells (:func:`ptrag.cells.opening.open_cells`).
    perturbation, cell_line, batch
        Columns of obs; None: one line, one batch.
    control
        Label of control cells, or several.
    gene_symbol
        Column of var with the gene symbols; None: found.
    scale
        ``auto``, ``counts`` or ``log1p``.
    n_genes
        The most variable genes among controls that are kept; None: all.
    min_cells, min_controls
        A pair or a line with fewer is left out.
    """

    path: Path
    perturbation: str = PERTURBATION
    cell_line: str | None = None
    batch: str | None = None
    control: str | Sequence[str] = field(default=CONTROL)
    gene_symbol: str | None = None
    scale: str = "auto"
    n_genes: int | None = SCREEN["n_genes"]
    min_cells: int = SCREEN["min_cells"]
    min_controls: int = SCREEN["min_controls"]

    def spec(self) -> dict[str, Any]:
        """Return the screen as an entry of ``datasets:``, its scale recognised."""
        columns = {
            PERTURBATION: self.perturbation, CELL_LINE: self.cell_line, BATCH: self.batch,
            "gene_symbol": self.gene_symbol,
        }  # fmt: skip
        return {
            "columns": {key: name for key, name in columns.items() if name},
            "control": self.control,
            "scale": self._scale(),
        }

    def _scale(self) -> str:
        """Return the scale of the first cells; that all are on it is checked as they are read."""
        with (
            TemporaryDirectory(prefix="ptrag-") as scratch,
            open_cells(self.path) as file,
            matrix_of(file, "X", Path(scratch)) as matrix,
        ):
            recogniser = Recogniser(self.path, "X", self.scale)
            if not len(file.obs):
                raise PtragError(f"{self.path}: holds no cell; give a screen with its controls")
            return recogniser.check(matrix.block(0))


@contextmanager
def measured(screen: Screen) -> Iterator[tuple[CellStore, Responses]]:
    """Measure a screen: the store of its cells, as long as the block lasts, and its responses.

    Raises
    ------
    PtragError
        If the screen cannot be read, or no pair has enough cells.
    """
    with TemporaryDirectory(prefix="ptrag-") as scratch:
        cells = Path(scratch) / "cells.h5ad"
        chosen = {"genes": "all"} if screen.n_genes is None else {"genes": "controls"}
        settings = {"yardstick": 0.0, "n_genes": screen.n_genes, **chosen}
        build_cells(screen.path, screen.spec(), settings, cells)
        store = CellStore(cells)
        yield store, Responses.measured(store, _all_to_learn_from(screen, store))


def fit_screen(
    screen: Screen, arm: str = BY_WHAT_IS_NEW, provider: Provider | None = None
) -> Bundle:
    """Fit an arm on one's own screen.

    Parameters
    ----------
    screen
        What was measured.
    arm
        A closed form.
    provider
        Where vectors of perturbations come from; None: gene texts, which ship with the package.

    Raises
    ------
    PtragError
        If the screen cannot be read or is too small, or the arm is not a closed form that can be
        written.
    """
    options = options_of(arm)
    provider = provider or provider_of("text")
    with measured(screen) as (store, responses):
        embedding = neighbours = None
        if options.get("use_genept"):
            embedding = embed(
                provider.name, store.perturbations, provider.settings(), provider.source
            )
        if options.get("rag"):
            neighbours = _neighbours(embedding, responses, options["topk_rag"])
        lines = Lines.of(responses, store)
        bundle = fit_bundle(
            store, responses, lines, arm, options, embedding, neighbours,
            _protocols(arm, responses), {"cells": store.source_sha256},
        )  # fmt: skip
    if embedding is not None:
        bundle.any_gene = AnyGene(embedding, provider)
    return bundle


def options_of(arm: str) -> dict[str, Any]:
    """Return the options with which an arm is fitted on one's own screen.

    Raises
    ------
    PtragError
        If it is no closed form with a bundle.
    """
    known = load_arm(arm)
    if known.family != "closed_form" or known.write is None:
        raise PtragError(
            f"arm {arm!r}: is not fitted in one go; the workflow trains networks. Name one of "
            "response_expert, ridge, knn, additive, perturbation_mean, line_mean"
        )
    if negative_control(arm) not in (None, PERMUTED):
        raise PtragError(
            f"arm {arm!r}: what it reads of texts is spoilt by the workflow alone; name it under "
            f"`arms:` there, or fit {base_name(arm)!r}"
        )
    return dict(OPTIONS.get(base_name(arm), {}))


def provider_of(name: str, source: str | Path | None = None) -> Provider:
    """Return a provider of vectors by name: ``text``, ``genept`` or ``table`` and its file.

    Raises
    ------
    PtragError
        For an unknown one, or one without its file.
    """
    if name not in (known := ("text", "genept", "table")):
        raise PtragError(f"embedding {name!r}: unknown; {did_you_mean(name, known)}")
    if name == "text":
        return Provider(name, Path(source or GENE_TEXT))
    if source is None:
        raise PtragError(f"embedding {name!r}: reads a file of vectors; name it")
    return Provider(name, Path(source), member=MEMBER if name == "genept" else None)


def _protocols(arm: str, responses: Responses) -> list[str]:
    if base_name(arm) != BY_WHAT_IS_NEW:
        return []
    several = len(np.unique(responses.line_of)) > 1
    return ["unseen_perturbation", *["unseen_combination", "unseen_line"] * several]


def _neighbours(embedding: Embedding, responses: Responses, k: int) -> Neighbours:
    keys = sorted(set(responses.perturbations) & set(embedding.names))
    if len(keys) < 2:
        raise PtragError(
            f"{len(keys)} of {len(responses.perturbations)} perturbations have a vector, retrieval "
            "needs two; check the names of the perturbations"
        )
    return find_neighbours(embedding, keys, k)


def _all_to_learn_from(screen: Screen, store: CellStore) -> Split:
    """Return the split in which every pair with enough cells is learnt from."""
    table = store.pairs[[CELL_LINE, PERTURBATION, N_CELLS]].copy()
    control = table[PERTURBATION] == CONTROL
    few = ~control & (table[N_CELLS] < screen.min_cells)
    enough = table[CELL_LINE][control & (table[N_CELLS] >= screen.min_controls)]
    lost = ~control & ~table[CELL_LINE].isin(enough)
    table[ROLE], table[REASON] = np.where(control, "control", "train"), ""
    table.loc[few | lost, ROLE] = "excluded"
    if few.any() or lost.any():
        logger.warning(
            "%s: %d of %d pairs are left out: %d with fewer than %d cells, %d of lines with fewer "
            "than %d controls", screen.path, (few | lost).sum(), (~control).sum(), few.sum(),
            screen.min_cells, lost.sum(), screen.min_controls,
        )  # fmt: skip
    if not (table[ROLE] == "train").any():
        raise PtragError(
            f"{screen.path}: no pair has {screen.min_cells} cells in a line with "
            f"{screen.min_controls} controls; lower these limits, or measure more cells"
        )
    return Split(table, "unseen_perturbation", None)
