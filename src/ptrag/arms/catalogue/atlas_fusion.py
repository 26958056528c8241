"""``atlas_fusion``: responses of other sources, fused with fixed weights; nothing is fitted.

δ̂(p, t) = m_t + x, with m_t the mean of the line's entries (``line_mean``) and x what the sources
say beyond their own lines' means: the same perturbation in other lines, and its ``topk_rag``
nearest training perturbations by text, each entry shrunk by a prior count of cells, each kind of
source with a fixed weight, no gene beyond a cap (:func:`ptrag.arms.simple.evidence.fused`).

Origin: the recipe of AtlasShift, an entry of the Virtual Cell Challenge 2026, as its authors
describe it; the constants are ours.
"""

from typing import TYPE_CHECKING

from ptrag.arms.simple.arm import simple_arm
from ptrag.arms.simple.equation import Equation, trained_on_or_near

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.fitted import Fitted

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


EQUATION = Equation(estimate, trained_on_or_near)


ARM = simple_arm(
    name="atlas_fusion",
    equation=EQUATION,
    summary="Responses of other lines and neighbours, shrunk by cells, fused with fixed weights",
    origin="recipe of AtlasShift (Virtual Cell Challenge 2026)",
    keeps_neighbours=True,
    reads_responses=True,
)
