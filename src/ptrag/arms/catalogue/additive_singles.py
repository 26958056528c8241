"""``additive_singles``: two genes at once do what each does alone, added up.

δ̂(A+B, t) = δ̄(A, t) + δ̄(B, t), each single as measured in line t, else its mean over other lines
(:func:`ptrag.arms.simple.coefficients.additive_singles`). Where one single alone was measured, that
one; where none was, ``line_mean``. A note says so. A perturbation of one gene is the sum of one.

Deltas of both singles contain the shift that all perturbations of a line share, so their sum has
it twice; this is the bar as the literature sets it.

Origin: the additive model of double perturbations, Norman et al. 2019; baseline of
Ahlmann-Eltze et al. 2025.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.cells.responses import Responses

BACK_OFF = "no single is measured: line_mean"


def fit(
    responses: "Responses", embedding: Any, neighbours: Any, options: dict[str, Any]
) -> "Callable[[str, str], Estimate]":
    """Return the predictor; there is nothing to fit."""
    import numpy as np

    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple import coefficients as simple

    everything = np.ones(len(responses.entries), bool)

    def predict(line: str, perturbation: str) -> Estimate:
        omega = simple.additive_singles(responses, line, perturbation, everything)
        genes = perturbation.split("+")
        missing = [g for g in genes if not responses.measures(g, everything)]
        note = f"no single is measured of {' and '.join(missing)}" if missing else ""
        return Estimate(omega @ responses.delta, note=BACK_OFF if missing == genes else note)

    return predict


ARM = Arm(
    name="additive_singles",
    family="closed_form",
    summary="Sum of the measured responses to each gene of a double",
    origin="additive model of double perturbations, Norman et al. 2019",
    fit=fit,
    reads_responses=True,
)
