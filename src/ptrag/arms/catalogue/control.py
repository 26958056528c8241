"""``control``: the perturbation does nothing, δ̂ = 0 and ŷ = x.

Origin: the null prediction every benchmark of perturbation models starts from.
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
    """Return the predictor of no change."""
    import numpy as np

    from ptrag.arms.estimate import Estimate

    def predict(line: str, perturbation: str) -> Estimate:
        return Estimate(np.zeros(len(responses.genes)))

    return predict


ARM = Arm(
    name="control",
    family="closed_form",
    summary="No change: the control cells themselves",
    origin="null prediction",
    fit=fit,
)
