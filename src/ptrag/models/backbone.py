"""The transformer over the cells of a set: Llama blocks (DESIGN §5, step 6).

Axes: B sets, S cells of a set, H hidden, A heads, D head size, F feed-forward.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-6  # of RMSNorm
THETA = 10_000.0  # base of the rotary frequencies
ROWS = 64  # of the SwiGLU, at a time on a CPU
INITIAL_STD = 0.02  # of every weight, as Llama is initialised


class _GatedSilu(torch.autograd.Function):
    """silu(gate) · up, keeping its input alone for the gradient.

    Some rows at a time, whose intermediates then stay in a CPU's cache.
    """

    @staticmethod
    def forward(ctx, both: Tensor) -> Tensor:
        ctx.save_for_backward(both)
        result = both.new_empty(*both.shape[:-1], both.shape[-1] // 2)
        for rows, out in zip(_rows(both), _rows(result), strict=True):
            gate, up = rows.chunk(2, dim=-1)
            torch.mul(F.silu(gate), up, out=out)
        return result

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        result = torch.empty_like(both)
        for rows, onto, out in zip(_rows(both), _rows(grad), _rows(result), strict=True):
            gate, up = rows.chunk(2, dim=-1)
            to_gate, to_up = out.chunk(2, dim=-1)
            torch.mul(onto, F.silu(gate), out=to_up)
            torch.ops.aten.silu_backward(onto * up, gate, grad_input=to_gate)
        return result


def gated_silu(both: Tensor) -> Tensor:
    """Return silu(gate) · up of [gate | up] (..., 2F); a compiler fuses it by itself."""
    if torch.compiler.is_compiling():
        gate, up = both.chunk(2, dim=-1)
        return F.silu(gate) * up
    return _GatedSilu.apply(both)


def _rows(x: Tensor) -> tuple[Tensor, ...]:
    """Return views of the rows of (..., F), all at once where there is no cache to keep to."""
    x = x.flatten(0, -2)
    return x.split(ROWS) if x.device.type == "cpu" else (x,)


def rotary(length: int, head_size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines of rotary positions, each (S, 1, 1, D/2).

    Position s turns the plane of the components i and i + D/2 by s · θ^(−2i/D), θ = 10,000.
    """
    exact = {"dtype": torch.float64, "device": like.device}
    planes = torch.arange(0, head_size, 2, **exact) / head_size
    angles = torch.arange(length, **exact)[:, None] * THETA**-planes
    angles = angles[:, None, None]
    return angles.cos().to(like), angles.sin().to(like)


class _Rotate(torch.autograd.Function):
    """Turn queries and keys by the angles of their positions, in place.

    Of (B, S, 3 × A × D), which holds values too; the gradient turns back.
    """

    @staticmethod
    def forward(ctx, qkv: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        ctx.mark_dirty(qkv)
        left, right = _halves(qkv, cos)
        turned = left * sin
        left.mul_(cos).sub_(right * sin)
        right.mul_(cos).add_(turned)
        return qkv

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        result = grad.clone()
        left, right = _halves(result, cos)
        turned = left * sin
        left.mul_(cos).add_(right * sin)
        right.mul_(cos).sub_(turned)
        return result, None, None


def _halves(qkv: Tensor, cos: Tensor) -> tuple[Tensor, ...]:
    """Return the two halves of each head's queries and keys, views (B, S, 2, A, D/2)."""
    D = 2 * cos.shape[-1]
    return qkv.unflatten(-1, (3, -1, D))[:, :, :2].chunk(2, dim=-1)


class Block(nn.Module):
    """Pre-norm attention and SwiGLU, each added to its input; no biases."""

    def __init__(self, hidden: int, heads: int, head_size: int, feed_forward: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, head_size
        width = heads * head_size
        self.attention_norm = nn.RMSNorm(hidden, eps=EPSILON)
        self.query_key_value = nn.Linear(hidden, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, hidden, bias=False)
        self.feed_norm = nn.RMSNorm(hidden, eps=EPSILON)
        self.gate_up = nn.Linear(hidden, 2 * feed_forward, bias=False)
        self.down = nn.Linear(feed_forward, hidden, bias=False)

    def forward(self, x: Tensor, positions: tuple[Tensor, Tensor] | None) -> Tensor:
        """Map (B, S, H) to (B, S, H); rotary and causal where ``positions`` are given."""
        qkv = self.query_key_value(self.attention_norm(x))
        if positions is not None:
            qkv = _Rotate.apply(qkv, *positions)
        qkv = qkv.unflatten(-1, (3, self.heads, self.head_size))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, A, S, D)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=positions is not None)
        x = x + self.attention_out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(gated_silu(self.gate_up(self.feed_norm(x))))


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
