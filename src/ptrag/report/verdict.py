"""The first lines of the report: what :mod:`ptrag.comparison.claims` decided, in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from ptrag.base.names import PERTURBATION
from ptrag.comparison.claims import (
    AgainstBaselines,
    AgainstControl,
    Outcome,
    SplitClaims,
    overall,
    same_scores,
)
from ptrag.comparison.contrasts import Contrast
from ptrag.comparison.permutation import smallest_p
from ptrag.comparison.power import WIDE
from ptrag.report.gather import Results, SplitView
from ptrag.report.numbers import (
    counted,
    decimals,
    difference_in_words,
    listed,
    number,
    p_value,
    rough,
)
from ptrag.report.tables import metrics_of
from ptrag.report.words import BESIDE, Words, words

HEADLINES: dict[Outcome, str] = {
    "baseline": "A simple baseline wins{}: it is better than every model.",
    "undecidable": "Nothing can be decided{}: too few perturbations for so many contrasts.",
    "untrusted": "Nothing can be said{}: no primary metric tells a replicate of the "
    "experiment from the mean baseline.",
    "open": "Nothing is decided{}: no model beats the simple baselines.",
    "model": "A model beats every simple baseline{}.",
}
"""The headline of each outcome, {} where it holds; no success of a model is named first."""


@dataclass(frozen=True)
class Row:
    """The leading model against the simple baselines on one metric.

    Attributes
    ----------
    metric
        Words of the metric.
    arm, against
        The model, and the baseline with the best mean.
    mean, bar
        Their means.
    difference, holm
        The difference with its interval and the adjusted p, as text.
    relation, standing
        How it stands to every simple baseline, in words and in one word.
    """

    metric: Words
    arm: str
    against: str
    mean: float
    bar: float
    difference: str
    holm: str
    relation: str
    standing: str


@dataclass(frozen=True)
class Verdict:
    """What one split shows, in words.

    Attributes
    ----------
    split, outcome
        The split and its outcome (:mod:`ptrag.comparison.claims`).
    sentence, short
        The outcome at length, and its numbers alone.
    rows
        The leading model on each primary metric that can be trusted.
    notes
        Sentences that keep the first one honest.
    controls
        Sentences on arms against their negative controls.
    """

    split: SplitView
    outcome: Outcome
    sentence: str
    short: str
    rows: list[Row]
    notes: list[str]
    controls: list[str]


def shown_metrics(results: Results) -> list[str]:
    """Return the metrics of the open tables: the primary ones, then those beside them."""
    measured = metrics_of(results)
    wanted = [*results.settings["evaluation"]["primary"], *BESIDE]
    return [metric for metric in dict.fromkeys(wanted) if metric in measured] or measured[:1]


def place(split: SplitView) -> str:
    """Return the split in words."""
    protocol = split.protocol.replace("_", " ") + "s"
    return f"{split.name} ({protocol}" + (f", target line {split.target})" if split.target else ")")


def verdict(split: SplitView) -> Verdict:
    """Put the claims of one split into words."""
    claims = split.claims
    where = f"On {place(split)}, {counted(len(split.pairs), f'{split.role} pair')}, "
    return Verdict(
        split=split,
        outcome=claims.outcome,
        sentence=where + _sentence(claims),
        short=_short(claims),
        rows=[_row(claims, standing) for standing in claims.followed],
        notes=_notes(split),
        controls=[_about_control(claims, control) for control in claims.controls],
    )


def headline(results: Results, verdicts: Sequence[Verdict]) -> tuple[Outcome, str]:
    """Return the outcome over all splits and its line."""
    judged = [v for v in verdicts if v.outcome != "none"]
    if not judged:
        return "none", "Nothing to compare: no model was held against a simple baseline."
    several = len(judged) > 1
    every = " on both splits" if len(judged) == 2 else f" on all {len(judged)} splits"
    sentences = []
    for outcome, sentence in HEADLINES.items():
        of_outcome = [v for v in judged if v.outcome == outcome]
        if of_outcome:
            alike = len(of_outcome) == len(judged)
            where = every if alike else f" on {listed(v.split.name for v in of_outcome)}"
            sentences.append(sentence.format(where if several else ""))
            named = (f"{v.split.name}: {v.short}" if several else v.short for v in of_outcome)
            sentences.append("; ".join(named) + ".")
    data = results.settings["dataset"] + (" (simulated)" if results.simulated else "")
    return overall([v.split.claims for v in verdicts]), f"{data}: {' '.join(sentences)}"


def _sentence(claims: SplitClaims) -> str:
    leader, label = claims.leader, words(claims.metric).label
    if leader is None:
        return "no model was held against a simple baseline, so nothing can be said."
    if claims.outcome == "untrusted":
        metrics = listed(words(metric).label for metric in claims.primary)
        return (
            f"nothing can be said: on these pairs none of the primary metrics ({metrics}) tells a "
            "replicate of the experiment from the mean baseline."
        )
    if claims.outcome == "undecidable":
        return f"nothing can be decided. {power(leader.hardest)}."
    if claims.outcome == "model":
        others = [winner.arm for winner in claims.winners[1:]]
        also = f" So {'does' if len(others) == 1 else 'do'} {listed(others)}." if others else ""
        return f"{leader.arm} {relation(leader)} by {label}. {_nearest(claims, leader)}.{also}"
    if claims.outcome == "baseline":
        return (
            f"a simple baseline wins by {label}: {claims.winning_baseline} is better than every "
            f"model. The model with the best mean is {leader.arm}. {_nearest(claims, leader)}."
        )
    return (
        f"no model beats the simple baselines by {label}. {leader.arm}, the model with the best "
        f"mean, {relation(leader)}. {_nearest(claims, leader)}."
    )


def _short(claims: SplitClaims) -> str:
    leader, label = claims.leader, words(claims.metric).label
    if leader is None:
        return ""
    hardest = leader.hardest
    if claims.outcome in ("untrusted", "undecidable"):
        perturbations = counted(hardest.n_perturbations, PERTURBATION)
        return f"{perturbations}, {counted(hardest.n_contrasts, 'contrast')}"
    if claims.outcome == "baseline":
        return f"{label}, {claims.winning_baseline} before {leader.arm}"
    against = f"against {hardest.against} {label} {difference_in_words(hardest)}"
    return f"{leader.arm} {relation(leader)}; {against}"


def relation(standing: AgainstBaselines) -> str:
    """Say how a model stands to every simple baseline, as a phrase that follows its name."""
    if standing.improving:
        return "has not reached its plateau in training, so that nothing is claimed about it"
    if standing.standing == "better":
        return "beats " + _all(standing.beaten)
    parts = []
    if len(standing.beaten) > 2:
        parts.append(f"beats {len(standing.beaten)} of {standing.n_baselines} simple baselines")
    elif standing.beaten:
        parts.append(f"beats {listed(standing.beaten)}")
    if standing.lost:
        parts.append(f"is worse than {listed(standing.lost)}")
    if standing.undecided:
        parts.append(f"is not shown to differ from {listed(standing.undecided)}")
    if standing.untested:
        parts.append(f"was not held against {listed(standing.untested)}")
    return listed(parts)


def _all(baselines: Sequence[str]) -> str:
    if len(baselines) == 1:
        return f"{baselines[0]}, the only simple baseline that ran"
    if len(baselines) == 2:
        return f"both simple baselines that ran ({listed(baselines)})"
    return f"all {len(baselines)} simple baselines that ran"


def _nearest(claims: SplitClaims, standing: AgainstBaselines) -> str:
    """Return the numbers against the baseline with the best mean, as a sentence."""
    contrast = standing.hardest
    return f"Against {contrast.against}, the baseline with the best mean: {facts(claims, contrast)}"


def facts(claims: SplitClaims, contrast: Contrast) -> str:
    """Return the numbers of a contrast as a phrase."""
    mean = claims.means(contrast.metric)
    arm, against = mean[contrast.arm], mean[contrast.against]
    places = decimals([arm, against])
    return (
        f"{words(contrast.metric).label} {number(arm, places)} against {number(against, places)}, "
        f"paired difference {difference_in_words(contrast)}, Holm p {p_value(contrast.holm_p)}"
    )


def _row(claims: SplitClaims, standing: AgainstBaselines) -> Row:
    contrast, mean = standing.hardest, claims.means(standing.metric)
    return Row(
        words(standing.metric), standing.arm, contrast.against, mean[standing.arm],
        mean[contrast.against], difference_in_words(contrast), p_value(contrast.holm_p),
        relation(standing), standing.standing,
    )  # fmt: skip


def power(contrast: Contrast) -> str:
    """Say what an undecided contrast could have shown, by the rule that decides."""
    perturbations = counted(contrast.n_perturbations, PERTURBATION)
    contrasts = counted(contrast.n_contrasts, "contrast")
    if contrast.power == "same":
        return f"{contrast.arm} and {contrast.against} have the same score on every pair"
    if contrast.power == "none":
        lowest = p_value(smallest_p(contrast.n_perturbations))
        adjusted = p_value(contrast.smallest_p)
        return (
            f"{perturbations} and {contrasts} cannot decide anything: the smallest p that the test "
            f"can reach is {lowest.removeprefix('= ')}, after Holm "
            f"{adjusted.removeprefix('= ')}; measure more perturbations, or name fewer contrasts "
            "(evaluation.contrasts)"
        )
    sentence = (
        f"with {perturbations}, a true difference of about {rough(contrast.detectable)} would be "
        "called four times in five (interval without zero, and p below the level after Holm over "
        f"{contrasts})"
    )
    if contrast.power == "low":
        sentence += (
            f"; that is more than {100 * WIDE:g} % of the way from mean baseline to replicate"
        )
    return sentence


def _notes(split: SplitView) -> list[str]:
    """Sentences that keep the first one honest."""
    claims, leader = split.claims, split.claims.leader
    notes = []
    if leader is not None and claims.outcome not in ("untrusted", "undecidable"):
        notes += _tally(claims, leader)
        if leader.hardest.better == "neither" and not leader.improving:
            notes.append(f"Power: {power(leader.hardest)}.")
        closed = claims.gap_closed(leader.arm)
        if closed is not None:
            baseline, oracle = claims.first(claims.metric, "baseline"), claims.means(claims.metric)
            notes.append(
                f"{leader.arm} is {number(100 * closed, 0)} % of the way from {baseline} to the "
                f"oracle, which knows the true delta ({number(oracle['oracle'])})."
            )
    if untrusted := [words(m).label for m in claims.primary if m not in claims.trusted]:
        notes.append(
            f"No claim rests on {listed(untrusted)}: on these pairs a replicate of the experiment "
            "is not clearly better there than the mean baseline."
        )
    if claims.improving:
        notes.append(
            f"No claim is made about {listed(claims.improving)}: the validation loss still falls, "
            "training has not reached its plateau."
        )
    if claims.one_seed:
        notes.append(
            f"One seed: {listed(claims.one_seed)} ran with one seed, so that the intervals do not "
            "know what another seed would change."
        )
    if claims.n_left_out:
        notes.append(
            f"{counted(claims.n_left_out, 'pair')} that some arm did not predict "
            f"{'is' if claims.n_left_out == 1 else 'are'} left out for all arms."
        )
    for arms in same_scores(split.scores):
        notes.append(f"{listed(arms)} have the same scores on every pair: they are one prediction.")
    return notes


def _tally(claims: SplitClaims, leader: AgainstBaselines) -> list[str]:
    """Count the standings of one and the same model over the primary metrics."""
    standings = [row.standing for row in claims.followed]
    if len(standings) < 2 or leader.improving:
        return []
    texts = {
        "better": "better than every simple baseline on {}",
        "worse": "worse than at least one on {}",
        "undecided": "undecided on {}",
    }
    counts = [
        text.format(standings.count(name)) for name, text in texts.items() if name in standings
    ]
    return [
        f"Over the {len(standings)} primary metrics that can be trusted here, {leader.arm} is "
        f"{listed(counts)}."
    ]


def _about_control(claims: SplitClaims, control: AgainstControl) -> str:
    contrast, spoilt = control.contrast, f"{control.control} {control.spoilt}"
    true, verb = {
        "texts": ("the texts", "matter"),
        "candidates": ("which candidates it retrieves", "matters"),
        "responses": ("which responses it retrieves", "matters"),
    }[control.spoilt]
    if contrast.power == "same":
        shown = f"{spoilt} change nothing, its scores are the same on every pair"
    elif contrast.barred:
        shown = f"nothing is claimed ({contrast.barred})"
    elif control.standing == "better":
        shown = f"{true} {verb} to it"
    elif control.standing == "worse":
        shown = f"it is better with {spoilt} than with the true ones"
    else:
        shown = f"it is not shown that {true} {verb} to it"
    return f"{contrast.arm} against itself with {spoilt}: {shown} ({facts(claims, contrast)})."
