"""``response_rag``: retrieval of measured responses, and a gated neural residual to it.

ŷ_s = ReLU(b_s + γ (W_o (T(u)_s + h_s) + b_o)),  u_s = W_x x_s + b_x + W_δ δ̂ + b_δ + batch
embedding, where δ̂ = Σ_c ω_c δ_c is what ``response_expert`` expects of the pair from measured
responses and b_s are the control cells moved by it. γ is 0 at the start: the untrained arm is
its expert, and validation keeps that unless training betters it by more than a standard error and
worsens no metric (where cells are sparse, the residual nears their distribution at the price of
their mean). In training, δ̂ of a pair is the leave-one-out one. Nothing is drawn at inference.

No screen is known on which it is ahead of ``response_expert``, nor do three other designs of the
residual gain (docs/response-expert.md): use the expert.

Evidence: per candidate its coefficient ω_c, and the change of the prediction without it.

Origin: this project.
"""

from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm
from ptrag.arms.catalogue import response_expert
from ptrag.arms.options import fixed

if TYPE_CHECKING:
    from ptrag.arms.neural.networks import Network, Shapes


def build(options: dict[str, Any], model: dict[str, Any], shapes: "Shapes") -> "Network":
    """Return the residual network; its features of a pair are the expert's δ̂."""
    from ptrag.arms.neural.networks import Network

    fixed("response_rag", options, rag=True, use_genept=True)
    return Network(model, shapes, head="gated")


ARM = Arm(
    name="response_rag",
    family="neural",
    summary="Retrieval of measured responses, with a neural residual gated from zero",
    origin="this project",
    fit=response_expert.fit,
    write=response_expert.write,
    read=response_expert.read,
    build=build,
    reads_responses=True,
    fitted_as="response_expert",
)
