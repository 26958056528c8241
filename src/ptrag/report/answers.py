"""``summary.html`` of ``ptrag predict``: one page that answers for one gene in one line.

What is predicted, how sure that is, what it was made of, and what to check. The page carries its
numbers as JSON and draws the gene that somebody asks for. Its size is bounded: the more pairs, the
fewer genes and candidates of each (:func:`kept_of_each`), and beyond :data:`MOST_PAIRS` only the
strongest; the tables beside the page have everything.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from markupsafe import Markup

from ptrag.base.files import atomic, read_table
from ptrag.base.names import DELTA, PERTURBATION
from ptrag.prediction.files import INTERVAL, PredictionFiles
from ptrag.prediction.lines import FALLBACK, LEVELS, MEASURED_HERE, NEVER
from ptrag.prediction.predict import Report
from ptrag.prediction.summary import SURE
from ptrag.report.html import page

BYTES = 8_000_000  # of numbers on the page, about
GENE_BYTES = 30  # of one gene of a pair with its interval and probability
MOST_GENES, FEWEST_GENES = 10, 3  # up, and as many down
MOST_PAIRS = 25_000
AT_ONCE = 256  # rows of profiles in memory
SILENT = 0.05  # mean log1p expression below which a target is hardly expressed
UNSURE = 0.3  # confidence below which the direction of most genes is open


def write_answers(report: Report, about: Mapping[str, Any], out_html: str | Path) -> None:
    """Write the page of what ``ptrag predict`` wrote.

    Parameters
    ----------
    report
        What was predicted; its files are read.
    about
        What ``bundle.json`` says: arm, genes, whether simulated.
    out_html
        The file to write.
    """
    summary = report.summary
    strongest = summary["strength"].sort_values(ascending=False, kind="stable").index
    rows = np.sort(strongest[:MOST_PAIRS].to_numpy())
    data = _data(report.files, summary.iloc[rows], about["genes"], kept_of_each(len(rows)))
    content = {
        "line": report.place.line,
        "place": str(report.place),
        "near": list(report.place.correlation.items()),
        "notes": report.notes,
        "arm": about["arm"],
        "simulated": bool(about["simulated"]),
        "levels": {level: n for level in LEVELS if (n := int((summary["level"] == level).sum()))},
        "n": len(summary),
        "shown": len(rows),
        "each": kept_of_each(len(rows)),
        "interval": f"{100 * INTERVAL:g} %",
        "sure": SURE,
        "files": [path.name for path in report.files if path is not None],
        "data": data,
    }
    html = page(content, "answers.html.j2", ["answers.js"])
    with atomic(out_html) as part:
        part.write_text(html, encoding="utf-8")


def kept_of_each(n_pairs: int) -> int:
    """Return how many genes up, genes down and candidates of a pair the page has.

    Examples
    --------
    >>> kept_of_each(20), kept_of_each(2000), kept_of_each(20000)
    (10, 10, 4)
    """
    affordable = BYTES // (3 * GENE_BYTES * max(n_pairs, 1))
    return int(np.clip(affordable, FEWEST_GENES, MOST_GENES))


def _data(files: PredictionFiles, summary: pd.DataFrame, genes: Sequence[str], each: int) -> Markup:
    """Return what the script reads, as JSON that may stand inside ``<script>``."""
    checks: dict[str, int] = {}
    names: dict[str, int] = {}
    evidence = _evidence(files.evidence, each)
    pairs = []
    columns = {gene: i for i, gene in enumerate(genes)}
    for row, layers in zip(summary.itertuples(index=False), _rows(files, summary), strict=True):
        sentences = _checks(row, layers, columns)
        pairs.append(
            [
                row.perturbation, LEVELS.index(row.level), _short(row.strength),
                _short(row.n_moving), _short(row.confidence), _number(row.nearest, names),
                _short(row.similarity),
                _top(layers, each),
                [[_number(name, names), *map(_short, values)]
                 for name, *values in evidence.get(row.perturbation, ())],
                [checks.setdefault(check, len(checks)) for check in sentences],
            ]
        )  # fmt: skip
    content = {
        "genes": list(genes), "levels": LEVELS, "names": list(names), "checks": list(checks),
        "pairs": pairs,
    }  # fmt: skip
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, default=_plain)
    return Markup(text.replace("<", "\\u003c"))


def _rows(files: PredictionFiles, summary: pd.DataFrame) -> Iterator[dict[str, np.ndarray]]:
    """Yield X and the layers of one pair after the other."""
    at = summary.index.to_numpy()
    with h5py.File(files.profiles) as file:
        nodes = {"profile": file["X"], **file["layers"]}
        for start in range(0, len(at), AT_ONCE):
            rows = at[start : start + AT_ONCE]
            block = {name: node[rows] for name, node in nodes.items()}
            for i in range(len(rows)):
                yield {name: values[i] for name, values in block.items()}


def _top(layers: Mapping[str, np.ndarray], each: int) -> list[list[Any]]:
    """Return [gene, delta, lower, upper, P(moves)] of the genes of largest rise, then of fall."""
    delta = layers[DELTA]
    order = np.argsort(-delta, kind="stable")
    up = [g for g in order[:each] if delta[g] > 0]
    down = [g for g in order[::-1][:each] if delta[g] < 0]
    known = [layers[name] for name in (DELTA, "lower", "upper", "p_moves") if name in layers]
    return [[int(g), *(_short(of[g]) for of in known)] for g in (*up, *down)]


def _evidence(path: Path, each: int) -> dict[str, list[tuple[Any, ...]]]:
    """Return (candidate, similarity, weight, effect) of each perturbation, largest effect first."""
    table = read_table(path, dtype={PERTURBATION: str, "candidate": str})
    table = table[table["candidate"].notna()].sort_values("effect", ascending=False, kind="stable")
    table = table.groupby(PERTURBATION, sort=False).head(each)
    entries: dict[str, list[tuple[Any, ...]]] = {}
    for name, *values in table[
        [PERTURBATION, "candidate", "similarity", "gate", "effect"]
    ].itertuples(index=False):
        entries.setdefault(name, []).append(tuple(values))
    return entries


def _checks(row: Any, layers: Mapping[str, np.ndarray], columns: Mapping[str, int]) -> list[str]:
    """Return what a person should check before believing a prediction, one sentence each."""
    sentences = []
    if row.level == FALLBACK:
        sentences.append(
            "The bundle knows nothing of this gene: this is the mean response of the line, "
            "the same for every such gene."
        )
    elif row.note:
        sentences.append(f"The arm fell back: {row.note}.")
    if row.level == MEASURED_HERE:
        sentences.append(
            "This pair was measured in the screen; it is predicted without its own entry. "
            "Look at the measured response first."
        )
    if row.level == NEVER:
        sentences.append(
            "Nobody perturbed this gene in the screen: what is its own rests on the "
            "likeness of gene texts."
        )
    if row.confidence is not None and row.confidence < UNSURE:
        sentences.append(
            f"Confidence is below {UNSURE}: take the sign of no single gene for granted."
        )
    if row.n_moving == 0:
        sentences.append(f"No gene moves with a probability of {SURE}.")
    for target in row.perturbation.split("+"):
        sentences += _target(target, layers, columns)
    return sentences


def _target(
    target: str, layers: Mapping[str, np.ndarray], columns: Mapping[str, int]
) -> Iterator[str]:
    """Yield what the expression of the perturbed gene itself says."""
    if (column := columns.get(target)) is None:
        yield "The perturbed gene is none of the predicted genes: whether it falls is not shown."
        return
    control = layers["profile"][column] - layers[DELTA][column]
    if control < SILENT:
        yield "Your controls hardly express the perturbed gene: knocking it down may do nothing."
    if layers[DELTA][column] > 0:
        yield "The perturbed gene itself is predicted to rise, which a knock-down would not do."


def _number(name: Any, names: dict[str, int]) -> int | None:
    return None if pd.isna(name) else names.setdefault(name, len(names))


def _short(value: Any) -> float | None:
    """Return three digits of a number; None where it is missing."""
    return float(f"{value:.3g}") if value is not None and np.isfinite(value) else None


def _plain(value: Any) -> Any:
    return value.item()
