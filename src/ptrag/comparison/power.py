"""What the pairs of a screen could have shown, by the rule that decides.

The rule: an arm is better where the interval of the difference excludes zero *and* the
Holm-adjusted p of the sign-flip test is below α = 1 − confidence. The test's p cannot be smaller
than 2^(1 − C) with C perturbations, and Holm multiplies the smallest of n p-values by n: where
n 2^(1 − C) ≥ α nothing can be decided, however large the differences are.

Otherwise the smallest true difference that is called with a probability of 80 % is about

    (t_{C−1}(1 − α / 2n) + z(0.80)) · standard error,

with the quantile of the interval in place of the first where that is larger. (The sign-flip test
orders its flips as a t-test does, since Σ S_c² is the same for all of them.) The factor n is
Holm's first step: where other contrasts are decided, a smaller one would do.
"""

from dataclasses import dataclass
from math import inf, isfinite, nan
from typing import Literal

from scipy.special import ndtri, stdtrit

from ptrag.comparison.permutation import smallest_p
from ptrag.comparison.statistics import Estimate

PROBABILITY = 0.8
"""Of calling a difference that is as large as ``detectable``."""

WIDE = 0.1
"""Share of the way from mean baseline to replicate above which a detectable difference is large."""

Power = Literal["none", "low", "enough", "same", "unknown"]
"""``none``: nothing can be decided. ``low``: ``detectable`` is above :data:`WIDE`. ``same``: the
arms have the same value on every pair. ``unknown``: there is no scale to judge by."""


@dataclass(frozen=True)
class Reach:
    """What one contrast can show.

    Attributes
    ----------
    smallest_p
        The smallest p-value that the test can reach, times the number of contrasts, at most 1.
    detectable
        The smallest true difference that is called four times in five; infinite where none is,
        NaN for arms with the same values.
    power
        See :data:`Power`.
    """

    smallest_p: float
    detectable: float
    power: Power


def reach(
    estimate: Estimate, clusters: int, tests: int, confidence: float, room: float, same: bool
) -> Reach:
    """Return what one contrast can show.

    Parameters
    ----------
    estimate
        The difference, with its standard error.
    clusters
        C, perturbations.
    tests
        n, contrasts that Holm adjusts over.
    confidence
        Of the interval.
    room
        Size of the way from mean baseline to replicate; NaN where there is no scale.
    same
        Whether the arms have the same value on every pair.
    """
    alpha = 1 - confidence
    lowest = min(1.0, tests * smallest_p(clusters)) if clusters else nan
    if same:
        return Reach(lowest, nan, "same")
    if not lowest < alpha or not isfinite(estimate.error):
        return Reach(lowest, inf, "none")
    by_test = float(stdtrit(clusters - 1, 1 - alpha / (2 * tests)))
    by_interval = float(stdtrit(estimate.degrees, 1 - alpha / 2))
    detectable = (max(by_test, by_interval) + float(ndtri(PROBABILITY))) * estimate.error
    if not isfinite(room):
        return Reach(lowest, detectable, "unknown")
    return Reach(lowest, detectable, "low" if detectable > WIDE * room else "enough")
