import platform
import subprocess
import sys

import pytest

CODE = """
import resource, torch
from ptrag.base.memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
def step():
    for _ in range(20):
        torch.ones(10_000_000)  # 40 MB, made and dropped: glibc maps what is above 32 MiB
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep):
    code = CODE.format(keep=keep)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than glibc's")
def test_dropped_tensors_are_not_paged_in_again():
    """Without it, each of the 20 tensors is mapped and touched anew, by pages of 2 MiB at most."""
    kept, default = faults(True), faults(False)
    assert kept < 100
    assert default >= 20 * 19
