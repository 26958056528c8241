"""Predict with a bundle: every val and test pair of a split, or anyone's control cells."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import torch

from ptrag.base.errors import PtragError
from ptrag.base.files import write_table
from ptrag.base.names import CONTROL
from ptrag.cells.store import CellStore
from ptrag.prediction.bundle import load_bundle
from ptrag.prediction.emission import shift_cells
from ptrag.prediction.files import EVIDENCE, new_predictions, prediction_tasks, written_in_blocks
from ptrag.prediction.predictor import Predictor
from ptrag.splits.protocols import Split

#: Controls of a line from which the mean of a pair's cells is predicted, at most.
PROFILE_CELLS = 1024

logger = logging.getLogger("ptrag")


def predict_neural(
    bundle: Predictor,
    cells: CellStore,
    split: Split,
    prediction: dict[str, Any],
    out_h5ad: str | Path,
    out_evidence: str | Path,
) -> None:
    """Predict every val and test pair, and write predictions and evidence.

    The cells of a pair are shifted to the mean of what all controls of the line become (up to
    :data:`PROFILE_CELLS`): scores then say what the arm predicts, and not which few controls were
    drawn for the pair. The cells of closed forms have the mean that these predict, too.

    Parameters
    ----------
    bundle
        What :func:`ptrag.prediction.bundle.load_bundle` returns.
    cells
        The store it was trained on.
    split
        The split it was trained on.
    prediction
        Section ``prediction`` of the configuration.
    out_h5ad
        See :mod:`ptrag.prediction.files`; cells stream to disk pair by pair.
    out_evidence
        One row per (pair, candidate): cell_line, perturbation, candidate, rank, similarity,
        gate, effect, note; none for arms that do not retrieve.

    Raises
    ------
    PtragError
        If the store has other genes than the bundle, or nothing can be predicted.
    """
    if cells.genes != bundle.genes:
        raise PtragError(f"{cells.path}: other genes than the bundle's; train on this store again")
    torch.set_num_threads(bundle.about["training"]["threads"])
    pairs = sorted(split.pairs("val") + split.pairs("test"))
    known = [pair for pair in pairs if bundle.knows(pair[1])]
    if len(known) < len(pairs):
        logger.info("%d of %d pairs have no vector", len(pairs) - len(known), len(pairs))
    tasks = prediction_tasks(cells, known, prediction["cells_per_pair"], bundle.set_size)
    batches = np.array(cells.batches, dtype=object)
    means = bundle.expert.responses.control_mean if bundle.expert else {}

    def inputs(rows: np.ndarray, line: str) -> dict[str, Any]:
        of_batch = batches[cells.batch_codes[rows]]
        return {"controls": cells.X[rows], "line": line, "batch": of_batch, "mean": means.get(line)}

    controls = {line: _spread(cells.rows(line, CONTROL)) for line in cells.lines}
    arm, seed = bundle.about["arm"], bundle.about["seed"]
    checkpoint = bundle.about["hashes"]["weights"]
    evidence, begun, said = [], time.monotonic(), time.monotonic()
    with new_predictions(
        out_h5ad, cells, tasks, arm=arm, seed=seed, checkpoint=checkpoint
    ) as write:
        for number, task in enumerate(tasks, start=1):
            line, name = task.cell_line, task.perturbation
            made = bundle.predict(perturbation=name, evidence=True, **inputs(task.rows, line))
            every = bundle.predict(perturbation=name, **inputs(controls[line], line)).cells
            profile = every.mean(axis=0, dtype=np.float64)
            write(shift_cells(made.cells, np.zeros(len(profile)), profile))
            evidence.append(made.evidence.assign(cell_line=line, perturbation=name))
            if time.monotonic() - said > 30 or number == len(tasks):
                said = time.monotonic()
                rate = number / (said - begun)
                logger.info("%s: %d of %d pairs, %.3g pairs/s", arm, number, len(tasks), rate)
    write_table(pd.concat(evidence)[EVIDENCE], out_evidence)


def _spread(block: slice) -> np.ndarray:
    """Return the rows of a block, or every n-th of them."""
    rows = np.arange(block.start, block.stop)
    return rows[:: -(-len(rows) // PROFILE_CELLS)]


def predict_file(
    bundle: str | Path,
    controls: str | Path,
    perturbations: Sequence[str],
    out: str | Path,
    line: str = "",
) -> None:
    """Predict perturbations from a file of control cells of one line.

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
        h5ad to write: obs ``perturbation``, ``control_cell``. What each retrieved candidate
        did stands beside it, in ``{out}.evidence.tsv``, for arms that retrieve.
    line
        The cell line that the controls are of; needed by arms with an expert, one of the
        bundle's then.

    Raises
    ------
    PtragError
        If a file cannot be read, a gene is missing, or a perturbation is unknown.
    """
    predictor, out = load_bundle(bundle), Path(out)
    torch.set_num_threads(predictor.about["training"]["threads"])
    for name in perturbations:
        predictor.check(line, name)
    try:
        data = anndata.read_h5ad(controls)
    except OSError as error:
        raise PtragError(f"{controls}: cannot be read as h5ad ({error})") from None
    X = predictor.align(data.X, list(data.var_names))
    batch = list(data.obs["batch"].astype(str)) if "batch" in data.obs else None
    names = list(perturbations)
    obs = pd.DataFrame(
        {
            "perturbation": pd.Categorical(np.repeat(names, len(X))),
            "control_cell": pd.Categorical(np.tile(data.obs_names.astype(str), len(names))),
        },
        index=pd.RangeIndex(len(X) * len(names)).astype(str),
    )
    about = predictor.about
    uns = {
        "arm": about["arm"], "seed": about["seed"], "checkpoint": about["hashes"]["weights"],
        "scale": about["scale"], "simulated": about["simulated"],
    }  # fmt: skip
    evidence = []
    with written_in_blocks(out, obs, predictor.genes, uns) as write:
        for name in names:
            made = predictor.predict(X, name, line=line, batch=batch, evidence=True)
            write(made.cells)
            evidence.append(made.evidence.assign(perturbation=name))
    table = pd.concat(evidence)
    if len(table):
        write_table(table[EVIDENCE[1:]], out.with_suffix(".evidence.tsv"))
