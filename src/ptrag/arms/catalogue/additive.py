"""``additive``: a perturbation's effect plus a line's effect, by least squares.

δ̂(p, t) = α_p + β_t, with α and β minimising Σ over training pairs of ‖δ(q, l) − α_q − β_l‖²
(:func:`ptrag.arms.simple.coefficients.additive`). A perturbation that was not trained on (every
one, under ``unseen_perturbation``) has no α: it gets ``line_mean``, and a note.

Origin: the additive baseline of Ahlmann-Eltze et al. 2025; two-way analysis of variance.
"""

from typing import TYPE_CHECKING, Any

from ptrag.arms.simple.arm import simple_arm
from ptrag.arms.simple.equation import Equation

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.fitted import Fitted
    from ptrag.cells.responses import Responses

BACK_OFF = "not trained on in any line: line_mean"


def estimate(fitted: "Fitted", line: str, perturbation: str) -> "Estimate":
    """Solve the least squares of a pair."""
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple import coefficients as simple

    responses = fitted.responses
    omega = simple.additive(responses, line, perturbation, fitted.everything)
    note = "" if knows(fitted, perturbation) else BACK_OFF
    return Estimate(omega @ responses.delta, note=note)


def knows(fitted: "Fitted", perturbation: str) -> bool:
    """Whether the perturbation was trained on in any line."""
    return fitted.responses.number(perturbation) >= 0


EQUATION = Equation(estimate, knows)


def fit(
    responses: "Responses", embedding: Any, neighbours: Any, options: dict[str, Any]
) -> "Fitted":
    """Keep the responses."""
    from ptrag.arms.simple.fitted import Fitted

    return Fitted(EQUATION, responses)


ARM = simple_arm(
    name="additive",
    equation=EQUATION,
    summary="Perturbation effect plus line effect, by least squares",
    origin="additive baseline of Ahlmann-Eltze et al. 2025",
    fit=fit,
    reads_responses=True,
)
