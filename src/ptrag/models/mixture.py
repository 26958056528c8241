"""Fit the weights of the expert's members to leave-one-out predictions.

First the least squared error: nonnegative least squares, and only where it clearly gains on a
simple member alone. A prediction of least squared error is shrunk by as much as it is unsure,
so that perturbations look alike. Where that clearly costs discrimination against a simple member,
what the members say beyond the line's mean m is amplified as little as undoes it,

    δ̂ = m + c (Σ_m w_m δ̂_m − m),  c ≥ 1,

and never so far that squared error or correlation fall behind a simple member. That is again
a mixture: c w, and 1 − c more of ``line_mean``.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from ptrag.metrics.discrimination import discrimination

SMALLEST = 0.05  # share of the weights that a member needs to stay in the mixture
AMPLITUDES = np.arange(1.0, 2.01, 0.05)  # c that are tried
CERTAIN = 2.0  # standard errors that a gain must exceed for a step to be taken
AHEAD = 1.0  # and by which discrimination is brought ahead: leave-one-out flatters what is fitted
FEWEST = 20  # entries among which a rank says something
RANKED = 300  # entries of a line that are told apart, at most


class LeftOut(NamedTuple):
    """Leave-one-out predictions of n measured entries.

    Attributes
    ----------
    said
        (n, G) deltas by each member.
    real
        (n, G) measured deltas.
    line, perturbation
        (n,) numbers of the entries' lines and perturbations.
    targets
        Columns of each entry's perturbed genes, which do not tell entries apart.
    """

    said: Mapping[str, np.ndarray]
    real: np.ndarray
    line: np.ndarray
    perturbation: np.ndarray
    targets: Sequence[np.ndarray]

    def errors(self, predicted: np.ndarray) -> np.ndarray:
        """Squared error of each perturbation."""
        squares = ((predicted - self.real) ** 2).sum(axis=1)
        total = np.bincount(self.perturbation, squares)
        return total[np.unique(self.perturbation)]

    def correlation(self, predicted: np.ndarray) -> float:
        """Mean Pearson correlation of deltas; 0 where one is constant."""
        x, y = (its - its.mean(axis=1, keepdims=True) for its in (predicted, self.real))
        norm = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
        product = (x * y).sum(axis=1)
        return np.divide(product, norm, out=np.zeros_like(norm), where=norm > 0).mean()

    def discrimination(self, predicted: np.ndarray) -> np.ndarray:
        """Perturbation discrimination scores (L1) of entries among those of their line."""
        scores = []
        for line in np.unique(self.line):
            rows = np.flatnonzero(self.line == line)
            if len(rows) > RANKED:
                rows = np.random.default_rng(0).choice(rows, RANKED, replace=False)
            targets = [self.targets[i] for i in rows]
            own = np.arange(len(rows))
            scores.append(discrimination(predicted[rows], self.real[rows], own, "l1", targets))
        return np.concatenate(scores)


def mix(left: LeftOut, weights: Mapping[str, float]) -> np.ndarray:
    """(n, G) leave-one-out predictions of the mixture."""
    return sum(weight * left.said[member] for member, weight in weights.items())


def fit_weights(left: LeftOut) -> dict[str, float]:
    """Return the weight of each member that has one.

    ``line_mean``, the best simple member alone, or all: each step is taken only where it gains
    clearly (:func:`clear`).
    """
    members = list(left.said)
    design = np.stack([its.ravel() for its in left.said.values()], axis=1)
    w = _nonnegative(design, left.real.ravel())
    alone, before = {"line_mean": 1.0}, left.errors(left.said["line_mean"])
    best = min(_simple(left), key=lambda member: left.errors(left.said[member]).sum())
    if clear(before - left.errors(left.said[best])):
        alone, before = {best: 1.0}, left.errors(left.said[best])
    weights = {member: float(its) for member, its in zip(members, w, strict=True) if its}
    return weights if clear(before - left.errors(mix(left, weights))) else alone


def amplified(left: LeftOut, weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weights of m + c (δ̂ − m)."""
    c = _amplitude(left, mix(left, weights))
    if c == 1:
        return dict(weights)
    more = {member: c * weight for member, weight in weights.items()}
    return more | {"line_mean": more.get("line_mean", 0.0) + 1 - c}


def _amplitude(left: LeftOut, mixed: np.ndarray) -> float:
    """Return c: 1, or as little more as discrimination needs to pass the simple members'."""
    mean = left.said["line_mean"]
    simple = [left.said[member] for member in _simple(left)]
    if len(left.real) < FEWEST:
        return 1.0
    ranked = max((left.discrimination(its) for its in simple), key=np.mean)
    if not clear(ranked - left.discrimination(mixed)):
        return 1.0
    error = min(left.errors(its).sum() for its in simple)
    correlation = max(left.correlation(its) for its in simple)
    allowed = 1.0
    for c in AMPLITUDES:
        said = mean + c * (mixed - mean)
        if left.errors(said).sum() > error or left.correlation(said) < correlation:
            break
        allowed = float(c)
        if clear(left.discrimination(said) - ranked, AHEAD):
            break
    return allowed


def _simple(left: LeftOut) -> list[str]:
    return [member for member in left.said if member != "posterior"]


def _nonnegative(design: np.ndarray, real: np.ndarray) -> np.ndarray:
    """(M,) nonnegative least squares; once more without what has hardly any weight."""
    w, _ = nnls(design, real)
    kept = w >= SMALLEST * w.sum()
    w[~kept] = 0.0
    w[kept], _ = nnls(design[:, kept], real)
    return w


def clear(gain: np.ndarray, errors: float = CERTAIN) -> bool:
    """Whether the sum of independent gains exceeds so many of its standard errors."""
    return len(gain) > 1 and gain.sum() > errors * np.sqrt(len(gain)) * gain.std(ddof=1)
