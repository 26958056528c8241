"""What may be said of a screen: every rule, and the data of every sentence.

All claims are read from ``comparison.tsv`` and ``contrasts.tsv``; the report turns them into words
and decides nothing.

A model *beats the simple baselines* where it is better than **every** simple baseline that ran,
each tested (an intersection-union test: no baseline is picked). Anything less is what it is: the
baselines that it beats, those that beat it, those against which nothing is shown, those that it was
not held against. Claims rest on the primary metrics of the configuration, as far as they can be
trusted on the screen; the first of these decides the outcome of a split, and one and the same
model, the *leader* there, is followed through all of them.

Outcomes of a split:

``model``
    at least one model beats the simple baselines.
``baseline``
    one simple baseline is better than every model.
``open``
    neither is shown.
``undecidable``
    nothing could be shown, whatever the differences: the smallest p that the test can reach with
    these perturbations is not below the level after Holm over these contrasts.
``untrusted``
    no primary metric tells a replicate from the mean baseline.
``none``
    no model was held against a simple baseline.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from ptrag.arms.registry import (
    EMBEDDING_CONTROLS,
    PERMUTED,
    REASSIGNED,
    arm_names,
    base_name,
    load_arm,
    negative_control,
)
from ptrag.comparison.contrasts import Better, Contrast, kind_of
from ptrag.metrics.registry import METRICS

Outcome = Literal["model", "baseline", "open", "undecidable", "untrusted", "none"]
Standing = Literal["better", "worse", "undecided"]

STANDINGS: dict[Better, Standing] = {"arm": "better", "against": "worse", "neither": "undecided"}
"""Standing of ``arm`` in a contrast, by its column ``better``."""

SPOILT = dict.fromkeys(EMBEDDING_CONTROLS, "texts") | {
    REASSIGNED: "candidates",
    PERMUTED: "responses",
}
"""What each negative control spoils: the texts of genes, which candidates are retrieved, or the
measured responses."""


@dataclass(frozen=True)
class AgainstBaselines:
    """One model against every simple baseline that ran, on one metric.

    Attributes
    ----------
    metric, arm
        The metric and the model.
    beaten, lost, undecided, untested
        The simple baselines that it beats, that beat it, against which nothing is shown, and that
        the configured contrasts leave out.
    hardest
        The contrast with the baseline of best mean among those tested.
    improving
        Whether no claim is made since its training has not reached its plateau.
    """

    metric: str
    arm: str
    beaten: tuple[str, ...]
    lost: tuple[str, ...]
    undecided: tuple[str, ...]
    untested: tuple[str, ...]
    hardest: Contrast
    improving: bool

    @property
    def standing(self) -> Standing:
        """``better`` than every simple baseline, ``worse`` than at least one, or ``undecided``."""
        if self.lost:
            return "worse"
        return "better" if not (self.undecided or self.untested) else "undecided"

    @property
    def n_baselines(self) -> int:
        """Simple baselines that ran."""
        return sum(map(len, (self.beaten, self.lost, self.undecided, self.untested)))


@dataclass(frozen=True)
class AgainstControl:
    """An arm against itself with something spoilt, on the deciding metric.

    Attributes
    ----------
    contrast
        The arm against its negative control.
    control
        One of :data:`ptrag.arms.registry.NEGATIVE_CONTROLS`.
    spoilt
        ``texts``, ``candidates`` or ``responses``.
    standing
        Of the arm: ``better`` than its negative control, ``worse``, or ``undecided``.
    """

    contrast: Contrast
    control: str
    spoilt: str
    standing: Standing


class SplitClaims:
    """What may be said of one split.

    Parameters
    ----------
    comparison, contrasts
        The tables of :mod:`ptrag.comparison.compare`.
    split, role
        The split, and the role of its scored pairs.
    evaluation
        ``primary`` and ``confidence``.
    """

    def __init__(
        self,
        comparison: pd.DataFrame,
        contrasts: pd.DataFrame,
        split: str,
        role: str,
        evaluation: Mapping[str, Any],
    ) -> None:
        rows = (comparison["split"] == split) & (comparison["role"] == role)
        self.scores = comparison[rows]
        self.contrasts = [
            Contrast(**row) for row in contrasts[contrasts["split"] == split].to_dict("records")
        ]
        self.split, self.evaluation = split, evaluation

    @cached_property
    def primary(self) -> list[str]:
        """The primary metrics that were measured, in the order of the configuration."""
        measured = set(self.scores["metric"])
        return [metric for metric in self.evaluation["primary"] if metric in measured]

    @cached_property
    def trusted(self) -> list[str]:
        """The primary metrics that can be trusted on this screen."""
        able = set(self.scores.loc[self.scores["trusted"].astype(bool), "metric"])
        return [metric for metric in self.primary if metric in able]

    @property
    def metric(self) -> str:
        """The metric that decides: the first trusted primary one, the first where none is."""
        metrics = self.trusted or self.primary or list(self.scores["metric"])
        return metrics[0]

    def means(self, metric: str, kind: str | None = None) -> pd.Series:
        """Return the mean of a metric per arm (of one kind), best first."""
        rows = self.scores[self.scores["metric"] == metric]
        mean = rows.set_index("arm")["mean"].dropna()
        if kind is not None:
            mean = mean[[kind_of(arm) == kind for arm in mean.index]]
        return mean.sort_values(ascending=not METRICS[metric].higher, kind="stable")

    def first(self, metric: str, kind: str) -> str | None:
        """Return the arm of a kind with the best mean; a name to draw by, and no claim."""
        return next(iter(self.means(metric, kind).index), None)

    def against_baselines(self, metric: str) -> list[AgainstBaselines]:
        """Return each model that was held against a simple baseline, the best mean first."""
        held = [self._against_baselines(metric, arm) for arm in self.means(metric, "model").index]
        return [standing for standing in held if standing is not None]

    def _against_baselines(self, metric: str, arm: str) -> AgainstBaselines | None:
        ran = list(self.means(metric, "baseline").index)
        tested = {c.against: c for c in self._tested(metric) if c.arm == arm and c.against in ran}
        if not tested:
            return None

        def against(better: str) -> tuple[str, ...]:
            return tuple(name for name in ran if name in tested and tested[name].better == better)

        return AgainstBaselines(
            metric, arm, against("arm"), against("against"), against("neither"),
            tuple(name for name in ran if name not in tested),
            next(tested[name] for name in ran if name in tested),
            arm in self.improving,
        )  # fmt: skip

    def _tested(self, metric: str) -> Iterator[Contrast]:
        return (contrast for contrast in self.contrasts if contrast.metric == metric)

    @cached_property
    def standings(self) -> list[AgainstBaselines]:
        """Every model against the simple baselines, on the deciding metric."""
        return self.against_baselines(self.metric)

    @property
    def winners(self) -> list[AgainstBaselines]:
        """The models that beat the simple baselines on the deciding metric."""
        return [standing for standing in self.standings if standing.standing == "better"]

    @property
    def winning_baseline(self) -> str | None:
        """The simple baseline of best mean among those better than every model that ran."""
        lost = {standing.arm: standing.lost for standing in self.standings}
        models = self.means(self.metric, "model").index
        for name in self.means(self.metric, "baseline").index:
            if len(models) and all(name in lost.get(model, ()) for model in models):
                return str(name)
        return None

    @property
    def leader(self) -> AgainstBaselines | None:
        """The model that is followed: the first winner, else the one with the best mean."""
        return next(iter(self.winners or self.standings), None)

    @cached_property
    def outcome(self) -> Outcome:
        """The outcome of the split."""
        if not self.standings:
            return "none"
        if not self.trusted:
            return "untrusted"
        if self.winners:
            return "model"
        if self.winning_baseline:
            return "baseline"
        powers = {contrast.power for contrast in self._tested(self.metric)} - {"same"}
        return "undecidable" if powers == {"none"} else "open"

    @property
    def followed(self) -> list[AgainstBaselines]:
        """The leader on every trusted primary metric: one and the same model in every row."""
        if self.leader is None:
            return []
        rows = [self._against_baselines(metric, self.leader.arm) for metric in self.trusted]
        return [row for row in rows if row is not None]

    @property
    def controls(self) -> list[AgainstControl]:
        """Every arm against its own negative controls, on the deciding metric."""
        return [
            AgainstControl(c, control, SPOILT[control], STANDINGS[c.better])
            for c in self._tested(self.metric)
            if (control := negative_control(c.against)) and base_name(c.against) == c.arm
        ]

    @property
    def improving(self) -> list[str]:
        """Arms about which nothing is claimed, since training has not reached its plateau."""
        rows = self.scores[self.scores["improving"].astype(bool)]
        return list(dict.fromkeys(rows["arm"]))

    @property
    def one_seed(self) -> list[str]:
        """Trained models of which one seed ran: another one could have scored otherwise."""
        rows = self.scores[(self.scores["metric"] == self.metric) & (self.scores["n_seeds"] == 1)]
        ours = [arm for arm in rows["arm"] if kind_of(arm) == "model" and arm in arm_names()]
        return [arm for arm in ours if load_arm(arm).family == "neural"]

    @property
    def n_left_out(self) -> int:
        """Pairs left out for all arms, since some arm did not predict them."""
        return int(self.scores["n_left_out"].max())

    def gap_closed(self, arm: str) -> float | None:
        """Return the share of the way from the best baseline's mean to the oracle's.

        None where there is no oracle, or it is not better than that baseline.
        """
        mean = self.means(self.metric)
        baseline = self.first(self.metric, "baseline")
        if "oracle" not in mean or baseline is None:
            return None
        gap = mean["oracle"] - mean[baseline]
        if not gap or (gap > 0) != METRICS[self.metric].higher:
            return None
        return float((mean[arm] - mean[baseline]) / gap)


def same_scores(scores: pd.DataFrame) -> list[list[str]]:
    """Return the groups of arms that score exactly the same on every pair and metric.

    Parameters
    ----------
    scores
        Index arm and pair, one column per metric.
    """
    groups: dict[bytes, list[str]] = {}
    for arm, of_arm in scores.groupby(level="arm", sort=False):
        groups.setdefault(of_arm.to_numpy(np.float64).tobytes(), []).append(str(arm))
    return [arms for arms in groups.values() if len(arms) > 1]


def stand_ins(scores: pd.DataFrame, claims: SplitClaims) -> dict[str, str]:
    """Return, for arms that score the same as another on every pair, the arm that stands for both.

    It is the leading model where it is among them, else the first of the configuration.
    """
    order = [claims.leader.arm] if claims.leader else []
    order += list(dict.fromkeys(claims.scores["arm"]))
    stands: dict[str, str] = {}
    for arms in same_scores(scores):
        first = min(arms, key=order.index)
        stands |= dict.fromkeys((arm for arm in arms if arm != first), first)
    return stands


def overall(claims: Sequence[SplitClaims]) -> Outcome:
    """Return the outcome over all splits: theirs where it is the same, else ``open``."""
    outcomes = {claim.outcome for claim in claims} - {"none"}
    if not outcomes:
        return "none"
    return outcomes.pop() if len(outcomes) == 1 else "open"
