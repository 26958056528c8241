"""``state_genept_residual``: ``ptrag_residual`` without its retrieval.

As ``state_genept``, but the network decodes factors of the control cell,
ŷ_s = x_s · log2(1 + e^y_s), and not a cell. What ``ptrag_residual`` is better by is what retrieval
adds to the perturbation's own vector.

Origin: this project, after the paper's baseline (arXiv 2603.07233).
"""

from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm
from ptrag.arms.options import fixed

if TYPE_CHECKING:
    from ptrag.arms.neural.networks import Network, Shapes


def build(options: dict[str, Any], model: dict[str, Any], shapes: "Shapes") -> "Network":
    """Return the network."""
    from ptrag.arms.neural.networks import Network

    fixed("state_genept_residual", options, rag=False, use_genept=True)
    return Network(model, shapes, head="factors")


ARM = Arm(
    name="state_genept_residual",
    family="neural",
    summary="The backbone on the perturbation's embedding; control cells times factors",
    origin="this project, after arXiv 2603.07233",
    build=build,
)
