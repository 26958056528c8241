"""``evidence_mean``: the mean of what was measured, each gene by how precisely it was.

δ̂_g(p, t) = Σ_i δ_ig / se_ig² / Σ_i 1 / se_ig² over the entries i of p in other lines; where
there is none, over those of its ``topk_rag`` nearest training perturbations by text
(:mod:`ptrag.arms.simple.evidence`), with a note; ``line_mean`` without either.

Origin: inverse-variance weighting; the evidence that PIE (Arc Institute) pools, without its
learning.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.cells.responses import Responses
    from ptrag.genes.embeddings import Embedding
    from ptrag.retrieval.index import Neighbours

NEIGHBOURS = "not trained on in another line: mean of its neighbours by text"
BACK_OFF = "not trained on in another line, and no vector: line_mean"


def fit(
    responses: "Responses",
    embedding: "Embedding",
    neighbours: "Neighbours",
    options: dict[str, Any],
) -> "Callable[[str, str], Estimate]":
    """Return the predictor; ``options["topk_rag"]`` is the number of neighbours."""
    from ptrag.arms.catalogue import line_mean
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.evidence import precise_mean, sources

    fallback = line_mean.fit(responses, embedding, neighbours, options)

    def predict(line: str, perturbation: str) -> Estimate:
        near, _ = neighbours.nearest(perturbation, options["topk_rag"])
        kinds = sources(responses, line, perturbation, near)
        if len(kinds["same"]):
            return Estimate(precise_mean(responses, kinds["same"]))
        if len(kinds["like"]):
            return Estimate(precise_mean(responses, kinds["like"]), note=NEIGHBOURS)
        return fallback(line, perturbation)._replace(note=BACK_OFF)

    return predict


ARM = Arm(
    name="evidence_mean",
    family="closed_form",
    summary="Mean of the perturbation's responses elsewhere, of each gene by its precision",
    origin="inverse-variance weighting; PIE's evidence without its learning",
    fit=fit,
    reads_responses=True,
)
