"""``ptrag``: retrieval refined by a Gumbel choice per cell, as published.

For control cell s and candidate k: c = LayerNorm([h_s ; g_p ; g_k]), two logits
a = W_2 drop(GELU(W_1 c + b_1)) + b_2, divided by their standard deviation over the whole batch;
the gate w_sk is the include column of a hard straight-through Gumbel-softmax (τ = 0.5), with
noise at inference too; z_s = Σ_k w_sk (W_f c_sk + b_f) replaces h_s + g_p.

The sets of one pair are one batch at inference, so what a prediction shares its standard
deviation with is defined; the other defects of the published form stand: it depends on the
seed of its noise, and z = 0 where nothing is chosen. ``ptrag_residual`` mends them.

Origin: PT-RAG (arXiv 2603.07233).
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
        "ptrag", options, rag=True, retrieve_than_predict=True, differentiable_rag=True,
        use_genept=True, published=True,
    )  # fmt: skip
    refinement = GumbelRefinement(model["hidden"], model["dropout"], published=True)
    return Network(model, shapes, refinement, residual=False)


ARM = Arm(
    name="ptrag",
    family="neural",
    summary="Retrieval refined by a Gumbel choice per cell, as published",
    origin="arXiv 2603.07233",
    build=build,
)
