"""``control``: the perturbation does nothing, δ̂ = 0 and ŷ = x.

Origin: the null prediction every benchmark of perturbation models starts from.
"""

from typing import TYPE_CHECKING

from ptrag.arms.simple.arm import simple_arm
from ptrag.arms.simple.equation import Equation

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.fitted import Fitted


def estimate(fitted: "Fitted", line: str, perturbation: str) -> "Estimate":
    """Predict no change."""
    import numpy as np

    from ptrag.arms.estimate import Estimate

    return Estimate(np.zeros(len(fitted.responses.genes)))


EQUATION = Equation(estimate)


ARM = simple_arm(
    name="control",
    equation=EQUATION,
    summary="No change: the control cells themselves",
    origin="null prediction",
)
