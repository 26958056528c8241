"""What a measured process has in common: its arguments, its clock and its memory.

Every case runs in a process of its own, so that one's memory is not another's.
"""

import json
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MIB = 2**20
ROOT = Path(__file__).resolve().parents[1]


def child(case: Callable[..., dict[str, Any]]) -> None:
    """Run a case with the arguments of the command line (JSON) and print its results as JSON."""
    result = case(**json.loads(sys.argv[1]))
    print(json.dumps(result | {"peak_mib": peak_mib(), "peak_torch_mib": peak_device_mib()}))


def peak_mib() -> float:
    """Peak resident memory of this process, MiB, files that it maps included."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def peak_device_mib() -> float | None:
    """Peak memory that torch held on a GPU, MiB."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return torch.cuda.max_memory_allocated() / MIB


def wait(device: str) -> None:
    """Wait until a GPU has done what it was told."""
    if device != "cpu":
        import torch

        torch.cuda.synchronize()


def timed(work: Callable[[], Any], repeats: int, device: str = "cpu") -> dict[str, Any]:
    """Return seconds of each repeat, after one that is not counted, and means of the others.

    CPU seconds are those of all threads: on a busy machine they say more than seconds do.
    """
    work()
    wait(device)
    faults, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.process_time()
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        wait(device)
        seconds.append(time.perf_counter() - begun)
    return {
        "seconds": seconds,
        "cpu_seconds": [(time.process_time() - cpu) / repeats],
        "page_faults": (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults) / repeats,
    }
