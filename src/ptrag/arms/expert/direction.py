"""How much of the line's level a delta counts: what all perturbations share tells none apart.

A delta is judged by its direction, in two ways that pull apart: correlation with what is measured
asks for the whole level θ̂, and telling a perturbation from the others of its line asks for little
of it, since a cautious prediction of a weak perturbation points at the strongest of the line. So

    δ̂ = κ θ̂ + x,    0 < κ ≤ 1,

with x what the members say beyond the level. κ is the one of :data:`SHARES` that is best for

    r̄(κ) + w min(D(κ), D*)

over the entries left out, with r̄ the mean correlation with the measured deltas, D the mean
discrimination by cosine (:mod:`ptrag.base.discrimination`) and D* that of the simple member that
has most of it, and one standard error more: where no simple member tells perturbations apart
better, no correlation is given up. The predicted profile has the whole level, whatever κ is: the
rest, (1 − κ) θ̂, counts with the line's controls.

A left-out level differs from entry to entry, against the entry that is left out, so that it would
tell them apart by what they are not; one for all of a line, the mean of these, stands for it here.
"""

from collections.abc import Sequence

import numpy as np

from ptrag.base.correlation import pearson
from ptrag.base.discrimination import discrimination

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
WEIGHT = 3.0  # of discrimination: what 0.01 of it may cost of the mean correlation, in hundredths


def fit_share(
    level: np.ndarray,
    beyond: np.ndarray,
    simple: Sequence[np.ndarray],
    measured: np.ndarray,
    line: np.ndarray,
) -> float:
    """Return κ; 1 where nothing is said beyond the level.

    Parameters
    ----------
    level, beyond
        (n, G) θ̂ of each entry's line, one for all of a line, and x of the entry left out.
    simple
        (n, G) deltas of simple members, each entry left out.
    measured
        (n, G) measured deltas, from controls without the noise that θ̂ has been freed of.
    line
        (n,) numbers of lines.
    """
    if not beyond.any() or not level.any():
        return 1.0
    lines = [rows for each in np.unique(line) if len(rows := np.flatnonzero(line == each)) > 1]
    if not lines:
        return 1.0

    def told_apart(delta: np.ndarray) -> np.ndarray:
        scores = [
            discrimination(delta[rows], measured[rows], np.arange(len(rows)), "cosine")
            for rows in lines
        ]
        return np.concatenate(scores)

    most = max((_upper(told_apart(delta)) for delta in simple), default=0.0)

    def value(share: float) -> float:
        delta = share * level + beyond
        alike = np.mean([pearson(*pair) for pair in zip(delta, measured, strict=True)])
        return float(alike + WEIGHT * min(told_apart(delta).mean(), most))

    return max(SHARES, key=value)


def _upper(scores: np.ndarray) -> float:
    """Mean of (n,) scores, and one standard error more."""
    return float(scores.mean() + scores.std() / np.sqrt(len(scores)))
