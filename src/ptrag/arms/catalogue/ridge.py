"""``ridge``: from a perturbation's vector to its delta, linearly.

δ̂(p, t) = m_t + B (e_p − ē), with m_t the mean delta of the line's training perturbations
(``line_mean``) and B the ridge regression of what the lines have in common
(:class:`ptrag.arms.simple.ridge.Regression`), with the penalty of least squared error of exact
leave-one-out over perturbations. A perturbation without a vector gets ``line_mean``, and a note.

Origin: ridge regression on gene embeddings (Ahlmann-Eltze et al. 2025); leave-one-out as the
PRESS statistic of Allen 1974.
"""

from typing import TYPE_CHECKING, Any

from ptrag.arms.simple.arm import simple_arm
from ptrag.arms.simple.equation import Equation

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.fitted import Fitted
    from ptrag.cells.responses import Responses
    from ptrag.genes.embeddings import Embedding

BACK_OFF = "no vector: line_mean"


def estimate(fitted: "Fitted", line: str, perturbation: str) -> "Estimate":
    """Read a pair from its perturbation's vector."""
    from ptrag.arms.estimate import Estimate

    omega = fitted.regression.coefficients(line, perturbation, fitted.everything)
    note = "" if knows(fitted, perturbation) else BACK_OFF
    return Estimate(omega @ fitted.responses.delta, note=note)


def knows(fitted: "Fitted", perturbation: str) -> bool:
    """Whether the perturbation has a vector, and there is a regression."""
    return perturbation in fitted.text and len(fitted.regression.names) > 1


EQUATION = Equation(estimate, knows)


def fit(
    responses: "Responses", embedding: "Embedding", neighbours: Any, options: dict[str, Any]
) -> "Fitted":
    """Choose the penalty."""
    from ptrag.arms.simple.fitted import Fitted
    from ptrag.arms.simple.ridge import fit_penalty
    from ptrag.retrieval.similarity import TextSimilarity

    text = TextSimilarity(embedding, responses.perturbations)
    return Fitted(EQUATION, responses, text, penalty=fit_penalty(responses, text))


ARM = simple_arm(
    name="ridge",
    equation=EQUATION,
    summary="Ridge regression from the perturbation's vector to its delta, plus the line's mean",
    origin="linear baseline on gene embeddings, Ahlmann-Eltze et al. 2025",
    fit=fit,
    reads_responses=True,
)
