"""``state_genept``: the backbone on the perturbation's embedding, without retrieval.

As ``state``, with e_p in place of the one-hot.

Origin: the paper's baseline with GenePT vectors (arXiv 2603.07233).
"""

from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm
from ptrag.arms.options import fixed

if TYPE_CHECKING:
    from ptrag.arms.neural.networks import Network, Shapes


def build(options: dict[str, Any], model: dict[str, Any], shapes: "Shapes") -> "Network":
    """Return the network."""
    from ptrag.arms.neural.networks import Network

    fixed("state_genept", options, rag=False, use_genept=True)
    return Network(model, shapes)


ARM = Arm(
    name="state_genept",
    family="neural",
    summary="The backbone on the perturbation's embedding, without retrieval",
    origin="arXiv 2603.07233, baseline",
    build=build,
)
