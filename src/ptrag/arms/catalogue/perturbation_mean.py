"""``perturbation_mean``: what the same perturbation does in other lines.

δ̂(p, t) = mean over the lines l ≠ t with a training pair of δ(p, l). A perturbation that was
trained on in no other line (every one, under ``unseen_perturbation``) gets ``line_mean``, and a
note.

Origin: the perturbation-mean baseline of State (Adduri et al. 2025).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.cells.responses import Responses

BACK_OFF = "not trained on in another line: line_mean"


def fit(
    responses: "Responses", embedding: Any, neighbours: Any, options: dict[str, Any]
) -> "Callable[[str, str], Estimate]":
    """Average the responses to each perturbation over the other lines."""
    from ptrag.arms.catalogue import line_mean
    from ptrag.arms.estimate import Estimate

    fallback = line_mean.fit(responses, embedding, neighbours, options)

    def predict(line: str, perturbation: str) -> Estimate:
        rows = responses.rows(perturbation=perturbation)
        rows = rows[responses.line_of[rows] != responses.lines.index(line)]
        if len(rows):
            return Estimate(responses.delta[rows].mean(axis=0))
        return fallback(line, perturbation)._replace(note=BACK_OFF)

    return predict


ARM = Arm(
    name="perturbation_mean",
    family="closed_form",
    summary="Mean delta of the perturbation over the other lines",
    origin="perturbation-mean baseline of State",
    fit=fit,
    reads_responses=True,
)
