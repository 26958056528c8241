"""``additive``: a perturbation's effect plus a line's effect, by least squares.

δ̂(p, t) = α_p + β_t, with α and β minimising Σ over training pairs of ‖δ(q, l) − α_q − β_l‖²
(:func:`ptrag.arms.simple.coefficients.additive`). A perturbation that was not trained on (every
one, under ``unseen_perturbation``) has no α: it gets ``line_mean``, and a note.

Origin: the additive baseline of Ahlmann-Eltze et al. 2025; two-way analysis of variance.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.cells.responses import Responses

BACK_OFF = "not trained on in any line: line_mean"


def fit(
    responses: "Responses", embedding: Any, neighbours: Any, options: dict[str, Any]
) -> "Callable[[str, str], Estimate]":
    """Return the predictor; its least squares are solved per pair."""
    import numpy as np

    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple import coefficients as simple

    everything = np.ones(len(responses.entries), bool)

    def predict(line: str, perturbation: str) -> Estimate:
        omega = simple.additive(responses, line, perturbation, everything)
        known = responses.measures(perturbation, everything)
        return Estimate(omega @ responses.delta, note="" if known else BACK_OFF)

    return predict


ARM = Arm(
    name="additive",
    family="closed_form",
    summary="Perturbation effect plus line effect, by least squares",
    origin="additive baseline of Ahlmann-Eltze et al. 2025",
    fit=fit,
    reads_responses=True,
)
