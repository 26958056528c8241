"""Linear maps by the fastest matrix product at hand, same numbers.

On a CPU torch multiplies float32 by Intel's MKL, which takes slow kernels on other makers'
processors. oneDNN, which comes with torch too, has its own for each: on a core of an AMD EPYC of
2025 it does 250 GFLOP/s where MKL does 110, whether a product widens or narrows; on one of 2020,
two cores did 180 and 120 where it widens, and 140 by both where it narrows. So on AMD all products
are oneDNN's; elsewhere only those that widen, for where they narrow MKL is no slower.

The processor's maker decides, and no measurement when the program starts: a measurement may fall
out otherwise the next time, and the two libraries round differently, so that the same
configuration and seed would no longer give the same bytes on the same machine.
"""

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptrag.arms.neural.autocast import eager

#: (x, weight, bias, "none", [], "") → x weightᵀ + bias; None where torch has no oneDNN.
_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
CPU_INFO = Path("/proc/cpuinfo")
AMD = "AuthenticAMD"


@cache
def maker() -> str:
    """Return who made the processor, as it says itself; empty where it does not."""
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:  # no Linux
        return ""
    return next((line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")), "")


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x · weightᵀ + bias of (..., in) and (out, in), without a gradient."""
    faster = weight.shape[0] > weight.shape[1] or maker() == AMD
    if _ONEDNN is None or not faster or x.dtype != torch.float32 or x.device.type != "cpu":
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
