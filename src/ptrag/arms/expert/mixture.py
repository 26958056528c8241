"""Fit the weights of the expert's members to leave-one-out predictions.

Nonnegative least squares, and only where it clearly gains on a
simple member alone. A prediction is the conditional mean and stays it: shrunk by as much as it is
unsure.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

SMALLEST = 0.05  # share of the weights that a member needs to stay in the mixture
CERTAIN = 2.0  # standard errors that a gain must exceed for a step to be taken


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
    """

    said: Mapping[str, np.ndarray]
    real: np.ndarray
    line: np.ndarray
    perturbation: np.ndarray

    def errors(self, predicted: np.ndarray) -> np.ndarray:
        """Squared error of each perturbation."""
        squares = ((predicted - self.real) ** 2).sum(axis=1)
        total = np.bincount(self.perturbation, squares)
        return total[np.unique(self.perturbation)]


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
