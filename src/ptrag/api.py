"""The public face in Python: measured responses, fitting, predicting, evaluating; on AnnData.

``import ptrag`` gives these names and loads them when they are first used. The command and the
workflow call the same functions underneath, so that all three give the same bits.
"""

from collections.abc import Sequence
from pathlib import Path

import anndata
import pandas as pd

from ptrag.base.defaults import SCORING, SCREEN
from ptrag.base.names import CONTROL, N_CELLS, PAIR, PERTURBATION
from ptrag.cells.in_memory import Cells, as_files
from ptrag.evaluation.files import evaluate_files
from ptrag.prediction.loading import load_bundle
from ptrag.prediction.own_screen import Screen, fit_screen, measured, provider_of
from ptrag.prediction.predictor import Predicted, Predictor

__all__ = ["Predicted", "Predictor", "evaluate", "fit", "load", "responses"]


def load(folder: str | Path) -> Predictor:
    """Load a bundle that the workflow, ``ptrag fit`` or :meth:`Predictor.save` wrote.

    Parameters
    ----------
    folder
        The bundle; every file of it is compared with its hash.

    Raises
    ------
    PtragError
        If it is no bundle, of another format, or damaged.

    Examples
    --------
    >>> import ptrag
    >>> ptrag.load("nowhere")
    Traceback (most recent call last):
    ptrag.base.errors.PtragError: nowhere: is no bundle, it has no bundle.json
    """
    return Predictor(load_bundle(folder), Path(folder))


def fit(
    screen: Cells,
    *,
    perturbation: str = PERTURBATION,
    cell_line: str | None = None,
    control: str | Sequence[str] = CONTROL,
    batch: str | None = None,
    arm: str = "response_expert",
    embedding: str = "text",
    embedding_file: str | Path | None = None,
    gene_symbol: str | None = None,
    scale: str = "auto",
    n_genes: int | None = SCREEN["n_genes"],
    min_cells: int = SCREEN["min_cells"],
    min_controls: int = SCREEN["min_controls"],
) -> Predictor:
    """Fit an arm on one's own screen; all of its controls are given to it.

    Parameters
    ----------
    screen
        Perturbed and control cells; X raw counts or log1p of counts per 10,000.
    perturbation, cell_line, batch
        Columns of obs; without ``cell_line`` all cells are of one line.
    control
        Label of control cells in ``perturbation``, or several.
    arm
        A closed form: ``response_expert``, ``ridge``, ``knn``, ``additive``, ...
    embedding, embedding_file
        Where vectors of perturbations come from: ``text`` (needs no file), ``genept`` or ``table``.
    gene_symbol
        Column of var with gene symbols; None: found.
    scale
        ``auto``, ``counts`` or ``log1p``.
    n_genes
        The most variable genes among controls that are predicted; None: all.
    min_cells, min_controls
        A pair or a line with fewer is left out.

    Returns
    -------
    Predictor
        What predicts any gene in any line.

    Raises
    ------
    PtragError
        If the screen cannot be read or is too small: what is wrong, and the remedy.

    Examples
    --------
    >>> import ptrag
    >>> from ptrag.simulate.example import example_screen
    >>> ptrag.fit(example_screen(), cell_line="cell_line", arm="line_mean", n_genes=None)
    <ptrag.Predictor line_mean: 40 genes, 2 lines, 12 perturbations>
    """
    with as_files(screen=screen) as (_, (path,)):
        read = Screen(
            path, perturbation, cell_line, batch, control, gene_symbol, scale, n_genes, min_cells,
            min_controls,
        )  # fmt: skip
        return Predictor(fit_screen(read, arm, provider_of(embedding, embedding_file)))


def responses(
    screen: Cells,
    *,
    perturbation: str = PERTURBATION,
    cell_line: str | None = None,
    control: str | Sequence[str] = CONTROL,
    batch: str | None = None,
    gene_symbol: str | None = None,
    scale: str = "auto",
    n_genes: int | None = None,
    min_cells: int = 1,
    min_controls: int = 2,
) -> anndata.AnnData:
    """Measure the responses of a screen: what each perturbation does in each line.

    Parameters
    ----------
    screen, perturbation, cell_line, batch, control, gene_symbol, scale, n_genes
        As of :func:`fit`.
    min_cells, min_controls
        A pair or a line with fewer is left out.

    Returns
    -------
    AnnData
        (pairs, genes) float64: X the delta, mean of the pair's cells less mean of the line's
        controls, log1p of counts per 10,000; layers ``se`` its standard error; obs cell_line,
        perturbation, n_cells; varm ``control_mean`` and ``control_se`` with a column per line.

    Examples
    --------
    >>> import ptrag
    >>> from ptrag.simulate.example import example_screen
    >>> measured = ptrag.responses(example_screen(), cell_line="cell_line")
    >>> measured.shape
    (24, 40)
    >>> bool((measured.layers["se"] > 0).any())
    True
    """
    with as_files(screen=screen) as (_, (path,)):
        read = Screen(
            path, perturbation, cell_line, batch, control, gene_symbol, scale, n_genes, min_cells,
            min_controls,
        )  # fmt: skip
        with measured(read) as (_, known):
            genes = pd.Index(list(known.genes), dtype=object)
            obs = known.entries[[*PAIR, N_CELLS]].set_index(
                pd.RangeIndex(len(known.entries)).astype(str)
            )
            data = anndata.AnnData(known.delta, obs, pd.DataFrame(index=genes))
            data.layers["se"] = known.se
            data.varm["control_mean"] = pd.DataFrame(dict(known.control_mean), index=genes)
            data.varm["control_se"] = pd.DataFrame(dict(known.control_se), index=genes)
            return data


def evaluate(
    real: Cells,
    predicted: Cells,
    *,
    perturbation: str = PERTURBATION,
    cell_line: str | None = None,
    control: str | Sequence[str] = CONTROL,
    gene_symbol: str | None = None,
    n_pcs: int = SCORING["n_pcs"],
    deg_test: str = SCORING["deg_test"],
    exclude_target: bool = SCORING["exclude_target"],
    compat: bool = False,
    ceilings: bool = True,
) -> pd.DataFrame:
    """Score predicted cells of any model against real ones.

    Parameters
    ----------
    real
        Real cells on the scale log1p of counts normalised to one total, with control cells of
        every line.
    predicted
        Predicted cells on the same scale, with the same genes in any order.
    perturbation, cell_line
        Columns of obs in both.
    control
        Label of control cells, or several.
    gene_symbol
        Column of var with gene symbols; None: found.
    n_pcs
        Components of the PCA in which distributions are compared.
    deg_test
        ``welch`` or ``wilcoxon``.
    exclude_target
        Leave the perturbed gene out of deltas and DEGs.
    compat
        Also what gge-eval and cell-eval call their metrics.
    ceilings
        Also score split halves of the real cells.

    Returns
    -------
    DataFrame
        One row per pair and metric: cell_line, perturbation, role, metric, value, floor, ceiling,
        n_real, n_predicted (:mod:`ptrag.evaluation.evaluate`).

    Raises
    ------
    PtragError
        If the two cannot be compared: what is wrong, and the remedy.

    Examples
    --------
    >>> import numpy as np, ptrag, scanpy
    >>> from ptrag.simulate.example import example_screen
    >>> real = example_screen()
    >>> scanpy.pp.normalize_total(real, target_sum=1e4)
    >>> scanpy.pp.log1p(real)
    >>> perturbed = real[real.obs["perturbation"] != "control"]
    >>> scores = ptrag.evaluate(real, perturbed, cell_line="cell_line", n_pcs=5, ceilings=False)
    >>> mse = scores.loc[scores["metric"] == "mse", "value"]
    >>> bool(np.allclose(mse, 0))
    True
    """
    with as_files(real=real, predicted=predicted) as (folder, files):
        settings = {"n_pcs": n_pcs, "deg_test": deg_test, "exclude_target": exclude_target}
        return evaluate_files(
            *files, folder / "metrics.tsv", perturbation=perturbation, cell_line=cell_line,
            gene_symbol=gene_symbol, control=control,
            evaluation={**SCORING, **settings, "compat": compat}, ceilings=ceilings,
        )  # fmt: skip
