"""Which arm to use for what a split holds out: decided from its claims, and from nothing else.

A model is recommended where it beats every simple baseline, a simple baseline where it beats every
model. Where nothing is decided, the simple baseline of best mean is named, since it costs nothing
and no model was shown to be better; where nothing could have been decided, no arm is.
"""

from dataclasses import dataclass

from ptrag.comparison.claims import AgainstBaselines, Outcome, SplitClaims


@dataclass(frozen=True)
class Recommendation:
    """What to use for the pairs that a split holds out.

    Attributes
    ----------
    outcome
        Outcome of the split, on which the recommendation rests.
    arm
        The arm to use; None where nothing could be decided.
    leader
        The model that is followed, on the deciding metric; None where no model ran.
    better, worse, undecided
        Of the trusted primary metrics after the deciding one: those in which the leader beats every
        simple baseline, is worse than one, or neither.
    untrusted
        Primary metrics in which nothing can be claimed.
    """

    outcome: Outcome
    arm: str | None
    leader: AgainstBaselines | None
    better: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    untrusted: tuple[str, ...] = ()


def recommend(claims: SplitClaims) -> Recommendation:
    """Return which arm to use for what the split of ``claims`` holds out."""
    leader, outcome = claims.leader, claims.outcome
    arm = {
        "model": leader.arm if leader else None,
        "baseline": claims.winning_baseline,
        "open": claims.first(claims.metric, "baseline"),
    }.get(outcome)
    others = {"better": [], "worse": [], "undecided": []}
    for row in claims.followed:
        if row.metric != claims.metric:
            others[row.standing].append(row.metric)
    return Recommendation(
        outcome, arm, leader,
        **{standing: tuple(metrics) for standing, metrics in others.items()},
        untrusted=tuple(m for m in claims.primary if m not in claims.trusted),
    )  # fmt: skip


def pages_of(claims: SplitClaims) -> list[str]:
    """Return the arms whose prediction of every single pair is shown: recommended, then leading."""
    advice = recommend(claims)
    leading = advice.leader.arm if advice.leader else claims.first(claims.metric, "model")
    arms = [advice.arm, leading] if advice.arm or leading else [
        claims.first(claims.metric, "baseline")
    ]  # fmt: skip
    return list(dict.fromkeys(arm for arm in arms if arm))
