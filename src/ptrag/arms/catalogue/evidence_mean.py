"""``evidence_mean``: the mean of what was measured, each gene by how precisely it was.

δ̂_g(p, t) = Σ_i δ_ig / se_ig² / Σ_i 1 / se_ig² over the entries i of p in other lines; where
there is none, over those of its ``topk_rag`` nearest training perturbations by text
(:mod:`ptrag.arms.simple.evidence`), with a note; ``line_mean`` without either.

Origin: inverse-variance weighting; the evidence that PIE (Arc Institute) pools, without its
learning.
"""

from typing import TYPE_CHECKING

from ptrag.arms.simple.arm import simple_arm
from ptrag.arms.simple.equation import Equation, trained_on_or_near

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.fitted import Fitted

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


EQUATION = Equation(estimate, trained_on_or_near)


ARM = simple_arm(
    name="evidence_mean",
    equation=EQUATION,
    summary="Mean of the perturbation's responses elsewhere, of each gene by its precision",
    origin="inverse-variance weighting; PIE's evidence without its learning",
    keeps_neighbours=True,
    reads_responses=True,
)
