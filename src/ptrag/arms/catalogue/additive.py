"""``additive``: a perturbation's effect plus a line's effect, by least squares.

δ̂(p, t) = α_p + β_t, with α and β minimising Σ over training pairs of ‖δ(q, l) − α_q − β_l‖²
(:func:`ptrag.arms.simple.coefficients.additive`). A perturbation that was not trained on (every
one, under ``unseen_perturbation``) has no α: it gets ``line_mean``, and a note.

Origin: the additive baseline of Ahlmann-Eltze et al. 2025; two-way analysis of variance.
"""

from typing import TYPE_CHECKING

from ptrag.arms.simple.arm import simple_arm
from ptrag.arms.simple.equation import Equation, trained_on

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.fitted import Fitted

BACK_OFF = "not trained on in any line: line_mean"


def estimate(fitted: "Fitted", line: str, perturbation: str) -> "Estimate":
    """Solve the least squares of a pair."""
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple import coefficients as simple

    responses = fitted.responses
    omega = simple.additive(responses, line, perturbation, fitted.everything)
    note = "" if trained_on(fitted, perturbation) else BACK_OFF
    return Estimate(omega @ responses.delta, note=note)


EQUATION = Equation(estimate, trained_on)


ARM = simple_arm(
    name="additive",
    equation=EQUATION,
    summary="Perturbation effect plus line effect, by least squares",
    origin="additive baseline of Ahlmann-Eltze et al. 2025",
    reads_responses=True,
)
