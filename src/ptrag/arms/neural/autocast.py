"""What is done in another way where a network is autocast to bfloat16, or compiled."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def has_bf16() -> bool:
    """Whether what trains here multiplies bfloat16 in hardware."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(
        torch.cpu.get_capabilities().get(unit) for unit in ("avx512_bf16", "amx_bf16", "bf16")
    )


def no_autocast(like: Tensor) -> AbstractContextManager:
    """Return a context without autocast on the tensor's device; nothing where there is none."""
    return torch.autocast(like.device.type, enabled=False)


def wide(*tensors: Tensor) -> list[Tensor]:
    """Return bfloat16 and float16 tensors as float32, others as they are."""
    return [x.float() if x.dtype in (torch.bfloat16, torch.float16) else x for x in tensors]


def eager(like: Tensor) -> bool:
    """Whether operations run one by one as they stand: not under autocast or a compiler."""
    return not (torch.compiler.is_compiling() or torch.is_autocast_enabled(like.device.type))
