"""``ridge``: from a perturbation's vector to its delta, linearly.

δ̂(p, t) = m_t + B (e_p − ē), with m_t the mean delta of the line's training perturbations
(``line_mean``) and B the ridge regression of what the lines have in common
(:class:`ptrag.arms.simple.ridge.Regression`), with the penalty of least squared error of exact
leave-one-out over perturbations. A perturbation without a vector gets ``line_mean``, and a note.

Origin: ridge regression on gene embeddings (Ahlmann-Eltze et al. 2025); leave-one-out as the
PRESS statistic of Allen 1974.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.cells.responses import Responses
    from ptrag.genes.embeddings import Embedding

BACK_OFF = "no vector: line_mean"


def fit(
    responses: "Responses", embedding: "Embedding", neighbours: Any, options: dict[str, Any]
) -> "Callable[[str, str], Estimate]":
    """Choose the penalty and return the predictor."""
    import numpy as np

    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.ridge import Regression, fit_penalty
    from ptrag.retrieval.similarity import TextSimilarity

    text = TextSimilarity(embedding, responses.perturbations)
    regression = Regression(responses, text, fit_penalty(responses, text))
    everything = np.ones(len(responses.entries), bool)

    def predict(line: str, perturbation: str) -> Estimate:
        omega = regression.coefficients(line, perturbation, everything)
        note = "" if perturbation in text and len(regression.names) > 1 else BACK_OFF
        return Estimate(omega @ responses.delta, note=note)

    return predict


ARM = Arm(
    name="ridge",
    family="closed_form",
    summary="Ridge regression from the perturbation's vector to its delta, plus the line's mean",
    origin="linear baseline on gene embeddings, Ahlmann-Eltze et al. 2025",
    fit=fit,
    reads_responses=True,
)
