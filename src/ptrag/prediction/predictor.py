"""A bundle as Python has it: what :func:`ptrag.load` and :func:`ptrag.fit` return."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anndata
import pandas as pd

from ptrag.base.files import read_table
from ptrag.cells.in_memory import Cells, as_files
from ptrag.prediction.bundle import Bundle, refuse_other_folder, write_closed_form
from ptrag.prediction.files import PredictionFiles
from ptrag.prediction.lines import Place
from ptrag.prediction.predict import predict_own


@dataclass(frozen=True)
class Predicted:
    """What :meth:`Predictor.predict` gives for P perturbations and G genes.

    Attributes
    ----------
    profiles
        (P, G) AnnData: X the predicted mean on the scale log1p of counts per 10,000; layers
        ``delta`` (profile less the mean of the controls), ``lower`` and ``upper`` (90 % interval of
        the true delta), ``p_moves`` (probability that the gene moves to the side of
        ``direction``), as far as the arm knows them; obs: the summary.
    cells
        (n, G) AnnData of predicted cells, float32: obs cell_line, perturbation, control_cell; None
        where none were asked for.
    evidence
        One row per perturbation and what was retrieved for it: similarity, weight (``gate``),
        effect of leaving it out.
    summary
        One row per perturbation: level, strength, n_moving, confidence, nearest, similarity, up,
        down, note (:mod:`ptrag.prediction.summary`).
    place
        Where the line stands among the bundle's lines.
    notes
        What was converted, filled, renamed, and what fell back.
    """

    profiles: anndata.AnnData
    cells: anndata.AnnData | None
    evidence: pd.DataFrame
    summary: pd.DataFrame
    place: Place
    notes: list[str]


class Predictor:
    """A bundle in memory: from :func:`load` or :func:`fit`.

    Attributes
    ----------
    arm
        How it predicts.
    genes
        Symbols of the G genes whose expression is predicted.
    lines
        Cell lines that it was made with.
    perturbations
        Perturbations that it was made with; others can be predicted too.
    """

    def __init__(self, bundle: Bundle, folder: Path | None = None) -> None:
        self._bundle, self._folder = bundle, folder
        self.arm: str = bundle.about["arm"]
        self.genes: list[str] = bundle.genes
        self.lines: list[str] = bundle.lines.names
        self.perturbations: list[str] = bundle.lines.perturbations

    def __repr__(self) -> str:
        """Say what it is, in one line."""
        return (
            f"<ptrag.Predictor {self.arm}: {len(self.genes)} genes, {len(self.lines)} lines, "
            f"{len(self.perturbations)} perturbations>"
        )

    def predict(
        self,
        controls: Cells,
        perturbations: str | Sequence[str] | None = None,
        *,
        cell_line: str | None = None,
        cells: int | None = None,
        gene_symbol: str | None = None,
        scale: str = "auto",
        allow_fallback: bool = False,
    ) -> Predicted:
        """Predict perturbations from control cells of one line.

        Parameters
        ----------
        controls
            Control cells; X raw counts or log1p of counts per 10,000, var names current gene
            symbols or their aliases (ENSG ids with a column of symbols). Where obs has
            ``perturbation``, its controls alone are used; obs ``batch`` is read.
        perturbations
            One gene or several, by any of their names; ``A+B`` for two at once; None: every gene
            that the bundle knows something of.
        cell_line
            Name of the line; None: that of obs ``cell_line``. The bundle need not have it.
        cells
            Predicted cells of each perturbation; 0: none; None: one for each control cell.
        gene_symbol
            Column of var with gene symbols; None: found.
        scale
            ``auto``, ``counts`` or ``log1p``.
        allow_fallback
            Predict what the bundle knows nothing of by the mean response of the line, and mark it.

        Raises
        ------
        PtragError
            If the controls cannot be used or a perturbation is unknown: what is wrong, and the
            remedy.

        Examples
        --------
        >>> import ptrag
        >>> from ptrag.simulate.example import example_screen
        >>> screen = example_screen()
        >>> bundle = ptrag.fit(screen, cell_line="cell_line", arm="line_mean", n_genes=None)
        >>> obs = screen.obs
        >>> own = screen[(obs["perturbation"] == "control") & (obs["cell_line"] == "k562")]
        >>> predicted = bundle.predict(own, ["TP53", "p53", "MYC"], cell_line="a549", cells=5)
        >>> predicted.profiles.shape, predicted.cells.shape
        ((2, 40), (10, 40))
        >>> list(predicted.summary["level"])
        ['never perturbed', 'never perturbed']
        >>> predicted.place.known, next(iter(predicted.place.correlation))
        (False, 'k562')
        """
        if isinstance(perturbations, str):
            perturbations = [perturbations]
        with as_files(controls=controls) as (scratch, (path,)):
            files = PredictionFiles.into(scratch, None if cells == 0 else "cells.h5ad")
            report = predict_own(
                self._bundle, path, perturbations, files, line=cell_line, n_cells=cells,
                gene_symbol=gene_symbol, scale=scale, allow_fallback=allow_fallback,
            )  # fmt: skip
            return Predicted(
                anndata.read_h5ad(files.profiles),
                anndata.read_h5ad(files.cells) if files.cells else None,
                read_table(files.evidence),
                report.summary,
                report.place,
                report.notes,
            )

    def save(self, folder: str | Path) -> None:
        """Write the bundle to a folder, from which :func:`load` and ``ptrag predict`` read it.

        Parameters
        ----------
        folder
            Replaced where it is a bundle.

        Raises
        ------
        PtragError
            If the folder holds something else.
        """
        folder = Path(folder)
        refuse_other_folder(folder)
        if self._folder is None:
            any_gene = self._bundle.any_gene
            write_closed_form(self._bundle, folder, any_gene and any_gene.provider)
        elif self._folder.resolve() != folder.resolve():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(self._folder, folder)
