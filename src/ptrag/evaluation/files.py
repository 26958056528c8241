"""Score any two h5ad files: real cells with their controls, and predicted cells.

For predictions that were made elsewhere: ``ptrag evaluate``. There are no training pairs, so the
PCA is fitted on control cells alone, metrics against a trained centroid are ``NA``, and there is no
mean baseline. The mean of the predicted cells of a pair is its predicted profile.

Which controls deltas are measured from: an observed delta from the yardstick half of the real
controls, as in the workflow. A predicted delta from the prediction's own control cells where the
predicted file has some; else from *all* real controls, not from their given half. From which
controls an outside model started is unknown, and most start from all that there are: the noise of
the mean of all is in their profiles then. Measured from the given half alone, half the difference
between the two halves would stay in the predicted delta, with the opposite sign of the observed
one's: a negative correlation for a prediction of no change. Measured from all it cancels, and a
prediction that started from any random part of the controls errs independently of the yardsticks.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.files import write_table
from ptrag.base.names import CELL_LINE, CONTROL, N_CELLS, PAIR, PERTURBATION, REASON, ROLE
from ptrag.cells.log1p_file import Log1pFile, open_log1p
from ptrag.cells.store import CellStore
from ptrag.cells.store_writer import new_store
from ptrag.evaluation.evaluate import score_predictions
from ptrag.evaluation.lines import Controls
from ptrag.evaluation.predictions import Predictions
from ptrag.evaluation.reference import FEWEST_CONTROLS, build_reference, read_reference
from ptrag.evaluation.scoring import Reference
from ptrag.genes.names import Names
from ptrag.genes.symbols import GENE_TEXT, Symbols
from ptrag.metrics.registry import METRICS
from ptrag.prediction.files import written_in_blocks
from ptrag.splits.protocols import Split

APART = 10.0  # factor between the cells' totals of both files that no model explains
DEFAULTS: dict[str, Any] = {
    "exclude_target": True, "n_pcs": 50, "deg_test": "welch", "deg_alpha": 0.05, "max_degs": 100,
}  # fmt: skip


def evaluate_files(
    real: str | Path,
    predicted: str | Path,
    out: str | Path,
    *,
    perturbation: str = PERTURBATION,
    cell_line: str | None = None,
    gene_symbol: str | None = None,
    control: str | Sequence[str] = CONTROL,
    evaluation: Mapping[str, Any] = DEFAULTS,
    ceilings: bool = True,
) -> pd.DataFrame:
    """Score every pair of ``predicted`` against the same pair of ``real``.

    Parameters
    ----------
    real
        Cells on the log1p scale, control cells of every line among them.
    predicted
        Predicted cells on the same scale, with the same genes in any order. Where a line has
        control cells in it, its predicted deltas are measured from them.
    out
        ``metrics.tsv``, as :mod:`ptrag.evaluation.evaluate` describes it; every pair has role
        ``test``.
    perturbation, cell_line
        Columns of obs in both files; without ``cell_line`` all cells are of one line.
    gene_symbol
        Column of var with the gene symbols; None: the names of var, or the column that plainly has
        symbols where these plainly are none.
    control
        Label of control cells, or several.
    evaluation
        The section ``evaluation`` of the configuration, the statistics apart.
    ceilings
        Whether to score split halves of the real cells too.

    Returns
    -------
    table
        What ``out`` holds.

    Raises
    ------
    PtragError
        For a missing column, label, gene or pair, counts instead of log1p, or negative, missing
        or infinite values.
    """
    columns = {PERTURBATION: perturbation, CELL_LINE: cell_line, "gene_symbol": gene_symbol}
    names = Names(Symbols.read(GENE_TEXT), control)
    with TemporaryDirectory(prefix="ptrag-") as folder, ExitStack() as opened:
        scratch = Path(folder)
        sides = [
            opened.enter_context(
                open_log1p(path, scratch, names, columns, evaluation["exclude_target"])
            )
            for path in (real, predicted)
        ]
        sides[1].speak_as(sides[0], names)
        _check(*sides)
        store = _store(sides[0], scratch / "real.h5ad")
        own = _predictions(sides[1], store, scratch / "predicted.h5ad")
        _check_scales(*sides)
        split = _split(sides[1], store)
        build_reference(
            store, split, evaluation, scratch / "reference.h5", floor_cells=None, ceilings=ceilings
        )
        reference = read_reference(scratch / "reference.h5", store, split)
        predictions = Predictions(scratch / "predicted.h5ad", store, profiles=None)
        table = score_predictions(reference, predictions, _origins(own, reference, sides[1].path))
    write_table(table, out)
    return table


def summary(table: pd.DataFrame) -> str:
    """Return the mean of every metric over pairs, as text for a terminal."""
    means = table.groupby("metric", sort=False).agg(
        mean=("value", "mean"), replicate=("ceiling", "mean"), pairs=("value", "count")
    )
    means.insert(
        0, "better", ["higher" if METRICS[name].higher else "lower" for name in means.index]
    )
    return means.reset_index().to_string(index=False, float_format="{:.4g}".format, na_rep="-")


def _check(real: Log1pFile, predicted: Log1pFile) -> None:
    if not len(predicted.treated):
        raise PtragError(f"{predicted.path}: no cell but controls; there is nothing to score")
    controls = real.labels[CELL_LINE][real.labels[PERTURBATION] == CONTROL]
    for line in sorted(set(predicted.labels[CELL_LINE].iloc[predicted.treated])):
        if line not in set(real.labels[CELL_LINE]):
            known = sorted(set(real.labels[CELL_LINE]))
            raise PtragError(f"{real.path}: no cell line {line!r}; {did_you_mean(line, known)}")
        if line not in set(controls):
            raise PtragError(f"{real.path}: no control cells in {line!r}; name them with `control`")
    if lacking := sorted(set(real.genes) - set(predicted.genes)):
        raise PtragError(
            f"{predicted.path}: {len(lacking)} genes of {real.path} are missing, such as "
            f"{lacking[0]!r}; predict all, or leave them out of the real file"
        )
    measured = set(real.pairs()[PAIR].itertuples(index=False, name=None))
    asked = predicted.pairs()[PAIR].itertuples(index=False, name=None)
    for line, name in asked:
        if (line, name) not in measured:
            near = did_you_mean(name, sorted({p for of, p in measured if of == line}))
            raise PtragError(f"{real.path}: no real cells of {name!r} in {line!r}; {near}")


def _check_scales(real: Log1pFile, predicted: Log1pFile) -> None:
    """Refuse two files of other normalisations or logarithms: their totals per cell tell."""
    low, high = sorted([real.total, predicted.total])
    if high > APART * low:
        raise PtragError(
            f"{predicted.path}: other scale than {real.path}: expm1 of the median cell sums to "
            f"{predicted.total:.4g} against {real.total:.4g}; both must be log1p of counts "
            "normalised to one total"
        )


def _store(real: Log1pFile, path: Path) -> CellStore:
    with new_store(path, real.labels, real.genes) as writer:
        for rows, block in real.blocks():
            writer.write(int(rows[0]), block)
    return CellStore(path)


def _predictions(predicted: Log1pFile, store: CellStore, path: Path) -> dict[str, np.ndarray]:
    """Write the predicted cells; return the file's own control cells, (n, G), of each line."""
    columns = pd.Index(predicted.genes).get_indexer(store.genes)
    treated = predicted.labels.iloc[predicted.treated].astype("category").reset_index(drop=True)
    treated.index = treated.index.astype(str)
    own: dict[str, list[np.ndarray]] = {}
    with written_in_blocks(path, treated, store.genes, {"scale": store.scale}) as write:
        for rows, block in predicted.blocks():
            labels = predicted.labels.iloc[rows]
            is_control = (labels[PERTURBATION] == CONTROL).to_numpy()
            write(block[~is_control][:, columns])
            for line, numbers in labels[CELL_LINE][is_control].groupby(labels[CELL_LINE]):
                own.setdefault(line, []).append(block[numbers.index - rows[0]][:, columns])
    return {line: np.concatenate(blocks) for line, blocks in own.items()}


def _origins(
    own: Mapping[str, np.ndarray], reference: Reference, predicted: Path
) -> dict[str, Controls]:
    """Return the controls that each line's predictions are measured from."""
    origins = {}
    for name, line in reference.lines.items():
        if name not in own:
            origins[name] = line.every_control
        elif len(own[name]) < FEWEST_CONTROLS:
            raise PtragError(
                f"{predicted}: one control cell in {name!r}; give at least {FEWEST_CONTROLS}, or "
                "none to measure from all controls of the real file"
            )
        else:
            origins[name] = Controls.of(own[name])
    return origins


def _split(predicted: Log1pFile, store: CellStore) -> Split:
    """Return every predicted pair as a test pair."""
    table = store.pairs[[*PAIR, N_CELLS]].merge(predicted.pairs()[PAIR])
    return Split(table.assign(**{ROLE: "test", REASON: ""}), "unseen_perturbation", None)
