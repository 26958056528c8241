"""Preprocessing of a made file: counts in CSR, from source to store."""

import os
import time
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from child import MIB, child

from ptrag.cells.preprocess import build_cells

SPEC = {
    "columns": {"perturbation": "gene", "cell_line": "line", "batch": "lane"},
    "control": "ctrl", "scale": "counts",
}  # fmt: skip
SETTINGS = {"genes": "all", "yardstick": 0.5}
DENSITY, BLOCK = 0.1, 4000


def make_source(path: Path, n: int, genes: int) -> None:
    """Write n cells with a tenth of the genes seen in each, block by block."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "gene": rng.choice(["ctrl", *(f"P{i}" for i in range(300))], n),
            "line": rng.choice(["k562", "rpe1", "hepg2", "jurkat"], n),
            "lane": rng.integers(0, 20, n),
        },
        index=[f"cell{i}" for i in range(n)],
    )
    obs.iloc[::10, 0] = "ctrl"
    var = pd.DataFrame(index=[f"G{i}" for i in range(genes)])
    anndata.AnnData(obs=obs.astype("category"), var=var).write_h5ad(path)
    seen = max(1, int(DENSITY * genes))
    step = genes // seen
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        X = file.create_group("X")
        X.attrs.update(
            {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": (n, genes)}
        )
        X["indptr"] = np.arange(n + 1, dtype=np.int64) * seen
        data = X.create_dataset("data", (n * seen,), "f4")
        indices = X.create_dataset("indices", (n * seen,), "i4")
        for start in range(0, n, BLOCK):
            shape = (min(BLOCK, n - start), seen)
            here = slice(start * seen, (start + shape[0]) * seen)
            data[here] = 1 + rng.integers(0, 5, shape).ravel()
            indices[here] = (np.arange(seen) * step + rng.integers(0, step, shape)).ravel()


def write_rate(folder: Path, size: int) -> float:
    """Return MB/s at which the disk takes ``size`` bytes, written in order and synced."""
    block = np.random.default_rng(0).bytes(16 * MIB)
    path = folder / "disk"
    begun = time.perf_counter()
    with open(path, "wb") as file:
        for _ in range(max(1, size // len(block))):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    rate = path.stat().st_size / 1e6 / (time.perf_counter() - begun)
    path.unlink()
    return rate


def case(source: str, cells: int, genes: int) -> dict[str, Any]:
    """Time one build; its store is removed."""
    source = Path(source)
    out = source.with_name("cells.h5ad")
    begun = time.perf_counter()
    build_cells(source, SPEC, SETTINGS, out)
    seconds = time.perf_counter() - begun
    written = out.stat().st_size
    out.unlink()
    return {
        "seconds": [seconds], "cells": cells, "genes": genes,
        "written_mb": written / 1e6, "mb_per_s": written / 1e6 / seconds,
    }  # fmt: skip


if __name__ == "__main__":
    child(case)
