"""Where arms work: scores by the strength of the real response, and the pairs that are solved.

``strata.tsv`` has the means of the primary metrics over the weakest, the middle and the strongest
third of a split's scored pairs, by :func:`ptrag.evaluation.strength.strengths`, each with its own
ends of the scale: what is easy to predict in one third may be noise in another.

``solved.tsv`` counts the pairs i that an arm a *solves*: on the metric that decides
(:attr:`ptrag.comparison.claims.SplitClaims.metric`) its value reaches that of the pair's own
replicate,

    solved_a(i) = 1  where  ±v_a(i) ≥ ±F(c(i)),  + where higher is better, − where lower is,

with c(i) the pair's ceiling and F its correction to full size (:mod:`ptrag.comparison.scale`; a
correlation of halves below 0 counts as 0). A pair's ceiling is one noisy draw: an arm exactly as
good as a replicate solves about half of the pairs. Where no primary metric can be trusted, nothing
is counted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptrag.base.names import CEILING, PERTURBATION, STRENGTH
from ptrag.comparison.claims import SplitClaims
from ptrag.comparison.contrasts import kind_of
from ptrag.comparison.scale import Scale, full_size, is_correlation
from ptrag.comparison.scores import SplitScores
from ptrag.comparison.statistics import Sample, wilson
from ptrag.metrics.registry import METRICS

STRATA = ("weak", "middle", "strong")
FEWEST = 2  # perturbations of a stratum: with fewer there is no interval

A_BASELINE = "any simple baseline"
A_MODEL_ALONE = "a model and no simple baseline"
NOBODY = "nobody"
TOGETHER = "all arms"
"""Kind of the three rows that share the pairs out."""


@dataclass(frozen=True)
class Stratum:
    """One arm on one metric over a third of the pairs: a row of ``strata.tsv``.

    Attributes
    ----------
    split, arm, metric
        What is scored.
    stratum, weakest, strongest
        ``weak``, ``middle`` or ``strong``, and the strengths at its ends.
    n_pairs
        Pairs with a value.
    mean, low, high
        Mean over these pairs with its interval.
    floor, replicate, trusted
        Of the metric on these pairs: :class:`ptrag.comparison.scale.Trust`.
    scaled, scaled_low, scaled_high
        On the scale between these two; missing where the metric is not trusted here.
    """

    split: str
    arm: str
    metric: str
    stratum: str
    weakest: float
    strongest: float
    n_pairs: int
    mean: float
    low: float
    high: float
    floor: float
    replicate: float
    trusted: bool
    scaled: float
    scaled_low: float
    scaled_high: float


@dataclass(frozen=True)
class Solved:
    """How many pairs are solved, and by whom: a row of ``solved.tsv``.

    Attributes
    ----------
    split, metric
        The split, and its deciding metric.
    by, kind
        An arm and its kind; or, of kind :data:`TOGETHER`, one of :data:`A_BASELINE`,
        :data:`A_MODEL_ALONE` and :data:`NOBODY`, which add up to all pairs.
    n_pairs, n_solved
        Pairs that have a replicate, and those of them that are solved so.
    share, low, high
        n_solved / n_pairs, with Wilson's interval (J. Am. Stat. Assoc. 22 (1927), 209-212). Its
        units are perturbations, as if the pairs of one in several lines were all alike.
    """

    split: str
    metric: str
    by: str
    kind: str
    n_pairs: int
    n_solved: int
    share: float
    low: float
    high: float


def strata_rows(scores: SplitScores, evaluation: Mapping[str, Any]) -> list[Stratum]:
    """Return the rows of ``strata.tsv`` of one split; none where there are too few pairs.

    Parameters
    ----------
    scores
        Of every arm.
    evaluation
        ``primary``, ``bootstrap`` and ``confidence``.
    """
    rows: list[Stratum] = []
    for metric in (name for name in evaluation["primary"] if name in scores.metrics):
        values, pairs = scores.defined(scores.scored_role, metric)
        strength = pairs[STRENGTH].to_numpy(np.float64)
        order = np.argsort(strength, kind="stable")[: int(np.isfinite(strength).sum())]
        for name, third in zip(STRATA, np.array_split(order, len(STRATA)), strict=True):
            own = pairs.iloc[third]
            if own[PERTURBATION].nunique() < FEWEST:
                continue
            of_third = {arm: array[third] for arm, array in values.items()}
            options = evaluation["bootstrap"], evaluation["confidence"]
            sample = Sample(of_third, own[PERTURBATION].to_numpy(), *options)
            scale = Scale(METRICS[metric], of_third, own, evaluation)
            ends = float(strength[third[0]]), float(strength[third[-1]])
            rows += [_stratum((scores.split, arm, metric, name, *ends), sample, scale, arm)
                     for arm in of_third]  # fmt: skip
    return rows


def _stratum(name: tuple[Any, ...], sample: Sample, scale: Scale, arm: str) -> Stratum:
    mean, scaled, trust = sample.mean(arm), scale.scaled(arm), scale.trust
    return Stratum(
        *name, sample.n, mean.value, mean.low, mean.high, trust.floor, trust.replicate,
        trust.trusted, scaled.value, scaled.low, scaled.high,
    )  # fmt: skip


def solved_rows(
    scores: SplitScores, claims: SplitClaims, evaluation: Mapping[str, Any]
) -> list[Solved]:
    """Return the rows of ``solved.tsv`` of one split; none where no metric can be trusted.

    Parameters
    ----------
    scores
        Of every arm.
    claims
        What may be said of the split, for the metric that decides.
    evaluation
        ``confidence``.
    """
    if not claims.trusted:
        return []
    values, pairs = scores.defined(scores.scored_role, claims.metric)
    has = np.isfinite(pairs[CEILING].to_numpy(np.float64))
    means = {arm: array[has].mean(axis=1) for arm, array in values.items()}
    replicate = pairs[CEILING].to_numpy(np.float64)[has]
    units = pairs[PERTURBATION][has].nunique()

    def row(by: str, kind: str, solved: np.ndarray) -> Solved:
        share = float(solved.mean()) if len(solved) else np.nan
        ends = wilson(share, units, evaluation["confidence"])
        return Solved(
            scores.split, claims.metric, by, kind, len(solved), int(solved.sum()), share, *ends
        )

    return [row(*each) for each in _solvers(claims.metric, means, replicate)]


def _solvers(
    metric: str, means: Mapping[str, np.ndarray], replicate: np.ndarray
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield who solves pairs, of what kind, and (n,) which."""
    reached = {arm: reaches(metric, values, replicate) for arm, values in means.items()}
    any_of = {
        kind: np.any(
            [np.zeros(len(replicate), bool)]
            + [solved for arm, solved in reached.items() if kind_of(arm) == kind],
            axis=0,
        )
        for kind in ("baseline", "model")
    }
    yield A_BASELINE, TOGETHER, any_of["baseline"]
    yield A_MODEL_ALONE, TOGETHER, any_of["model"] & ~any_of["baseline"]
    yield NOBODY, TOGETHER, ~(any_of["model"] | any_of["baseline"])
    for arm, solved in reached.items():
        yield arm, kind_of(arm), solved


def reaches(metric: str, values: np.ndarray, replicate: np.ndarray) -> np.ndarray:
    """Return which of (n,) values reach those of (n,) replicates of half size."""
    ends = np.maximum(replicate, 0.0) if is_correlation(metric) else replicate
    gain = values - full_size(metric, ends)
    return gain >= 0 if METRICS[metric].higher else gain <= 0
