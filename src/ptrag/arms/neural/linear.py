"""Linear maps by the fastest matrix product at hand, same numbers.

On a CPU torch multiplies float32 by Intel's MKL, which takes slow kernels on other makers'
processors: at (1024 × 128) · (128 × 5568) an AMD EPYC does 120 GFLOP/s by MKL and 180 by
oneDNN, which comes with torch too. Products that widen are therefore oneDNN's; those that
narrow are as fast by either.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptrag.arms.neural.autocast import eager

#: (x, weight, bias, "none", [], "") → x weightᵀ + bias; None where torch has no oneDNN.
_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x · weightᵀ + bias of (..., in) and (out, in), without a gradient."""
    widens = weight.shape[0] > weight.shape[1]
    if _ONEDNN is None or not widens or x.dtype != torch.float32 or x.device.type != "cpu":
        return F.linear(x, weight, bias)
    return _ONEDNN(x, weight.contiguous(), bias, "none", [], "")


class _Linear(torch.autograd.Function):
    """x weightᵀ + bias; frozen weights get no gradient work and keep no input."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x if weight.requires_grad else None, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        rows = grad.flatten(0, -2)
        return (
            product(grad, weight.T) if to_x else None,
            rows.T @ x.flatten(0, -2) if to_weight else None,
            rows.sum(0) if to_bias else None,
        )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x · weightᵀ + bias of (..., in) and (out, in)."""
    return _Linear.apply(x, weight, bias) if eager(x) else F.linear(x, weight, bias)


class Linear(nn.Linear):
    """torch's linear layer by :func:`linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return linear(x, self.weight, self.bias)
