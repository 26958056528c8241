"""``additive_singles``: two genes at once do what each does alone, added up.

δ̂(A+B, t) = δ̄(A, t) + δ̄(B, t), each single as measured in line t, else its mean over other lines
(:func:`ptrag.arms.simple.coefficients.additive_singles`). Where one single alone was measured, that
one; where none was, ``line_mean``. A note says so. A perturbation of one gene is the sum of one.

Deltas of both singles contain the shift that all perturbations of a line share, so their sum has
it twice; this is the bar as the literature sets it.

Origin: the additive model of double perturbations, Norman et al. 2019; baseline of
Ahlmann-Eltze et al. 2025.
"""

from typing import TYPE_CHECKING

from ptrag.arms.simple.arm import simple_arm
from ptrag.arms.simple.equation import Equation

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.fitted import Fitted

BACK_OFF = "no single is measured: line_mean"


def estimate(fitted: "Fitted", line: str, perturbation: str) -> "Estimate":
    """Add up what is measured of a pair's singles."""
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple import coefficients as simple

    responses = fitted.responses
    omega = simple.additive_singles(responses, line, perturbation, fitted.everything)
    genes = perturbation.split("+")
    missing = [gene for gene in genes if responses.number(gene) < 0]
    note = f"no single is measured of {' and '.join(missing)}" if missing else ""
    return Estimate(simple.mix(omega, responses.delta), note=BACK_OFF if missing == genes else note)


def knows(fitted: "Fitted", perturbation: str) -> bool:
    """Whether any single of the perturbation was trained on."""
    return any(fitted.responses.number(gene) >= 0 for gene in perturbation.split("+"))


EQUATION = Equation(estimate, knows)


ARM = simple_arm(
    name="additive_singles",
    equation=EQUATION,
    summary="Sum of the measured responses to each gene of a double",
    origin="additive model of double perturbations, Norman et al. 2019",
    reads_responses=True,
)
