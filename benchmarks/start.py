"""How long the commands take to start, and what importing the library pulls in."""

import subprocess
import sys
import time
from pathlib import Path

from child import ROOT

HEAVY = ["torch", "scanpy", "anndata", "pandas", "faiss", "matplotlib", "pytorch_lightning"]


def start_up(command: str, repeats: int) -> list[float]:
    """Return wall seconds of a console command of this environment, after one uncounted."""
    name, *rest = command.split()
    full = [str(Path(sys.executable).with_name(name)), *rest]
    seconds = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        done = subprocess.run(full, capture_output=True, text=True, cwd=ROOT)
        seconds.append(time.perf_counter() - begun)
        if done.returncode:
            raise SystemExit(f"{command}: {done.stderr or done.stdout}")
    return seconds[1:]


def imported() -> list[str]:
    """Return the heavy modules that ``import ptrag`` and the command's module load."""
    code = f"import sys, ptrag, ptrag.cli; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    return done.stdout.split()
