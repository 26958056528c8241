"""``atlas_fusion``: responses of other sources, fused with fixed weights; nothing is fitted.

δ̂(p, t) = m_t + x, with m_t the mean of the line's entries (``line_mean``) and x what the sources
say beyond their own lines' means: the same perturbation in other lines, and its ``topk_rag``
nearest training perturbations by text, each entry shrunk by a prior count of cells, each kind of
source with a fixed weight, no gene beyond a cap (:func:`ptrag.arms.simple.evidence.fused`).

Origin: the recipe of AtlasShift, an entry of the Virtual Cell Challenge 2026, as its authors
describe it; the constants are ours.
"""

from typing import TYPE_CHECKING, Any

from ptrag.arms.simple.arm import simple_arm
from ptrag.arms.simple.equation import Equation

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.fitted import Fitted
    from ptrag.cells.responses import Responses
    from ptrag.genes.embeddings import Embedding
    from ptrag.retrieval.index import Neighbours

BACK_OFF = "not trained on in another line, and no vector: line_mean"


def estimate(fitted: "Fitted", line: str, perturbation: str) -> "Estimate":
    """Fuse what other lines and neighbours say beyond the line's mean."""
    from ptrag.arms.catalogue import line_mean
    from ptrag.arms.simple.evidence import fused, sources

    mean = line_mean.estimate(fitted, line, perturbation)
    near, _ = fitted.neighbours.nearest(perturbation, fitted.k)
    kinds = sources(fitted.responses, line, perturbation, near)
    if not any(map(len, kinds.values())):
        return mean._replace(note=BACK_OFF)
    return mean._replace(delta=mean.delta + fused(fitted.responses, kinds))


def knows(fitted: "Fitted", perturbation: str) -> bool:
    """Whether the perturbation was trained on, or has neighbours."""
    return fitted.responses.number(perturbation) >= 0 or perturbation in fitted.neighbours


EQUATION = Equation(estimate, knows)


def fit(
    responses: "Responses",
    embedding: "Embedding",
    neighbours: "Neighbours",
    options: dict[str, Any],
) -> "Fitted":
    """Keep responses and neighbours; ``options["topk_rag"]`` is the number that counts."""
    from ptrag.arms.simple.fitted import Fitted

    return Fitted(EQUATION, responses, neighbours=neighbours, k=options["topk_rag"])


ARM = simple_arm(
    name="atlas_fusion",
    equation=EQUATION,
    summary="Responses of other lines and neighbours, shrunk by cells, fused with fixed weights",
    origin="recipe of AtlasShift (Virtual Cell Challenge 2026)",
    fit=fit,
    reads_responses=True,
)
