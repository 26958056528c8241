"""Attention of the cells of a set to one another, with rotary positions (docs/concepts/arms.md).

Axes: B sets, S cells of a set, A heads, D head size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ptrag.arms.neural.autocast import no_autocast

THETA = 10_000.0  # base of the rotary frequencies
#: Cells of a set up to which a CPU does better with S × S weights as they are.
SHORT = 128


def rotary(length: int, head_size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines of rotary positions, each (S, D/2).

    Position s turns the plane of the components i and i + D/2 by s · θ^(−2i/D), θ = 10,000.
    """
    exact = {"dtype": torch.float64, "device": like.device}
    planes = torch.arange(0, head_size, 2, **exact) / head_size
    angles = torch.arange(length, **exact)[:, None] * THETA**-planes
    return angles.cos().to(like), angles.sin().to(like)


def attend(qkv: Tensor, heads: int, positions: tuple[Tensor, Tensor] | None) -> Tensor:
    """Return softmax(q·k/√D) v of each head, (B, S, A × D).

    Parameters
    ----------
    qkv
        (B, S, 3 × A × D) queries, keys and values.
    heads
        A.
    positions
        Of :func:`rotary`, for causal attention; None: every cell attends to all, without order.
    """
    qkv = qkv.unflatten(-1, (3, heads, -1))
    causal = positions is not None
    q, k, v = _Heads.apply(qkv, *((x.to(qkv) for x in positions) if causal else (None, None)))
    if q.device.type == "cpu" and q.shape[2] <= SHORT and not torch.compiler.is_compiling():
        with no_autocast(q):
            mixed = _Attention.apply(q, k, v, causal)
    else:
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return mixed.transpose(1, 2).flatten(2)


class _Heads(torch.autograd.Function):
    """(B, S, 3, A, D) to q, k, v (B, A, S, D); q and k turned by the angles of their positions.

    The gradient turns back.
    """

    @staticmethod
    def forward(ctx, qkv: Tensor, cos: Tensor | None, sin: Tensor | None) -> tuple[Tensor, ...]:
        ctx.save_for_backward(cos, sin)
        heads = []
        for i, x in enumerate(qkv.permute(2, 0, 3, 1, 4)):
            heads.append(torch.empty_like(x, memory_format=torch.contiguous_format))
            _turn(x, heads[i], cos if i < 2 else None, sin)
        return tuple(heads)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        B, A, S, D = grads[0].shape
        result = grads[0].new_empty(B, S, 3, A, D)
        for i, onto in enumerate(result.permute(2, 0, 3, 1, 4)):
            _turn(grads[i], onto, cos if i < 2 else None, None if sin is None else -sin)
        return result, None, None


def _turn(x: Tensor, out: Tensor, cos: Tensor | None, sin: Tensor | None) -> None:
    """Write (..., S, D), turned by angles (S, D/2) if there are any, into ``out``."""
    if cos is None:
        out.copy_(x)
        return
    (left, right), (to_left, to_right) = x.chunk(2, -1), out.chunk(2, -1)
    torch.mul(left, cos, out=to_left)
    to_left.addcmul_(right, sin, value=-1)
    torch.mul(right, cos, out=to_right)
    to_right.addcmul_(left, sin)


class _Attention(torch.autograd.Function):
    """softmax(q·k/√D) v by plain products, faster for small sets; S × S weights are made twice.

    Once more for the gradient: that takes a fiftieth of a step, and to keep them a tenth of its
    memory.
    """

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        sets, ctx.causal = q.shape[:2], causal
        q, k, v = (x.flatten(0, 1) for x in (q, k, v))
        ctx.save_for_backward(q, k, v)
        return (_weights(q, k, causal) @ v).unflatten(0, sets)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors
        sets = grad.shape[:2]
        grad, weights = grad.reshape(q.shape), _weights(q, k, ctx.causal)
        to_v = weights.transpose(1, 2) @ grad
        onto = torch.ops.aten._softmax_backward_data(
            grad @ v.transpose(1, 2), weights, -1, weights.dtype
        ).mul_(q.shape[-1] ** -0.5)
        to_q, to_k = onto @ k, onto.transpose(1, 2) @ q
        return *(x.unflatten(0, sets) for x in (to_q, to_k, to_v)), None


def _weights(q: Tensor, k: Tensor, causal: bool) -> Tensor:
    """softmax(q·k/√D) of (sets × heads, S, D)."""
    S, D = q.shape[-2:]
    later = q.new_zeros(S, S)
    if causal:
        later.fill_(-torch.inf).triu_(1)
    return torch.baddbmm(later, q, k.transpose(1, 2), alpha=D**-0.5).softmax(-1)
