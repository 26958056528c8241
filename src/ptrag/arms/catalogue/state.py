"""``state``: the backbone on a one-hot perturbation, without retrieval.

u_s = W_x x_s + b_x + W_e onehot(p) + b_e + batch embedding; ŷ_s = ReLU(W_o (T(u)_s + h_s) + b_o).
A perturbation that was never trained on has the zero one-hot: the arm then predicts a shift
that all perturbations share.

Origin: the paper's baseline (arXiv 2603.07233), after State (Adduri et al. 2025).
"""

from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm
from ptrag.arms.options import fixed

if TYPE_CHECKING:
    from ptrag.arms.neural.networks import Network, Shapes


def build(options: dict[str, Any], model: dict[str, Any], shapes: "Shapes") -> "Network":
    """Return the network."""
    from ptrag.arms.neural.networks import Network

    fixed("state", options, rag=False, use_genept=False)
    return Network(model, shapes)


ARM = Arm(
    name="state",
    family="neural",
    summary="The backbone on a one-hot perturbation, without retrieval",
    origin="arXiv 2603.07233, baseline; after State (2025)",
    build=build,
)
