"""Pairs set against what they are scored with, one after the other.

:func:`score_all` turns predicted and real sides of every pair into a table pairs × metrics. The
same function scores arms, the mean baseline and the split halves, so that all are on one scale.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ptrag.base.discrimination import DISTANCES, discrimination
from ptrag.base.names import CELL_LINE, ROLE
from ptrag.base.progress import Progress
from ptrag.evaluation.sides import Case, Reference
from ptrag.metrics.compat import discrimination_score, effect
from ptrag.metrics.means import displacement, mode_collapse
from ptrag.metrics.pair import Side
from ptrag.metrics.registry import score_pair


class _Vectors:
    """Of one side of every pair, what comparing a pair with the others of its line needs.

    Attributes
    ----------
    profile, delta
        (pairs, G), NaN for a pair without this side.
    effect
        The same: mean of the cells minus that of all controls, where other packages' metrics are
        wanted.
    """

    def __init__(self, pairs: int, genes: int, compat: bool) -> None:
        self.profile, self.delta = np.full((2, pairs, genes), np.nan)
        self.effect = np.full((pairs, genes if compat else 0), np.nan)

    def put(self, number: int, side: Side) -> None:
        self.profile[number], self.delta[number] = side.profile, side.delta
        if side.compat is not None:
            self.effect[number] = effect(side)


def score_all(
    reference: Reference,
    case: Callable[[int], Case | None],
    threads: int = 1,
    work: str = "predictions",
) -> np.ndarray:
    """Score every pair by itself, then what needs all pairs of a line.

    Parameters
    ----------
    reference
        What to score with.
    case
        From the number of a pair in ``reference.pairs`` to what it is scored as; None where
        there is no prediction. Its real side is one of the others' alternatives even then.
    threads
        Pairs scored at once; the values are the same for any number.
    work
        What is scored, for the log.

    Returns
    -------
    values
        (pairs, metrics), NaN where undefined.
    """
    n, genes = len(reference.pairs), reference.store.n_genes
    names = {name: i for i, name in enumerate(reference.metrics)}
    values = np.full((n, len(names)), np.nan)
    predicted, real = (_Vectors(n, genes, reference.compat) for _ in range(2))

    def score(number: int) -> None:
        sides = case(number)
        real.put(number, reference.real(number) if sides is None else sides.real)
        if sides is not None:
            predicted.put(number, sides.predicted)
            pair = reference.scored(number, *sides)
            for name, value in score_pair(pair, reference.compat).items():
                values[number, names[name]] = value

    progress = Progress(work, n, "pairs scored")
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(score, range(n)):
            progress.step()
    for name, rows, scores in _among_others(reference, predicted, real):
        values[rows, names[name]] = scores
    return values


def score_among(reference: Reference, profiles: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Score one profile for all pairs of a line, by the metrics that need all pairs of it.

    Parameters
    ----------
    reference
        What to score with.
    profiles
        (G,) of each line, measured from the given controls.

    Returns
    -------
    values
        (pairs,) of each of these metrics.
    """
    n, genes = len(reference.pairs), reference.store.n_genes
    predicted, real = (_Vectors(n, genes, False) for _ in range(2))
    for number, (line, _) in enumerate(reference.keys):
        known, mean = reference.lines[line], reference.measured[number][0].mean
        for vectors, profile, origin in (
            (predicted, profiles[line], known.given), (real, mean, known.yardstick),
        ):  # fmt: skip
            vectors.profile[number] = profile
            vectors.delta[number] = displacement(profile, origin.moments.mean)
    values: dict[str, np.ndarray] = {}
    for name, rows, scores in _among_others(reference, predicted, real, compat=False):
        values.setdefault(name, np.full(n, np.nan))[rows] = scores
    return values


def _among_others(
    reference: Reference, predicted: _Vectors, real: _Vectors, compat: bool | None = None
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, pairs and scores of the metrics that hold a pair against others of its line."""
    for (line, _), rows in reference.pairs.groupby([CELL_LINE, ROLE]).indices.items():
        own = np.flatnonzero(~np.isnan(predicted.profile[rows, 0]))
        kept = _without(reference, _scored(reference, line))
        x, y = predicted.delta[np.ix_(rows[own], kept)], real.delta[np.ix_(rows, kept)]
        for distance in DISTANCES:
            yield f"pds_{distance}", rows[own], discrimination(x, y, own, distance)
        noise = np.array([_noise(reference, row, kept) for row in rows])
        collapse = mode_collapse(x, y, noise)
        yield "mode_collapse", rows[own], np.full(len(own), collapse)
        if reference.compat if compat is None else compat:
            yield from _as_cell_eval(reference, predicted.effect, real.effect, rows, own)
    for line, rows in reference.pairs.groupby(CELL_LINE).indices.items():
        own = np.flatnonzero(~np.isnan(predicted.profile[rows, 0]))
        yield "centroid_accuracy", rows[own], _centroid_accuracy(
            reference, line, predicted.profile[rows[own]], real.profile[rows], own
        )  # fmt: skip


def _noise(reference: Reference, row: int, genes: np.ndarray) -> float:
    """Squared error that sampling of its cells leaves in a real delta, summed over genes.

    NaN for one cell.
    """
    sample, _ = reference.measured[row]
    return float(sample.variance[genes].sum() / sample.n)


def _scored(reference: Reference, line: str) -> list[str]:
    return [pair.perturbation for pair in reference.keys if pair.cell_line == line]


def _without(reference: Reference, perturbations: Iterable[str]) -> np.ndarray:
    """Columns of the genes that none of the perturbations targets."""
    return np.setdiff1d(np.arange(reference.store.n_genes), reference.targets(*perturbations))


def _centroid_accuracy(
    reference: Reference, line: str, predicted: np.ndarray, real: np.ndarray, own: Sequence[int]
) -> np.ndarray:
    """Systema's: by L2 of profiles, among all perturbations of the line, trained ones too.

    Trained perturbations are alternatives here, so that their targets are left out as well. A
    common origin changes no distance of profiles and keeps their product exact.
    """
    known = reference.lines[line]
    kept = _without(reference, [*_scored(reference, line), *known.trained])
    origin = known.yardstick.moments.mean
    every = np.concatenate([real, known.profiles])
    return discrimination((predicted - origin)[:, kept], (every - origin)[:, kept], own, "l2")


def _as_cell_eval(
    reference: Reference, predicted: np.ndarray, real: np.ndarray, rows: np.ndarray, own: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield cell-eval's scores: from all controls, the own target alone left out."""
    targets = [reference.columns(reference.keys[row].perturbation) for row in rows[own]]
    for distance in DISTANCES:
        scores = discrimination_score(predicted[rows[own]], real[rows], own, distance, targets)
        yield f"cell_eval_discrimination_score_{distance}", rows[own], scores
