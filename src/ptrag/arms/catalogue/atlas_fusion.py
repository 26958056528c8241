"""``atlas_fusion``: responses of other sources, fused with fixed weights; nothing is fitted.

δ̂(p, t) = m_t + x, with m_t the mean of the line's entries (``line_mean``) and x what the sources
say beyond their own lines' means: the same perturbation in other lines, and its ``topk_rag``
nearest training perturbations by text, each entry shrunk by a prior count of cells, each kind of
source with a fixed weight, no gene beyond a cap (:func:`ptrag.arms.simple.evidence.fused`).

Origin: the recipe of AtlasShift, an entry of the Virtual Cell Challenge 2026, as its authors
describe it; the constants are ours.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.cells.responses import Responses
    from ptrag.genes.embeddings import Embedding
    from ptrag.retrieval.index import Neighbours

BACK_OFF = "not trained on in another line, and no vector: line_mean"


def fit(
    responses: "Responses",
    embedding: "Embedding",
    neighbours: "Neighbours",
    options: dict[str, Any],
) -> "Callable[[str, str], Estimate]":
    """Return the predictor; ``options["topk_rag"]`` is the number of neighbours."""
    from ptrag.arms.catalogue import line_mean
    from ptrag.arms.simple.evidence import fused, sources

    base = line_mean.fit(responses, embedding, neighbours, options)

    def predict(line: str, perturbation: str) -> "Estimate":
        mean = base(line, perturbation)
        near, _ = neighbours.nearest(perturbation, options["topk_rag"])
        kinds = sources(responses, line, perturbation, near)
        if not any(map(len, kinds.values())):
            return mean._replace(note=BACK_OFF)
        return mean._replace(delta=mean.delta + fused(responses, kinds))

    return predict


ARM = Arm(
    name="atlas_fusion",
    family="closed_form",
    summary="Responses of other lines and neighbours, shrunk by cells, fused with fixed weights",
    origin="recipe of AtlasShift (Virtual Cell Challenge 2026)",
    fit=fit,
    reads_responses=True,
)
