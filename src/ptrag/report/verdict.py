"""The first lines of the report: what won over what, by how much, on which data.

A claim is a contrast with its interval and its Holm-adjusted p, never a bare
mean. The bar is the best simple baseline of the split: the closed-form arm with
the best mean of the metric on the very pairs that are scored, which favours the
baseline. ``better`` needs both: an interval without zero and a small p.
"""

from dataclasses import dataclass
from math import isfinite

import pandas as pd

from ptrag.report.gather import Results, SplitView
from ptrag.report.numbers import counted, decimals, interval, listed, number, p_value
from ptrag.report.words import Words, words

HEADLINE = "pearson_delta"


@dataclass(frozen=True)
class Finding:
    """One contrast in words.

    Attributes
    ----------
    arm, against
        The two arms.
    outcome
        ``better``, ``worse``, ``undecided`` or ``untested`` for ``arm`` against ``against``.
    mean, bar
        Their means.
    difference, holm
        Difference with its interval, and the adjusted p, as text.
    metric
        Words of the metric.
    n_pairs
        Pairs compared.
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


@dataclass(frozen=True)
class Verdict:
    """What one split shows.

    ``outcome`` is ``model`` (a trained arm beats the best simple baseline),
    ``baseline`` (every trained arm is worse than it), ``open`` (neither) or ``none``
    (nothing to compare).
    """

    split: SplitView
    outcome: str
    sentence: str
    findings: list[Finding]
    retrieval: list[str]


def headline_metric(results: Results) -> str:
    """Return the metric of the first lines."""
    present = list(dict.fromkeys(results.comparison["metric"]))
    return HEADLINE if HEADLINE in present else present[0]


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
    """Return the arm of a kind (``baseline``, ``model``) with the best mean, or None."""
    ranked = means(results, split, metric).index
    return next((arm for arm in ranked if results.arms[arm].kind == kind), None)


def finding(results: Results, split: SplitView, metric: str, arm: str, against: str) -> Finding:
    """Put the contrast of two arms into words."""
    rows = results.contrasts
    rows = rows[(rows["split"] == split.name) & (rows["metric"] == metric)]
    mean = means(results, split, metric)
    said = words(metric)
    forward = rows[(rows["arm"] == arm) & (rows["against"] == against)]
    backward = rows[(rows["arm"] == against) & (rows["against"] == arm)]
    if forward.empty and backward.empty:
        return Finding(said, arm, against, "untested", mean[arm], mean[against], "–", "–", 0)
    row = (backward if forward.empty else forward).iloc[0]
    difference, low, high = row["difference"], row["low"], row["high"]
    if forward.empty:
        difference, low, high = -difference, -high, -low
    places = decimals([mean[arm], mean[against], difference])
    return Finding(
        metric=said,
        arm=arm,
        against=against,
        outcome=outcome(difference, low, high, row["holm_p"], said.higher, _alpha(results)),
        mean=mean[arm],
        bar=mean[against],
        difference=f"{number(difference, places, True)} {interval(low, high, places, True)}",
        holm=p_value(row["holm_p"]),
        n_pairs=int(row["n_pairs"]),
    )


def outcome(
    difference: float, low: float, high: float, p: float, higher: bool, alpha: float
) -> str:
    """Return what a difference says about the first arm."""
    clear = isfinite(p) and p < alpha and (low > 0 or high < 0)
    if not clear:
        return "undecided"
    return "better" if (difference > 0) == higher else "worse"


def _alpha(results: Results) -> float:
    return round(1 - results.settings["evaluation"].get("confidence", 0.95), 10)


def verdict(results: Results, split: SplitView) -> Verdict:
    """Return what a split shows about trained arms and the best simple baseline."""
    metric = headline_metric(results)
    bar, leader = (best(results, split, metric, kind) for kind in ("baseline", "model"))
    where = f"On {place(split)}, {counted(len(split.pairs), f'{split.role} pair')}, "
    if bar is None or leader is None:
        missing = "simple baseline" if bar is None else "trained arm"
        sentence = f"{where}no {missing} was run, so nothing can be said against the other."
        return Verdict(split, "none", sentence, [], [])
    ranked = means(results, split, metric).index
    models = [arm for arm in ranked if results.arms[arm].kind == "model"]
    all_findings = [finding(results, split, metric, arm, bar) for arm in models]
    result, sentence = _judge(all_findings, bar)
    return Verdict(
        split, result, where + sentence, _across_metrics(results, split),
        _about_retrieval(results, split, metric),
    )  # fmt: skip


def place(split: SplitView) -> str:
    """Return the split in words."""
    protocol = split.protocol.replace("_", " ") + "s"
    return f"{split.name} ({protocol}" + (f", target line {split.target})" if split.target else ")")


def _judge(found: list[Finding], bar: str) -> tuple[str, str]:
    """Return the outcome of a split and its sentence; ``found`` has the best mean first."""
    won = [f for f in found if f.outcome == "better"]
    if won:
        others = [f.arm for f in won[1:]]
        also = f" So {'does' if len(others) == 1 else 'do'} {listed(others)}." if others else ""
        return (
            "model",
            f"{won[0].arm} beats the best simple baseline, {bar}: {facts(won[0])}.{also}",
        )
    if all(f.outcome == "worse" for f in found):
        return "baseline", (
            f"a simple baseline wins: {bar} beats every trained arm. "
            f"The nearest, {found[0].arm}: {facts(found[0])}."
        )
    worse = [f.arm for f in found if f.outcome == "worse"]
    also = f" {listed(worse)} {'is' if len(worse) == 1 else 'are'} worse than it." if worse else ""
    return "open", (
        f"no trained arm beats the best simple baseline, {bar}. "
        f"The nearest, {found[0].arm}: {facts(found[0])}.{also}"
    )


def facts(f: Finding) -> str:
    """Return the numbers of a finding as a phrase."""
    places = decimals([f.mean, f.bar])
    bare = f"{f.metric.label} {number(f.mean, places)} against {number(f.bar, places)}"
    if f.outcome == "untested":
        return f"{bare}, not tested"
    return f"{bare}, paired difference {f.difference}, Holm p {f.holm}"


def _across_metrics(results: Results, split: SplitView) -> list[Finding]:
    """Hold the best trained arm against the best baseline, metric by metric."""
    found = []
    for metric in dict.fromkeys(results.comparison["metric"]):
        bar, leader = (best(results, split, metric, kind) for kind in ("baseline", "model"))
        if bar and leader:
            found.append(finding(results, split, metric, leader, bar))
    return found


def _about_retrieval(results: Results, split: SplitView, metric: str) -> list[str]:
    """Sentences on each retrieval arm against its own negative controls."""
    present = means(results, split, metric).index
    sentences = []
    for spoilt in present:
        if results.arms[spoilt].kind != "negative control":
            continue
        arm, _, how = spoilt.partition("@")
        if arm in present:
            f = finding(results, split, metric, arm, spoilt)
            what = {
                "better": "what it retrieves matters",
                "worse": f"{how} embeddings serve it better than the true ones",
                "undecided": "no evidence that what it retrieves matters",
                "untested": "not tested",
            }[f.outcome]
            sentences.append(f"{arm} against itself on {how} embeddings: {what} ({facts(f)}).")
    return sentences


def headline(verdicts: list[Verdict]) -> tuple[str, str]:
    """Return the outcome over all splits and its line."""
    judged = [v for v in verdicts if v.outcome != "none"]
    n = len(judged)
    if not n:
        return "none", "Nothing to compare: a trained arm and a simple baseline are needed."
    by = {kind: [v.split.name for v in judged if v.outcome == kind] for kind in
          ("model", "baseline", "open")}  # fmt: skip
    every = "the only split" if n == 1 else "both splits" if n == 2 else f"all {n} splits"
    if len(by["model"]) == n:
        return "model", f"A trained arm beats the best simple baseline on {every}."
    if len(by["baseline"]) == n:
        return "baseline", f"A simple baseline wins on {every}: every trained arm is worse."
    if by["model"]:
        rest = [name for name in by["baseline"] + by["open"]]
        return "open", (
            f"A trained arm beats the best simple baseline on {listed(by['model'])}; "
            f"none does on {listed(rest)}."
        )
    extra = f" On {listed(by['baseline'])} the baseline is clearly ahead." if by["baseline"] else ""
    return "baseline", f"No trained arm beats the best simple baseline on {every}.{extra}"
