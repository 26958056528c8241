"""``vanilla_rag``: candidates enter by cross-attention, replacing the input.

q_s = W_q (h_s + g_p), k_k = W_k g_k, v_k = W_v g_k; z_s = Σ_k softmax_k(q_s · k_k / √H) v_k
replaces h_s + g_p.

Origin: the paper's non-differentiable retrieval (arXiv 2603.07233).
"""

from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm
from ptrag.arms.options import fixed

if TYPE_CHECKING:
    from ptrag.arms.neural.networks import Network, Shapes


def build(options: dict[str, Any], model: dict[str, Any], shapes: "Shapes") -> "Network":
    """Return the network."""
    from ptrag.arms.neural.networks import Network
    from ptrag.arms.neural.refinement import CrossAttention

    fixed(
        "vanilla_rag", options, rag=True, retrieve_than_predict=True, differentiable_rag=False,
        use_genept=True, gumbel_sparsity_loss=False,
    )  # fmt: skip
    return Network(model, shapes, CrossAttention(model["hidden"]), residual=False)


ARM = Arm(
    name="vanilla_rag",
    family="neural",
    summary="Candidates by cross-attention, replacing the input",
    origin="arXiv 2603.07233, baseline",
    build=build,
)
