"""What a training does in another way beside a GPU, where launches and draws take the time."""

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


def device_here() -> torch.device:
    """Return what trains here: a GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compile_for(network: nn.Module, device: torch.device) -> None:
    """Compile a network; on a GPU so that its kernels are recorded and replayed at once.

    A step is a few milliseconds of arithmetic in hundreds of kernels, each of which waits to be
    launched: as one CUDA graph they do not.
    """
    network.compile(mode="reduce-overhead" if device.type == "cuda" else None)


def loader(steps: Dataset, device: torch.device) -> DataLoader:
    """Return what draws the steps: beside a GPU in a process of its own, ahead of it.

    A draw of 64 × 64 cells takes milliseconds, as long as the step itself on a GPU; on a CPU it is
    a hundredth of one. The draws are the same.
    """
    if device.type != "cuda":
        return DataLoader(steps, batch_size=None)
    return DataLoader(steps, batch_size=None, num_workers=1, prefetch_factor=16, pin_memory=True)
