"""Which arms are held against which, and what each contrast shows: ``contrasts.tsv``.

The contrasts are those that the configuration names (``evaluation.contrasts``), a list of
[arm, against]. ``models`` as the first stands for every model, ``baselines`` as the second for
every simple baseline and ``controls`` for the arm's own negative controls, as far as they run.
Each is tested on the scored pairs, and Holm adjusts over all contrasts of one split and metric.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ptrag.arms.registry import base_name
from ptrag.comparison.permutation import holm, sign_flip_p
from ptrag.comparison.power import reach
from ptrag.comparison.scale import Scale
from ptrag.comparison.statistics import Estimate, Sample
from ptrag.config import EACH_BASELINE, EACH_MODEL, OWN_CONTROLS

BASELINES = (
    "control", "perturbation_mean", "line_mean", "additive", "additive_singles", "ridge", "knn",
    "evidence_mean", "atlas_fusion",
)  # fmt: skip
"""The simple baselines: what a model has to beat."""

MEAN_OF_OTHERS = "mean_of_others"
"""The simple baseline of ``ptrag evaluate``, which knows no training pair."""

CEILINGS = ("oracle", "split_half")
"""Arms that know what is to be predicted: bounds to read the others against."""

Kind = Literal["baseline", "ceiling", "negative control", "model"]
Better = Literal["arm", "against", "neither"]

UNTRUSTED = "untrusted metric"
IMPROVING = "still improving"
PER_LINE = "one number of a line"


def kind_of(arm: str) -> Kind:
    """Return what an arm is in a comparison.

    Examples
    --------
    >>> kind_of("ridge"), kind_of("ridge@shuffled"), kind_of("ptrag")
    ('baseline', 'negative control', 'model')
    """
    if base_name(arm) in CEILINGS:
        return "ceiling"
    if base_name(arm) != arm:
        return "negative control"
    return "baseline" if arm in (*BASELINES, MEAN_OF_OTHERS) else "model"


@dataclass(frozen=True)
class Contrast:
    """One arm against another on one metric: a row of ``contrasts.tsv``.

    Attributes
    ----------
    split, metric, arm, against
        What is compared.
    n_pairs, n_perturbations
        Pairs compared, and the independent units among them.
    n_contrasts
        Contrasts that Holm adjusts over.
    difference, low, high
        Mean paired difference, arm minus against, with its interval.
    p, holm_p
        Of the sign-flip permutation of the same difference; adjusted.
    smallest_p
        The smallest Holm-adjusted p that these pairs and contrasts can reach.
    detectable, power
        See :class:`ptrag.comparison.power.Reach`.
    better
        ``arm`` or ``against`` where the interval excludes zero, ``holm_p`` is below
        1 − confidence and nothing bars the claim; else ``neither``.
    barred
        Why no claim rests on this contrast, whatever its numbers: ``untrusted metric``,
        ``still improving``, ``one number of a line``, or nothing.
    """

    split: str
    metric: str
    arm: str
    against: str
    n_pairs: int
    n_perturbations: int
    n_contrasts: int
    difference: float
    low: float
    high: float
    p: float
    holm_p: float
    smallest_p: float
    detectable: float
    power: str
    better: Better
    barred: str


def pairings(named: Iterable[Sequence[str]], arms: Sequence[str]) -> list[tuple[str, str]]:
    """Spell out the contrasts of the configuration: (arm, against), no two twice.

    Parameters
    ----------
    named
        ``evaluation.contrasts``.
    arms
        The arms that ran.
    """
    spelt = dict.fromkeys(
        (arm, against)
        for first, second in named
        for arm in (_of_kind("model", arms) if first == EACH_MODEL else [first])
        for against in _opponents(arm, second, arms)
    )
    return [pair for pair in spelt if set(pair) <= set(arms) and pair[0] != pair[1]]


def _opponents(arm: str, word: str, arms: Sequence[str]) -> Iterator[str]:
    if word == EACH_BASELINE:
        yield from _of_kind("baseline", arms)
    elif word == OWN_CONTROLS:
        yield from (other for other in arms if base_name(other) == arm != other)
    else:
        yield word


def _of_kind(kind: Kind, arms: Iterable[str]) -> list[str]:
    return [arm for arm in arms if kind_of(arm) == kind]


def contrast_rows(
    pairs: Sequence[tuple[str, str]],
    sample: Sample,
    scale: Scale,
    split: str,
    improving: set[str],
) -> list[Contrast]:
    """Test the contrasts of one split and metric.

    Parameters
    ----------
    pairs
        (arm, against).
    sample
        Values of all arms on the scored pairs.
    scale
        Of the metric on these pairs.
    split
        Name of the split.
    improving
        Arms whose training has not reached its plateau.
    """
    if not pairs:
        return []
    sums = np.stack([sample.cluster_differences(*pair) for pair in pairs], axis=1)
    ps = sign_flip_p(sums)
    rows = []
    for (arm, against), differences, p, holm_p in zip(pairs, sums.T, ps, holm(ps), strict=True):
        estimate = sample.difference(arm, against)
        same = not differences.any()
        barred = "" if scale.trust.trusted else UNTRUSTED
        barred = PER_LINE if scale.metric.per_line else barred
        if not barred and {arm, against} & improving:
            barred = IMPROVING
        alpha, room = 1 - sample.confidence, abs(scale.trust.replicate - scale.trust.floor)
        limits = reach(
            estimate, sample.C, len(pairs), sample.confidence,
            room if scale.trust.trusted else np.nan, same,
        )  # fmt: skip
        rows.append(
            Contrast(
                split, scale.metric.name, arm, against, sample.n, sample.C, len(pairs),
                estimate.value, estimate.low, estimate.high, float(p), float(holm_p),
                limits.smallest_p, limits.detectable, limits.power,
                "neither" if barred else better(estimate, holm_p, alpha, scale.metric.higher),
                barred,
            )
        )  # fmt: skip
    return rows


def better(estimate: Estimate, holm_p: float, alpha: float, higher: bool) -> Better:
    """Decide which of two arms is better: by the sign of the difference, where it is clear.

    Clear is a difference whose interval excludes zero and whose Holm-adjusted p, of the same
    difference, is below ``alpha``.
    """
    clear = (estimate.low > 0 or estimate.high < 0) and holm_p < alpha
    if not clear:
        return "neither"
    return "arm" if (estimate.value > 0) == higher else "against"
