"""``vanilla_rag_residual``: candidates enter by cross-attention, added to the input.

As ``vanilla_rag``, with u_s = h_s + g_p + z_s: the control that the paper's comparison lacks,
where retrieval by attention is judged only after it has displaced the cell's own state.

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
    from ptrag.arms.neural.refinement import CrossAttention

    fixed(
        "vanilla_rag_residual", options, rag=True, retrieve_than_predict=True,
        differentiable_rag=False, use_genept=True, gumbel_sparsity_loss=False,
    )  # fmt: skip
    return Network(model, shapes, CrossAttention(model["hidden"]), residual=True)


ARM = Arm(
    name="vanilla_rag_residual",
    family="neural",
    summary="Candidates by cross-attention, added to the input",
    origin="this project, after arXiv 2603.07233",
    build=build,
)
