"""Predict from a file of somebody's own control cells, with a bundle: ``ptrag predict``."""

from collections.abc import Sequence
from pathlib import Path

import anndata
import numpy as np

from ptrag.base.errors import PtragError
from ptrag.base.names import BATCH, Pair
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
) -> PredictionFiles:
    """Predict perturbations from a file of control cells of one line.

    The workflow predicts by the same call: from the given controls of a line, in the store's
    order, the same profile and cells come out as those that were scored.

    Parameters
    ----------
    bundle
        Folder of a trained arm.
    controls
        h5ad; every cell in it is taken for a control. var names: gene symbols, the bundle's
        among them in any order; X: log1p of counts per 10,000; obs ``batch`` is read if there.
    perturbations
        Names that the bundle knows.
    out
        h5ad of predicted cells; ``{out}.profiles.h5ad`` and ``{out}.evidence.tsv`` beside it.
    line
        The cell line that the controls are of; needed by arms with an expert, one of the
        bundle's then.
    n_cells
        Cells of each perturbation; None: one for each control.

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
    for name in perturbations:
        predictor.check(line, name)
    given = read_controls(controls, predictor, line)
    files = PredictionFiles(
        out.with_suffix(".profiles.h5ad"), out, out.with_suffix(".evidence.tsv")
    )
    about = predictor.about
    facts = {
        "arm": about["arm"], "seed": about["seed"], "checkpoint": about["hashes"]["weights"],
        "scale": about["scale"], "simulated": about["simulated"],
    }  # fmt: skip
    pairs = [Pair(line, name) for name in perturbations]
    predict_pairs(predictor, pairs, {line: given}, n_cells, predictor.genes, files, facts)
    return files


def read_controls(path: str | Path, predictor: NetworkPredictor, line: str) -> GivenControls:
    """Read an h5ad of control cells, with the bundle's genes in its order.

    Raises
    ------
    PtragError
        If it cannot be read or lacks a gene.
    """
    try:
        data = anndata.read_h5ad(path)
    except OSError as error:
        raise PtragError(f"{path}: cannot be read as h5ad ({error})") from None
    batches = data.obs[BATCH].astype(str).to_numpy(object) if BATCH in data.obs else None
    cells = predictor.align(data.X, list(data.var_names))
    return GivenControls(line, cells, list(np.asarray(data.obs_names.astype(str))), batches)
