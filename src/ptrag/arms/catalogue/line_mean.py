"""``line_mean``: what perturbations do in this line on average.

δ̂(p, t) = mean over the training perturbations q of line t of δ(q, t): the systematic shift
that all perturbations of a screen share. A line without training perturbations gets the mean
over all entries, and a note.

Origin: the mean baseline of Ahlmann-Eltze et al. 2025; systematic variation in Systema
(Viñas Torné et al. 2025).
"""

from typing import TYPE_CHECKING

from ptrag.arms.simple.arm import simple_arm
from ptrag.arms.simple.equation import Equation

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.fitted import Fitted


NO_ENTRY = "no training pair in the line: mean of all lines"


def estimate(fitted: "Fitted", line: str, perturbation: str) -> "Estimate":
    """Average the responses of the line."""
    from ptrag.arms.estimate import Estimate

    responses = fitted.responses
    rows = responses.rows(line)
    if len(rows):
        return Estimate(responses.delta[rows].mean(axis=0))
    return Estimate(responses.delta.mean(axis=0), note=NO_ENTRY)


EQUATION = Equation(estimate)


ARM = simple_arm(
    name="line_mean",
    equation=EQUATION,
    summary="Mean delta of the line's training perturbations",
    origin="mean baseline; Systema's systematic shift",
    reads_responses=True,
)
