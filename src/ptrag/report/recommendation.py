"""The first lines of the page: which arm to use, in words that need no glossary."""

from ptrag.base.errors import PtragError
from ptrag.comparison.contrasts import Contrast
from ptrag.comparison.recommendation import Recommendation, recommend
from ptrag.report.gather import SplitView
from ptrag.report.numbers import counted, decimals, difference_in_words, listed, number
from ptrag.report.words import words

FOR = {
    "unseen_combination": "For genes that were perturbed in another line but not in {}",
    "unseen_perturbation": "For new genes, perturbed in no line",
    "unseen_line": "For {}, a line of which only control cells are known",
    "unseen_double": "For pairs of genes that were not perturbed together",
}
"""What each protocol holds out, as a user asks for it; {} is the target line."""


def advice(split: SplitView) -> str:
    """Say which arm to use for what a split holds out, what it gains, and what is not decided."""
    claims, recommended = split.claims, recommend(split.claims)
    if split.protocol not in FOR:
        raise PtragError(f"split.json of {split.name}: no protocol is called {split.protocol!r}")
    start = FOR[split.protocol].format(split.target)
    leader = recommended.leader
    if leader is None:
        return f"{start}: no recommendation, since no model was held against a simple baseline."
    if recommended.outcome == "untrusted":
        return (
            f"{start}: no recommendation. Even a repetition of the experiment is not clearly "
            "nearer to the measured cells than the mean of all perturbations, so that nothing can "
            f"be compared on these {counted(len(split.pairs), 'pair')}."
        )
    if recommended.outcome == "undecidable":
        return (
            f"{start}: no recommendation. Too few perturbations were measured to decide anything "
            f"({leader.hardest.n_perturbations})."
        )
    means = claims.means(claims.metric)
    if recommended.outcome == "model":
        gain = _gain(leader.hardest, means[leader.arm], means[leader.hardest.against])
        return f"{start}: use {leader.arm}. {gain} {_others(recommended)}".strip()
    if recommended.outcome == "baseline":
        return (
            f"{start}: use {recommended.arm}, a simple baseline. It is better than every model "
            "that ran."
        )
    reached = (
        f"{leader.arm} has not been trained to its plateau"
        if leader.improving
        else f"the best mean of a model is that of {leader.arm}"
    )
    return (
        f"{start}: nothing is decided. No model was shown to be better than the simple baselines, "
        f"of which {recommended.arm} has the best mean; {reached}."
    )


def _gain(contrast: Contrast, mean: float, against: float) -> str:
    """Say what an arm gains over the best simple baseline."""
    shown = decimals([mean, against])
    return (
        f"It gains {difference_in_words(contrast)} in {words(contrast.metric).label} over "
        f"{contrast.against}, the best of the simple baselines ({number(mean, shown)} against "
        f"{number(against, shown)})."
    )


def _others(recommended: Recommendation) -> str:
    """Say how the recommended model stands by the other primary metrics."""
    parts = []
    if recommended.better:
        parts.append(f"It is also better by {_labels(recommended.better)}.")
    if recommended.worse:
        parts.append(f"It is worse than a simple baseline by {_labels(recommended.worse)}.")
    if recommended.undecided:
        parts.append(f"Nothing is decided by {_labels(recommended.undecided)}.")
    if recommended.untrusted:
        parts.append(
            f"On these pairs {_labels(recommended.untrusted)} cannot tell good predictions from "
            "bad ones."
        )
    return " ".join(parts)


def _labels(metrics: tuple[str, ...]) -> str:
    return listed(words(metric).label for metric in metrics)
