"""``evidence_mean``: the mean of what was measured, each gene by how precisely it was.

δ̂_g(p, t) = Σ_i δ_ig / se_ig² / Σ_i 1 / se_ig² over the entries i of p in other lines; where
there is none, over those of its ``topk_rag`` nearest training perturbations by text
(:mod:`ptrag.arms.simple.evidence`), with a note; ``line_mean`` without either.

Origin: inverse-variance weighting; the evidence that PIE (Arc Institute) pools, without its
learning.
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

NEIGHBOURS = "not trained on in another line: mean of its neighbours by text"
BACK_OFF = "not trained on in another line, and no vector: line_mean"


def estimate(fitted: "Fitted", line: str, perturbation: str) -> "Estimate":
    """Pool what was measured of a pair's perturbation, or of its neighbours."""
    from ptrag.arms.catalogue import line_mean
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.evidence import precise_mean, sources

    responses = fitted.responses
    near, _ = fitted.neighbours.nearest(perturbation, fitted.k)
    kinds = sources(responses, line, perturbation, near)
    if len(kinds["same"]):
        return Estimate(precise_mean(responses, kinds["same"]))
    if len(kinds["like"]):
        return Estimate(precise_mean(responses, kinds["like"]), note=NEIGHBOURS)
    return line_mean.estimate(fitted, line, perturbation)._replace(note=BACK_OFF)


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
    name="evidence_mean",
    equation=EQUATION,
    summary="Mean of the perturbation's responses elsewhere, of each gene by its precision",
    origin="inverse-variance weighting; PIE's evidence without its learning",
    fit=fit,
    reads_responses=True,
)
