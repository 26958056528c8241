"""A small screen with known responses, its split, and predictions of it, for tests of scoring."""

import numpy as np
import pandas as pd

from ptrag.cells.store import CellStore
from ptrag.cells.store_writer import write_store
from ptrag.splits.protocols import draw_split, read_split, write_split

LINES = ("a", "b")
GENES = [f"G{i}" for i in range(40)]
PERTURBATIONS = [f"G{i}" for i in range(20)]
SETTINGS = {
    "exclude_target": True, "n_pcs": 10, "deg_test": "welch", "deg_alpha": 0.05, "max_degs": 20,
    "bootstrap": 500, "confidence": 0.95,
}  # fmt: skip


def make_store(folder, *, n_cells=30, n_controls=60, effect=0.8, seed=0):
    """Write a store in which each perturbation shifts a few genes; return it and the shifts."""
    rng = np.random.default_rng(seed)
    shifts = {
        (line, p): effect * rng.normal(size=len(GENES)) * (rng.random(len(GENES)) < 0.3)
        for p in PERTURBATIONS
        for line in LINES
    }
    obs, X = [], []
    for line in LINES:
        base = 2 + rng.random(len(GENES))
        for p in ["control", *PERTURBATIONS]:
            n = n_controls if p == "control" else n_cells
            noise = rng.normal(scale=0.4, size=(n, len(GENES)))
            obs += [(line, p)] * n
            X.append(np.maximum(base + shifts.get((line, p), 0) + noise, 0))
    obs = pd.DataFrame(obs, columns=["cell_line", "perturbation"])
    write_store(folder / "cells.h5ad", np.concatenate(X).astype(np.float32), obs, GENES)
    return CellStore(folder / "cells.h5ad"), shifts


def make_split(folder, store, seed=1, min_cells=5):
    """Draw and read back a split of unseen perturbations."""
    spec = {
        "protocol": "unseen_perturbation", "fractions": {"val": 0.2, "test": 0.4}, "seed": seed,
    }  # fmt: skip
    write_split(
        draw_split(store, spec, {"min_cells": min_cells, "min_controls": 2}, "t"),
        spec,
        folder / "split.tsv",
    )
    return read_split(folder / "split.tsv")
