"""Arms against each other, over pairs: the tables of a comparison.

``comparison.tsv`` has one row per split, arm, role and metric (:class:`Score`), over the pairs
that all arms of the split predicted. ``contrasts.tsv`` has the paired differences that the
configuration names, on the test pairs (the val pairs of a split without test pairs), each with
its decision (:class:`ptrag.comparison.contrasts.Contrast`). Where every split holds out another
line, both begin with all lines pooled (:mod:`ptrag.comparison.pooled`). What follows from both in
words is :mod:`ptrag.comparison.claims`. Where arms work, ``strata.tsv`` and ``solved.tsv``, is
:mod:`ptrag.comparison.strata`.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ptrag.base.files import write_table
from ptrag.base.names import PERTURBATION, ROLE
from ptrag.comparison.claims import SplitClaims
from ptrag.comparison.contrasts import Contrast, contrast_rows, pairings
from ptrag.comparison.plateau import improving_arms
from ptrag.comparison.pooled import pooled
from ptrag.comparison.scale import REPLICATE, Scale
from ptrag.comparison.scores import SplitScores, read_scores
from ptrag.comparison.statistics import Sample
from ptrag.comparison.strata import Solved, Stratum, solved_rows, strata_rows
from ptrag.metrics.registry import METRICS

ROLES = ("val", "test")

SPLIT_HALF = "split_half"
"""The ceiling that runs no job: its scores are the column ``ceiling`` of the others."""


@dataclass(frozen=True)
class Score:
    """One arm on one metric: a row of ``comparison.tsv``.

    Attributes
    ----------
    split, arm, family, metric, role
        What is scored, on which pairs.
    n_pairs, n_missing, n_left_out
        Pairs with a value; without one, since the real cells leave it undefined; left out for
        every arm, since some arm did not predict them.
    n_seeds, improving
        Seeds, averaged within pairs; whether the training of one of them has not reached its
        plateau (:mod:`ptrag.comparison.plateau`).
    mean, low, high
        Mean over pairs with its interval.
    scaled, scaled_low, scaled_high
        On the scale from the mean baseline (0) to a replicate (1), with its interval; missing
        where the metric is not trusted.
    floor, replicate, dynamic_range, separation, trusted
        Of the metric on these pairs, the same for all arms: :class:`ptrag.comparison.scale.Trust`.
    """

    split: str
    arm: str
    family: str
    metric: str
    role: str
    n_pairs: int
    n_missing: int
    n_left_out: int
    n_seeds: int
    improving: bool
    mean: float
    low: float
    high: float
    scaled: float
    scaled_low: float
    scaled_high: float
    floor: float
    replicate: float
    dynamic_range: float
    separation: float
    trusted: bool


def compare(
    metrics: Iterable[tuple[str, str, int, str | Path]],
    histories: Iterable[tuple[str, str, str, str | Path]],
    evaluation: Mapping[str, Any],
    comparison_tsv: str | Path,
    contrasts_tsv: str | Path,
    strata_tsv: str | Path,
    solved_tsv: str | Path,
    *,
    split_half: bool = False,
) -> None:
    """Average, compare and test the arms of every split.

    Parameters
    ----------
    metrics
        (split, arm, seed, path of ``metrics.tsv``) of every run.
    histories
        (split, arm, the metric that chose its checkpoint, path of ``history.tsv``) of every
        trained run.
    evaluation
        The section of the configuration: ``bootstrap``, ``confidence``, ``primary`` and
        ``contrasts``.
    comparison_tsv, contrasts_tsv, strata_tsv, solved_tsv
        The tables to write.
    split_half
        Whether that ceiling is among the arms.

    Raises
    ------
    PtragError
        Where no pair of a split was predicted by every run.
    """
    runs, trained = list(metrics), list(histories)
    tables, improving = [], {}
    for split in dict.fromkeys(run[0] for run in runs):
        tables.append(read_scores(split, [run[1:] for run in runs if run[0] == split]))
        improving[split] = improving_arms(run[1:] for run in trained if run[0] == split)
    if (every_line := pooled(tables)) is not None:
        tables.insert(0, every_line)
        improving[every_line.split] = set().union(*improving.values())
    compared = [
        compared_split(table, evaluation, improving[table.split], split_half) for table in tables
    ]
    files = comparison_tsv, contrasts_tsv, strata_tsv, solved_tsv
    for file, parts in zip(files, zip(*compared, strict=True), strict=True):
        filled = [part for part in parts if len(part)] or parts[:1]
        write_table(pd.concat(filled, ignore_index=True), file)


class SplitTables(NamedTuple):
    """The four tables of one split."""

    comparison: pd.DataFrame
    contrasts: pd.DataFrame
    strata: pd.DataFrame
    solved: pd.DataFrame


def compared_split(
    scores: SplitScores, evaluation: Mapping[str, Any], improving: set[str], split_half: bool
) -> SplitTables:
    """Return the four tables of one split; arguments as of :func:`compare_split`."""
    rows, tested = compare_split(scores, evaluation, improving, split_half)
    both = as_table(rows, Score), as_table(tested, Contrast)
    claims = SplitClaims(*both, scores.split, scores.scored_role, evaluation)
    return SplitTables(
        *both,
        as_table(strata_rows(scores, evaluation), Stratum),
        as_table(solved_rows(scores, claims, evaluation), Solved),
    )


def as_table(rows: list[Any], of: type) -> pd.DataFrame:
    """Return the rows as a table with the columns of their dataclass."""
    return pd.DataFrame(rows, columns=[field.name for field in fields(of)])


def compare_split(
    scores: SplitScores, evaluation: Mapping[str, Any], improving: set[str], split_half: bool
) -> tuple[list[Score], list[Contrast]]:
    """Return the rows of both tables for one split.

    Parameters
    ----------
    scores
        Of every arm.
    evaluation
        The section of the configuration.
    improving
        Arms whose training has not reached its plateau.
    split_half
        Whether that ceiling has rows of its own.
    """
    pairs = pairings(evaluation["contrasts"], list(scores.values))
    rows: list[Score] = []
    contrasts: list[Contrast] = []
    for metric in scores.metrics:
        for role in (role for role in ROLES if (scores.pairs[ROLE] == role).any()):
            values, of_pairs = scores.defined(role, metric)
            clusters = of_pairs[PERTURBATION].to_numpy()
            sample = Sample(values, clusters, evaluation["bootstrap"], evaluation["confidence"])
            scale = Scale(METRICS[metric], values, of_pairs, evaluation)
            counts = int((scores.pairs[ROLE] == role).sum()), scores.n_left_out.get(role, 0)
            rows += [
                _score((scores.split, arm, role), counts, sample, arm, scale, arm in improving)
                for arm in values
            ]
            if split_half:
                name = scores.split, SPLIT_HALF, role
                rows.append(_score(name, counts, scale.sample, REPLICATE, scale, False))
            if role == scores.scored_role:
                contrasts += contrast_rows(pairs, sample, scale, scores.split, improving)
    return rows, contrasts


def _score(
    name: tuple[str, str, str], counts: tuple[int, int], sample: Sample, key: Hashable,
    scale: Scale, improving: bool,
) -> Score:  # fmt: skip
    """Return the row of (split, arm, role), which ``sample`` knows under ``key``."""
    (split, arm, role), (pairs, left_out) = name, counts
    mean, scaled, trust, metric = sample.mean(key), scale.scaled(key), scale.trust, scale.metric
    return Score(
        split, arm, metric.family, metric.name, role, sample.n, pairs - sample.n, left_out,
        sample.seeds(key), improving, mean.value, mean.low, mean.high, scaled.value, scaled.low,
        scaled.high, trust.floor, trust.replicate, trust.dynamic_range, trust.separation,
        trust.trusted,
    )  # fmt: skip
