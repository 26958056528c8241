"""``ptrag_residual``: the published refinement with its inference and its cells mended.

As ``ptrag``, but z_s is added to h_s + g_p; the logits of a cell are divided by the standard
deviation of that cell's own K × 2 logits; and at inference a gate is its exact expectation,
σ(a_include − a_exclude), the probability with which a hard two-way Gumbel choice is taken
whatever τ. A prediction is then the same whatever it is batched with and whatever the seed.
The network decodes factors of the control cell, ŷ_s = x_s · log2(1 + e^y_s), and not a cell, so
that predicted cells vary as real ones do.

Origin: this project.
"""

from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm
from ptrag.arms.options import fixed

if TYPE_CHECKING:
    from ptrag.arms.neural.networks import Network, Shapes


def build(options: dict[str, Any], model: dict[str, Any], shapes: "Shapes") -> "Network":
    """Return the network."""
    from ptrag.arms.neural.networks import Network
    from ptrag.arms.neural.refinement import GumbelRefinement

    fixed(
        "ptrag_residual", options, rag=True, retrieve_than_predict=True, differentiable_rag=True,
        use_genept=True, published=False,
    )  # fmt: skip
    refinement = GumbelRefinement(model["hidden"], model["dropout"], published=False)
    return Network(model, shapes, refinement, residual=True, head="factors")


ARM = Arm(
    name="ptrag_residual",
    family="neural",
    summary="Refined retrieval added to the input, exact at inference; control cells times factors",
    origin="this project, after arXiv 2603.07233",
    build=build,
)
