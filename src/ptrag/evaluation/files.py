"""Score h5ad files: real cells with their controls, and predicted cells of any models.

For predictions that were made elsewhere: ``ptrag evaluate``. There are no training pairs, so the
PCA is fitted on control cells alone and metrics against a trained centroid are ``NA``. The floor of
a pair is the mean response of the line's *other* scored perturbations, from the real file alone;
the ceiling are split halves. (Metrics that hold a pair against the others take the mean of all
scored ones for a floor: :func:`ptrag.evaluation.bounds.floor_of_others`.) The mean of the predicted
cells of a pair is its predicted profile.

X may hold counts: they are divided to 10,000 per cell and log1p is taken, which is said, and the
metrics on counts (:mod:`ptrag.evaluation.challenge`) are computed where the real file has them.

Which controls deltas are measured from: an observed delta from the yardstick half of the real
controls, as in the workflow. A predicted delta from the prediction's own control cells where the
predicted file has some; else from *all* real controls, not from their given half. From which
controls an outside model started is unknown, and most start from all that there are: the noise of
the mean of all is in their profiles then. Measured from the given half alone, half the difference
between the two halves would stay in the predicted delta, with the opposite sign of the observed
one's: a negative correlation for a prediction of no change. Measured from all it cancels, and a
prediction that started from any random part of the controls errs independently of the yardsticks.

Files are read in blocks and scored from disk: memory does not grow with the number of perturbed
cells.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ptrag.base.defaults import SCORING
from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.files import write_table
from ptrag.base.names import (
    CELL_LINE,
    CONTROL,
    N_CELLS,
    PAIR,
    PERTURBATION,
    REASON,
    ROLE,
    TARGET_TOTAL,
    TOTAL,
)
from ptrag.cells.log1p_file import Log1pFile, open_log1p
from ptrag.cells.store import CellStore
from ptrag.cells.store_writer import new_store
from ptrag.evaluation.bounds import moved
from ptrag.evaluation.challenge import Challenge
from ptrag.evaluation.conventions import recognise
from ptrag.evaluation.evaluate import score_predictions, table_of
from ptrag.evaluation.lines import Controls
from ptrag.evaluation.predictions import Predictions
from ptrag.evaluation.reference import FEWEST_CONTROLS, build_reference, read_reference
from ptrag.evaluation.sides import Reference
from ptrag.genes.names import Names
from ptrag.genes.symbols import GENE_TEXT, Symbols
from ptrag.metrics.registry import METRICS
from ptrag.prediction.files import written_in_blocks
from ptrag.splits.protocols import Split

APART = 10.0  # factor between the cells' totals of both files that no model explains


class Evaluated(NamedTuple):
    """What several predictions score.

    Attributes
    ----------
    tables
        By name, rows as :mod:`ptrag.evaluation.evaluate` describes them; every pair has role
        ``test``.
    baselines
        The same for two predictions that anyone has: ``control`` (no change) and
        ``mean_of_others`` (the mean response of the line's other scored perturbations).
    notes
        What was recognised and converted, as sentences.
    n_cells, lines
        Real cells, and their lines.
    sizes
        Real cells of each pair, index (cell_line, perturbation).
    has_counts
        Whether the metrics on counts were computed.
    """

    tables: dict[str, pd.DataFrame]
    baselines: dict[str, pd.DataFrame]
    notes: list[str]
    n_cells: int
    lines: list[str]
    sizes: pd.Series
    has_counts: bool


def evaluate_files(
    real: str | Path, predicted: str | Path, out: str | Path, **options: Any
) -> pd.DataFrame:
    """Score one prediction and write its table to ``out``; options of :func:`evaluate_several`.

    Returns
    -------
    table
        What ``out`` holds: a row per pair and metric (:mod:`ptrag.evaluation.evaluate`).
    """
    table = evaluate_several(real, {"predicted": predicted}, **options).tables["predicted"]
    write_table(table, out)
    return table


def evaluate_several(
    real: str | Path,
    predicted: Mapping[str, str | Path],
    *,
    perturbation: str | None = None,
    cell_line: str | None = None,
    gene_symbol: str | None = None,
    control: str | Sequence[str] | None = None,
    evaluation: Mapping[str, Any] = SCORING,
    ceilings: bool = True,
    baselines: bool = False,
    threads: int = 1,
) -> Evaluated:
    """Score predictions of the pairs of one real file.

    Parameters
    ----------
    real
        Cells on the log1p scale or counts, control cells of every line among them.
    predicted
        By name, predicted cells on the same scale or counts, with the same genes in any order.
        Where a line has control cells in it, its predicted deltas are measured from them.
    perturbation, cell_line
        Columns of obs in all files. None: recognised (:mod:`ptrag.evaluation.conventions`); where
        there is no column of lines all cells are of one.
    gene_symbol
        Column of var with the gene symbols; None: the names of var, or the column that plainly has
        symbols where these plainly are none.
    control
        Label of control cells, or several; None: recognised.
    evaluation
        The section ``evaluation`` of the configuration, the statistics apart.
    ceilings
        Whether to score split halves of the real cells too.
    baselines
        Whether to score :attr:`Evaluated.baselines`.
    threads
        Pairs scored at once; the values are the same for any number.

    Raises
    ------
    PtragError
        For a missing column, label, gene or pair, or negative, missing or infinite values.
    """
    files = {"real": real, **predicted}
    read_as = recognise([*files.values()], perturbation, cell_line, control)
    names = Names(Symbols.read(GENE_TEXT), read_as.control)
    columns = {
        PERTURBATION: read_as.perturbation, CELL_LINE: read_as.cell_line,
        "gene_symbol": gene_symbol,
    }  # fmt: skip
    exclude = evaluation["exclude_target"]
    with TemporaryDirectory(prefix="ptrag-") as folder, ExitStack() as opened:
        scratch = Path(folder)
        first, *others = (
            opened.enter_context(open_log1p(path, scratch, names, columns, exclude, counts=True))
            for path in files.values()
        )
        for other in others:
            other.speak_as(first, names)
            _check(first, other)
        store = _store(first, scratch / "real.h5ad", threads)
        split = _split(others, store)
        build_reference(
            store, split, evaluation, scratch / "reference.h5", floor_cells=None,
            others_as_floor=True, ceilings=ceilings, threads=threads,
        )  # fmt: skip
        reference = read_reference(scratch / "reference.h5", store, split)
        challenge = Challenge(reference, threads) if store.has_counts else None
        tables = {}
        for number, (name, file) in enumerate(zip(predicted, others, strict=True)):
            path = scratch / f"{number}.h5ad"
            own = _predictions(file, store, path, threads)
            _check_scales(first, file)
            origins = _origins(own, reference, file.path)
            cells = Predictions(path, store, profiles=None)
            tables[name] = score_predictions(reference, cells, origins, threads, challenge)
            path.unlink()
        simple = _baselines(reference, challenge, threads) if baselines else {}
        sizes = store.pairs.set_index(PAIR)[N_CELLS]
        facts = store.n_cells, store.lines, sizes, store.has_counts
    notes = [*read_as.notes, *(_converted(file) for file in (first, *others) if file.has_counts)]
    return Evaluated(tables, simple, notes, *facts)


def _converted(file: Log1pFile) -> str:
    return (
        f"{file.path}: counts, divided to {TARGET_TOTAL:,.0f} per cell, then log1p; metrics on "
        "counts take them as they are"
    )


def _baselines(
    reference: Reference, challenge: Challenge | None, threads: int
) -> dict[str, pd.DataFrame]:
    """Score no change, and the mean response of the others."""
    n = np.array([sample.n for sample, _ in reference.measured])
    still = {pair: np.zeros(reference.store.n_genes) for pair in reference.keys}
    unmoved = moved(reference, still, None, threads)
    if challenge is not None:
        unmoved = reference.with_members(unmoved, challenge.control_pasted())
    values = {"control": unmoved, "mean_of_others": reference.bounds["floor"]}
    return {name: table_of(reference, of, n) for name, of in values.items()}


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


def _store(real: Log1pFile, path: Path, threads: int) -> CellStore:
    labels = real.labels.assign(**_totals(real))
    with new_store(path, labels, real.genes) as writer:
        for rows, block in real.blocks(threads):
            writer.write(int(rows[0]), block)
    return CellStore(path)


def _totals(file: Log1pFile) -> dict[str, np.ndarray]:
    return {TOTAL: file.totals} if file.has_counts else {}


def _predictions(
    predicted: Log1pFile, store: CellStore, path: Path, threads: int
) -> dict[str, np.ndarray]:
    """Write the predicted cells; return the file's own control cells, (n, G), of each line."""
    columns = pd.Index(predicted.genes).get_indexer(store.genes)
    same_order = predicted.genes == store.genes  # then a copy of every block is spared
    treated = predicted.labels.astype("category").assign(**_totals(predicted))
    treated = treated.iloc[predicted.treated].reset_index(drop=True)
    treated.index = treated.index.astype(str)
    own: dict[str, list[np.ndarray]] = {}
    with written_in_blocks(path, treated, store.genes, {"scale": store.scale}) as write:
        for rows, block in predicted.blocks(threads):
            labels = predicted.labels.iloc[rows]
            is_control = (labels[PERTURBATION] == CONTROL).to_numpy()
            if not same_order:
                block = block[:, columns]
            write(block[~is_control] if is_control.any() else block)
            for line, numbers in labels[CELL_LINE][is_control].groupby(labels[CELL_LINE]):
                own.setdefault(line, []).append(block[numbers.index - rows[0]])
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


def _split(predicted: Sequence[Log1pFile], store: CellStore) -> Split:
    """Return every pair that some file predicts as a test pair."""
    pairs = pd.concat([file.pairs()[PAIR] for file in predicted]).drop_duplicates()
    table = store.pairs[[*PAIR, N_CELLS]].merge(pairs)
    return Split(table.assign(**{ROLE: "test", REASON: ""}), "unseen_perturbation", None)
