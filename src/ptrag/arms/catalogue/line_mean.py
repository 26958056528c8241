"""``line_mean``: what perturbations do in this line on average.

δ̂(p, t) = mean over the training perturbations q of line t of δ(q, t): the systematic shift
that all perturbations of a screen share. A line without training perturbations gets the mean
over all entries, and a note.

Origin: the mean baseline of Ahlmann-Eltze et al. 2025; systematic variation in Systema
(Viñas Torné et al. 2025).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.cells.responses import Responses


def fit(
    responses: "Responses", embedding: Any, neighbours: Any, options: dict[str, Any]
) -> "Callable[[str, str], Estimate]":
    """Average the responses of each line."""
    from ptrag.arms.estimate import Estimate

    means = {
        line: responses.delta[rows].mean(axis=0)
        for line in responses.lines
        if len(rows := responses.rows(line))
    }
    overall = responses.delta.mean(axis=0)

    def predict(line: str, perturbation: str) -> Estimate:
        if line in means:
            return Estimate(means[line])
        return Estimate(overall, note="no training pair in the line: mean of all lines")

    return predict


ARM = Arm(
    name="line_mean",
    family="closed_form",
    summary="Mean delta of the line's training perturbations",
    origin="mean baseline; Systema's systematic shift",
    fit=fit,
    reads_responses=True,
)
