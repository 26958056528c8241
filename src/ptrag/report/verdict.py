"""The first lines of the report: what won over what, by how much, on which data.

A claim is a contrast with its interval and its Holm-adjusted p, never a bare mean, and is read
from ``contrasts.tsv`` as :mod:`ptrag.comparison.compare` decided it. The bar is the best simple
baseline as chosen there (on validation pairs); where nothing could be chosen every simple baseline is
one, and the bar is that with the best mean on the scored pairs.
"""

from dataclasses import dataclass
from math import ceil, inf, isfinite

import pandas as pd

from ptrag.report.gather import Results, SplitView
from ptrag.report.numbers import (
    counted,
    decimals,
    difference_places,
    interval,
    listed,
    number,
    p_value,
)
from ptrag.report.words import HEADLINES, Words, words

MANY = 100_000  # pairs that no screen has
OUTCOME = {"arm": "better", "against": "worse", "neither": "undecided"}


@dataclass(frozen=True)
class Finding:
    """One contrast in words.

    Attributes
    ----------
    metric
        Words of the metric.
    arm, against
        The two arms.
    outcome
        ``better``, ``worse`` or ``undecided`` for ``arm`` against ``against``.
    mean, bar
        Their means.
    difference, holm
        Difference with its interval, and the adjusted p, as text.
    n_pairs
        Pairs compared.
    power
        What the pairs could have shown; empty where the contrast is decided.
    """

    metric: Words
    arm: str
    against: str
    outcome: str
    mean: float
    bar: float
    difference: str
    holm: str
    n_pairs: int
    power: str


@dataclass(frozen=True)
class Verdict:
    """What one split shows.

    Attributes
    ----------
    split
        The split.
    outcome
        ``model`` (one beats the best simple baseline), ``baseline`` (every model is worse
        than it), ``open`` (neither) or ``none`` (nothing to compare).
    sentence, short
        The outcome at length, and its numbers alone.
    findings
        The best model against the bar, for each of the first metrics.
    notes
        Further sentences: other metrics, power, what the bar leaves out, ceilings.
    retrieval
        Sentences on retrieval arms against their negative controls.
    """

    split: SplitView
    outcome: str
    sentence: str
    short: str
    findings: list[Finding]
    notes: list[str]
    retrieval: list[str]


def headline_metrics(results: Results) -> list[str]:
    """Return the metrics that the report shows first, the main one in front."""
    present = list(dict.fromkeys(results.comparison["metric"]))
    return [metric for metric in HEADLINES if metric in present] or present[:1]


def headline_metric(results: Results) -> str:
    """Return the metric of the first lines."""
    return headline_metrics(results)[0]


def means(results: Results, split: SplitView, metric: str) -> pd.Series:
    """Return the mean of a metric per arm, over the scored pairs, best first."""
    rows = results.comparison
    rows = rows[
        (rows["split"] == split.name) & (rows["metric"] == metric) & (rows["role"] == split.role)
    ]
    mean = rows.set_index("arm")["mean"].dropna()
    mean = mean[[arm for arm in mean.index if arm in results.arms]]
    return mean.sort_values(ascending=not words(metric).higher, kind="stable")


def best(results: Results, split: SplitView, metric: str, kind: str) -> str | None:
    """Return the arm of a kind with the best mean on the scored pairs, or None."""
    ranked = means(results, split, metric).index
    return next((arm for arm in ranked if results.arms[arm].kind == kind), None)


def contrasts_of(results: Results, split: SplitView, metric: str) -> pd.DataFrame:
    """Return the contrasts of one metric on one split."""
    rows = results.contrasts
    return rows[(rows["split"] == split.name) & (rows["metric"] == metric)]


def bars(results: Results, split: SplitView, metric: str) -> list[str]:
    """Return what the arms are held against: one baseline, or all where none was chosen."""
    rows = contrasts_of(results, split, metric)
    named = set(rows.loc[rows["kind"] == "baseline", "against"])
    return [arm for arm in means(results, split, metric).index if arm in named]


def bar(results: Results, split: SplitView, metric: str) -> str | None:
    """Return the simple baseline that arms have to beat, or None."""
    return next(iter(bars(results, split, metric)), None)


def finding(results: Results, split: SplitView, metric: str, arm: str, against: str) -> Finding:
    """Put the contrast of two arms into words."""
    rows = contrasts_of(results, split, metric)
    row = rows[(rows["arm"] == arm) & (rows["against"] == against)].iloc[0]
    mean, what = means(results, split, metric), OUTCOME[row["better"]]
    places = difference_places(row["difference"], row["low"], row["high"])
    width = interval(row["low"], row["high"], places, True)
    return Finding(
        metric=words(metric),
        arm=arm,
        against=against,
        outcome=what,
        mean=mean[arm],
        bar=mean[against],
        difference=f"{number(row['difference'], places, True)} {width}".strip(),
        holm=p_value(row["holm_p"]),
        n_pairs=int(row["n_pairs"]),
        power=power(row) if what == "undecided" else "",
    )


def power(row: pd.Series) -> str:
    """Say what an undecided contrast could have shown.

    The number of pairs that a difference needs grows with the inverse of its square.
    """
    found = row["detectable"]
    if not isfinite(found) or found == 0:
        return ""
    said = (
        f"with {counted(int(row['n_pairs']), 'pair')} only a true difference of about "
        f"{number(found)} would be found four times in five"
    )
    if row["power"] == "low":
        said += ", more than a tenth of the way from mean baseline to replicate"
    seen = abs(row["difference"])
    needed = row["n_pairs"] * (found / seen) ** 2 if seen else inf
    if row["n_pairs"] < needed < MANY:
        steps = 10 ** max(0, len(str(int(needed))) - 2)  # two digits are enough
        rounded = ceil(needed / steps) * steps
        said += f"; one as small as that seen needs about {counted(rounded, 'pair')}"
    return said


def verdict(results: Results, split: SplitView) -> Verdict:
    """Return what a split shows about models and the best simple baseline."""
    metric = headline_metric(results)
    against = bar(results, split, metric)
    ranked = means(results, split, metric).index
    models = [arm for arm in ranked if results.arms[arm].kind == "model"]
    where = f"On {place(split)}, {counted(len(split.pairs), f'{split.role} pair')}, "
    if against is None or not models:
        missing = "model" if not models else "simple baseline"
        sentence = f"{where}no {missing} was run, so nothing can be said against the other."
        return Verdict(split, "none", sentence, "", [], [], [])
    found = [finding(results, split, metric, arm, against) for arm in models]
    result, named, sentence = _judge(found, _ahead_of(results, split, metric, found))
    return Verdict(
        split, result, where + sentence, f"{split.name}: {_short(result, named)}",
        _across_metrics(results, split), _notes(results, split, metric, named),
        _about_retrieval(results, split, metric),
    )  # fmt: skip


def place(split: SplitView) -> str:
    """Return the split in words."""
    protocol = split.protocol.replace("_", " ") + "s"
    return f"{split.name} ({protocol}" + (f", target line {split.target})" if split.target else ")")


def _ahead_of(
    results: Results, split: SplitView, metric: str, found: list[Finding]
) -> str | None:  # fmt: skip
    """Return a baseline that was not chosen but has a better mean than the model that won."""
    ranked = list(means(results, split, metric).index)
    won = next((f.arm for f in found if f.outcome == "better"), None)
    ahead = ranked[: ranked.index(won)] if won else []
    return next((arm for arm in ahead if results.arms[arm].kind == "baseline"), None)


def _judge(found: list[Finding], ahead: str | None) -> tuple[str, Finding, str]:
    """Return the outcome of a split, the finding it names and its sentence.

    ``found`` has the model with the best mean first; ``ahead`` is a simple baseline that is
    nevertheless before the winner.
    """
    against = found[0].against
    won = [f for f in found if f.outcome == "better"]
    if won and ahead:
        return "open", won[0], (
            f"nothing is decided: {won[0].arm} beats {against}, the best simple baseline on the "
            f"validation pairs ({facts(won[0])}), but {ahead} has a better mean than either."
        )  # fmt: skip
    if won:
        others = [f.arm for f in won[1:]]
        also = f" So {'does' if len(others) == 1 else 'do'} {listed(others)}." if others else ""
        return (
            "model", won[0],
            f"{won[0].arm} beats the best simple baseline, {against}: {facts(won[0])}.{also}",
        )  # fmt: skip
    if all(f.outcome == "worse" for f in found):
        return "baseline", found[0], (
            f"a simple baseline wins: {against} beats every model. "
            f"The nearest, {found[0].arm}: {facts(found[0])}."
        )  # fmt: skip
    worse = [f.arm for f in found if f.outcome == "worse"]
    also = f" {listed(worse)} {'is' if len(worse) == 1 else 'are'} worse than it." if worse else ""
    return "open", found[0], (
        f"nothing is decided: no model beats the best simple baseline, {against}. "
        f"The nearest, {found[0].arm}: {facts(found[0])}.{also}"
    )  # fmt: skip


def _short(result: str, f: Finding) -> str:
    said = {"model": "over", "baseline": "is worse than", "open": "against"}[result]
    return f"{f.arm} {said} {f.against}, {f.metric.label} {f.difference}"


def facts(f: Finding) -> str:
    """Return the numbers of a finding as a phrase."""
    places = decimals([f.mean, f.bar])
    return (
        f"{f.metric.label} {number(f.mean, places)} against {number(f.bar, places)}, "
        f"paired difference {f.difference}, Holm p {f.holm}"
    )


def _across_metrics(results: Results, split: SplitView) -> list[Finding]:
    """Hold the best model against the best baseline, metric by metric."""
    found = []
    for metric in headline_metrics(results):
        against, leader = bar(results, split, metric), best(results, split, metric, "model")
        if against and leader:
            found.append(finding(results, split, metric, leader, against))
    return found


def _notes(results: Results, split: SplitView, metric: str, named: Finding) -> list[str]:
    """Sentences that keep the first one honest."""
    notes = []
    tally = [f.outcome for f in _across_metrics(results, split)]
    counts = [(tally.count(what), what) for what in ("better", "worse", "undecided")]
    if len(tally) > 1:
        notes.append(
            f"Over the {len(tally)} metrics shown first, the best model is "
            + listed(f"{what} on {n}" for n, what in counts if n)
            + "."
        )
    if len(bars(results, split, metric)) > 1:
        notes.append(
            "There are no validation pairs to choose a baseline on: the bar is the best of all "
            "on the scored pairs, which favours the baseline."
        )
    mean = means(results, split, metric)
    if named.power:
        notes.append(f"Power: {named.power}.")
    gap = mean.get("oracle", float("nan")) - named.bar
    if gap and (gap > 0) == named.metric.higher:
        share = 100 * (named.mean - named.bar) / gap
        notes.append(
            f"{named.arm} closes {number(share, 0)} % of the gap between {named.against} and the "
            f"oracle, which knows the true delta ({number(mean['oracle'])})."
        )
    return notes


def _about_retrieval(results: Results, split: SplitView, metric: str) -> list[str]:
    """Sentences on each retrieval arm against its own negative controls."""
    rows = contrasts_of(results, split, metric)
    sentences = []
    for row in rows[rows["kind"] == "negative_control"].itertuples(index=False):
        f = finding(results, split, metric, row.arm, row.against)
        how = row.against.partition("@")[2]
        what = {
            "better": "what it retrieves matters",
            "worse": f"{how} embeddings serve it better than the true ones",
            "undecided": "no evidence that what it retrieves matters",
        }[f.outcome]
        sentences.append(f"{row.arm} against itself on {how} embeddings: {what} ({facts(f)}).")
    return sentences


def headline(results: Results, verdicts: list[Verdict]) -> tuple[str, str]:
    """Return the outcome over all splits and its line; lost and open splits are named first."""
    judged = [v for v in verdicts if v.outcome != "none"]
    if not judged:
        return "none", "Nothing to compare: a model and a simple baseline are needed."
    every = {1: "the only split", 2: "both splits"}.get(len(judged), f"all {len(judged)} splits")
    claims = {
        "baseline": "A simple baseline wins on {}: every model is worse.",
        "open": "Nothing is decided on {}: no model is clearly ahead of the simple baselines.",
        "model": "A model beats the best simple baseline on {}.",
    }
    said, outcomes = [], []
    for outcome, claim in claims.items():
        its = [v for v in judged if v.outcome == outcome]
        if its:
            outcomes.append(outcome)
            where = every if len(its) == len(judged) else listed(v.split.name for v in its)
            said.append(claim.format(where))
            said.append("; ".join(v.short for v in its) + ".")
    data = results.settings["dataset"] + (" (simulated)" if results.simulated else "")
    return (outcomes[0] if len(outcomes) == 1 else "open"), f"{data}: {' '.join(said)}"
