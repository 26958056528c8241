"""Predict from a file of somebody's own control cells, with a bundle: ``ptrag predict``."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ptrag.base.errors import PtragError
from ptrag.base.names import BATCH, Pair
from ptrag.cells.log1p_file import open_log1p
from ptrag.genes.names import Names, match_line
from ptrag.genes.symbols import GENE_TEXT, Symbols
from ptrag.prediction.bundle import load_bundle
from ptrag.prediction.files import PredictionFiles
from ptrag.prediction.network import NetworkPredictor
from ptrag.prediction.pairs import predict_pairs
from ptrag.prediction.prediction import GivenControls


def predict_file(
    bundle: str | Path,
    controls: str | Path,
    perturbations: Sequence[str],
    out: str | Path,
    line: str = "",
    n_cells: int | None = None,
    gene_symbol: str | None = None,
) -> PredictionFiles:
    """Predict perturbations from a file of control cells of one line.

    The workflow predicts by the same call: from the given controls of a line, in the store's
    order, the same profile and cells come out as those that were scored.

    Parameters
    ----------
    bundle
        Folder of a trained arm.
    controls
        A file of cells (:func:`ptrag.cells.opening.open_cells`), every one taken for a control.
        Genes: the bundle's among them in any order; X: log1p of counts per 10,000; obs ``batch``
        is read if it has one.
    perturbations
        Perturbations that the bundle knows, by any of their names.
    out
        h5ad of predicted cells; ``{out}.profiles.h5ad`` and ``{out}.evidence.tsv`` beside it.
    line
        The cell line that the controls are of; needed by arms with an expert, one of the
        bundle's then.
    n_cells
        Cells of each perturbation; None: one for each control.
    gene_symbol
        Column of var with the gene symbols; None: the names of var, or the column that plainly has
        symbols where these plainly are none.

    Returns
    -------
    PredictionFiles
        What was written.

    Raises
    ------
    PtragError
        If a file cannot be read, a gene is missing, or a perturbation is unknown.
    """
    predictor, out = load_bundle(bundle), Path(out)
    predictor.use_threads()
    names = Names(Symbols.read(GENE_TEXT))
    perturbations = list(dict.fromkeys(_known(perturbations, predictor, names)))
    line = match_line(line, predictor.lines) or line
    for name in perturbations:
        predictor.check(line, name)
    given = read_controls(controls, predictor, line, names, gene_symbol)
    files = PredictionFiles(
        out.with_suffix(".profiles.h5ad"), out, out.with_suffix(".evidence.tsv")
    )
    facts = predictor.facts | {key: predictor.about[key] for key in ("scale", "simulated")}
    pairs = [Pair(line, name) for name in perturbations]
    predict_pairs(predictor, pairs, {line: given}, n_cells, predictor.genes, files, facts)
    return files


def read_controls(
    path: str | Path,
    predictor: NetworkPredictor,
    line: str,
    names: Names,
    gene_symbol: str | None = None,
) -> GivenControls:
    """Read a file of control cells, with the bundle's genes in its order.

    Raises
    ------
    PtragError
        If it cannot be read, lacks a gene or is not on the log1p scale.
    """
    columns = {"gene_symbol": gene_symbol}
    with (
        TemporaryDirectory(prefix="ptrag-") as scratch,
        open_log1p(path, Path(scratch), names, columns) as file,
    ):
        blocks = [predictor.align(block, file.genes) for _, block in file.blocks()]
    if not len(file.labels):
        raise PtragError(f"{path}: holds no cell; give control cells")
    batches = file.labels[BATCH].to_numpy(object) if BATCH in file.labels else None
    return GivenControls(line, np.concatenate(blocks), list(file.cells), batches)


def _known(perturbations: Sequence[str], predictor: NetworkPredictor, names: Names) -> list[str]:
    """Return what the bundle calls the perturbations; unknown ones stay as they are."""
    if predictor.perturbations is None:  # an expert has a word on any gene
        return [names.perturbation(name).name for name in perturbations]
    matches = names.match(perturbations, predictor.perturbations.names)
    return [matches.get(name, name) for name in perturbations]
