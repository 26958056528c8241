"""``knn``: what the nearest perturbations by text do, without any learning.

δ̂(p, t) = Σ_q s⁺(p, q) δ̄(q, t) / Σ_q s⁺(p, q) over the ``topk_rag`` nearest training
perturbations q of the index, s⁺ the positive part of the cosine; δ̄(q, t) is δ(q, t) where that
was trained on, else the mean of q's deltas in other lines
(:func:`ptrag.arms.simple.coefficients.knn`). A perturbation without a vector gets ``line_mean``,
and a note.

Origin: nearest-neighbour regression (Nadaraya 1964, Watson 1964) on stage one of PT-RAG.
"""

from typing import TYPE_CHECKING

from ptrag.arms.simple.arm import simple_arm
from ptrag.arms.simple.equation import Equation

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.fitted import Fitted

BACK_OFF = "no vector: line_mean"


def estimate(fitted: "Fitted", line: str, perturbation: str) -> "Estimate":
    """Average what the nearest perturbations do."""
    import numpy as np

    from ptrag.arms.estimate import Candidate, Estimate
    from ptrag.arms.simple import coefficients as simple

    responses = fitted.responses

    def mean(names: list[str], similarity: np.ndarray) -> np.ndarray:
        omega = simple.knn(responses, line, names, similarity, fitted.everything)
        return simple.mix(omega, responses.delta)

    if not knows(fitted, perturbation):
        return Estimate(mean([], np.zeros(0)), note=BACK_OFF)
    names, similarity = fitted.neighbours.nearest(perturbation, fitted.k)
    positive = np.maximum(similarity, 0.0)
    candidates = tuple(
        Candidate(
            name,
            "",
            similarity[k],
            positive[k] / max(positive.sum(), 1e-300),
            mean(names[:k] + names[k + 1 :], np.delete(similarity, k)),
        )
        for k, name in enumerate(names)
    )
    return Estimate(mean(names, similarity), candidates)


def knows(fitted: "Fitted", perturbation: str) -> bool:
    """Whether the perturbation has neighbours."""
    return perturbation in fitted.neighbours


EQUATION = Equation(estimate, knows)


ARM = simple_arm(
    name="knn",
    equation=EQUATION,
    summary="Similarity-weighted mean of the deltas of the nearest perturbations by text",
    origin="nearest-neighbour regression on stage one of PT-RAG",
    keeps_neighbours=True,
    reads_responses=True,
)
