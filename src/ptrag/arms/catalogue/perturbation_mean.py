"""``perturbation_mean``: what the same perturbation does in other lines.

δ̂(p, t) = mean over the lines l ≠ t with a training pair of δ(p, l). A perturbation that was
trained on in no other line (every one, under ``unseen_perturbation``) gets ``line_mean``, and a
note.

Origin: the perturbation-mean baseline of State (Adduri et al. 2025).
"""

from typing import TYPE_CHECKING

from ptrag.arms.simple.arm import simple_arm
from ptrag.arms.simple.equation import Equation, trained_on

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.fitted import Fitted

BACK_OFF = "not trained on in another line: line_mean"


def estimate(fitted: "Fitted", line: str, perturbation: str) -> "Estimate":
    """Average the responses to the perturbation over the other lines."""
    from ptrag.arms.catalogue import line_mean
    from ptrag.arms.estimate import Estimate

    responses = fitted.responses
    rows = responses.rows(perturbation=perturbation)
    rows = rows[responses.line_of[rows] != responses.lines.index(line)]
    if len(rows):
        return Estimate(responses.delta[rows].mean(axis=0))
    return line_mean.estimate(fitted, line, perturbation)._replace(note=BACK_OFF)


EQUATION = Equation(estimate, trained_on)


ARM = simple_arm(
    name="perturbation_mean",
    equation=EQUATION,
    summary="Mean delta of the perturbation over the other lines",
    origin="perturbation-mean baseline of State",
    reads_responses=True,
)
