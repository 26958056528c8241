"""The transformer over the cells of a set: Llama blocks (docs/concepts/arms.md).

Axes: B sets, S cells of a set, H hidden, A heads, D head size, F feed-forward.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptrag.arms.neural.attention import attend, rotary
from ptrag.arms.neural.linear import Linear, linear

EPSILON = 1e-6  # of RMSNorm
INITIAL_STD = 0.02  # of every weight, as Llama is initialised


class _GatedSilu(torch.autograd.Function):
    """silu(gate) · up, keeping its inputs alone for the gradient."""

    @staticmethod
    def forward(ctx, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        to_gate = grad * up
        torch.ops.aten.silu_backward(to_gate, gate, grad_input=to_gate)
        return to_gate, F.silu(gate).mul_(grad)


def gated_silu(gate: Tensor, up: Tensor) -> Tensor:
    """Return silu(gate) · up; a compiler fuses it by itself."""
    compiling = torch.compiler.is_compiling()
    return F.silu(gate) * up if compiling else _GatedSilu.apply(gate, up)


class Block(nn.Module):
    """Pre-norm attention and SwiGLU, each added to its input; no biases."""

    def __init__(self, hidden: int, heads: int, head_size: int, feed_forward: int) -> None:
        super().__init__()
        self.heads = heads
        width = heads * head_size
        self.attention_norm = nn.RMSNorm(hidden, eps=EPSILON)
        self.query_key_value = Linear(hidden, 3 * width, bias=False)
        self.attention_out = Linear(width, hidden, bias=False)
        self.feed_norm = nn.RMSNorm(hidden, eps=EPSILON)
        self.gate_up = Linear(hidden, 2 * feed_forward, bias=False)
        self.down = Linear(feed_forward, hidden, bias=False)

    def forward(self, x: Tensor, positions: tuple[Tensor, Tensor] | None) -> Tensor:
        """Map (B, S, H) to (B, S, H); rotary and causal where ``positions`` are given."""
        qkv = self.query_key_value(self.attention_norm(x))
        x = x + self.attention_out(attend(qkv, self.heads, positions))
        normed = self.feed_norm(x)
        gate, up = (linear(normed, weight) for weight in self.gate_up.weight.chunk(2))
        return x + self.down(gated_silu(gate, up))


class Backbone(nn.Module):
    """Llama blocks over the S cells of a set, with a final RMSNorm.

    Parameters
    ----------
    hidden, layers, heads, head_size, feed_forward
        Sizes; ``head_size`` even. Heads × head size need not be ``hidden``.
    causal
        True: causal attention with rotary positions. False: every cell sees every cell and
        positions mean nothing, so that the map commutes with any order of the cells.
    """

    def __init__(
        self,
        hidden: int,
        layers: int,
        heads: int,
        head_size: int,
        feed_forward: int,
        causal: bool = True,
    ) -> None:
        super().__init__()
        self.causal, self.head_size = causal, head_size
        self.blocks = nn.ModuleList(
            Block(hidden, heads, head_size, feed_forward) for _ in range(layers)
        )
        self.norm = nn.RMSNorm(hidden, eps=EPSILON)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=INITIAL_STD)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, S, H) to (B, S, H)."""
        positions = rotary(x.shape[1], self.head_size, x) if self.causal else None
        for block in self.blocks:
            x = block(x, positions)
        return self.norm(x)
