"""``knn``: what the nearest perturbations by text do, without any learning.

δ̂(p, t) = Σ_q s⁺(p, q) δ̄(q, t) / Σ_q s⁺(p, q) over the ``topk_rag`` nearest training
perturbations q of the index, s⁺ the positive part of the cosine; δ̄(q, t) is δ(q, t) where that
was trained on, else the mean of q's deltas in other lines
(:func:`ptrag.arms.simple.coefficients.knn`). A perturbation without a vector gets ``line_mean``,
and a note.

Origin: nearest-neighbour regression (Nadaraya 1964, Watson 1964) on stage one of PT-RAG.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.cells.responses import Responses
    from ptrag.genes.embeddings import Embedding
    from ptrag.retrieval.index import Neighbours

BACK_OFF = "no vector: line_mean"


def fit(
    responses: "Responses",
    embedding: "Embedding",
    neighbours: "Neighbours",
    options: dict[str, Any],
) -> "Callable[[str, str], Estimate]":
    """Return the predictor; ``options["topk_rag"]`` is the number of neighbours."""
    import numpy as np

    from ptrag.arms.estimate import Candidate, Estimate
    from ptrag.arms.simple import coefficients as simple

    everything = np.ones(len(responses.entries), bool)

    def mean(line: str, names: list[str], similarity: np.ndarray) -> np.ndarray:
        return simple.knn(responses, line, names, similarity, everything) @ responses.delta

    def predict(line: str, perturbation: str) -> Estimate:
        if perturbation not in neighbours:
            return Estimate(mean(line, [], np.zeros(0)), note=BACK_OFF)
        names, similarity = neighbours.nearest(perturbation, options["topk_rag"])
        positive = np.maximum(similarity, 0.0)
        candidates = tuple(
            Candidate(
                name,
                "",
                similarity[k],
                positive[k] / max(positive.sum(), 1e-300),
                mean(line, names[:k] + names[k + 1 :], np.delete(similarity, k)),
            )
            for k, name in enumerate(names)
        )
        return Estimate(mean(line, names, similarity), candidates)

    return predict


ARM = Arm(
    name="knn",
    family="closed_form",
    summary="Similarity-weighted mean of the deltas of the nearest perturbations by text",
    origin="nearest-neighbour regression on stage one of PT-RAG",
    fit=fit,
    reads_responses=True,
)
