"""A small screen with known responses, its split, and predictions of it, for tests of scoring."""

from pathlib import Path
from typing import NamedTuple

import anndata
import numpy as np
import pandas as pd
from stores import write_store

from ptrag.base.files import read_table
from ptrag.cells.controls import GIVEN
from ptrag.cells.store import CellStore
from ptrag.evaluation.evaluate import evaluate
from ptrag.evaluation.reference import build_reference
from ptrag.splits.protocols import draw_split, read_split, write_split

LINES = ("a", "b")
GENES = [f"GX{i}" for i in range(40)]
PERTURBATIONS = [f"GX{i}" for i in range(20)]
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


class Written(NamedTuple):
    """The two files of a run."""

    profiles: Path
    predictions: Path


def write_predictions(path, store, split, predict, n_cells=32):
    """Write both outputs of a run and return their paths.

    ``predict(line, perturbation, controls)`` gives the cells of a pair from ``n_cells`` given
    controls, or (profile, cells); the profile is the mean of the cells where it gives none.
    """
    pairs = sorted(split.pairs("val") + split.pairs("test"))
    profiles, deltas, blocks = [], [], []
    for number, (line, name) in enumerate(pairs):
        given = np.asarray(store.controls(line, GIVEN))
        rng = np.random.default_rng(number)
        drawn = rng.choice(len(given), n_cells, replace=n_cells > len(given))
        output = predict(line, name, given[drawn])
        profile, cells = (
            output if isinstance(output, tuple) else (output.mean(axis=0, dtype=float), output)
        )
        profiles.append(profile)
        deltas.append(profile - store.control_mean(line, GIVEN))
        blocks.append(np.asarray(cells, np.float32))
    labels = [pair for pair, cells in zip(pairs, blocks, strict=True) for _ in cells]
    path = Path(path)
    written = Written(path.with_suffix(".profiles.h5ad"), path.with_suffix(".predictions.h5ad"))
    layers = {"delta": np.array(deltas, float)}
    write_h5ad(written.profiles, np.array(profiles, float), pairs, store, layers)
    write_h5ad(written.predictions, np.concatenate(blocks), labels, store)
    return written


def write_h5ad(path, X, labels, store, layers=None):
    """Write rows with their (cell line, perturbation), genes and scale of the store."""
    obs = pd.DataFrame(labels, columns=["cell_line", "perturbation"])
    obs.index = obs.index.astype(str)
    genes, facts = pd.DataFrame(index=store.genes), {"scale": store.scale}
    cells = anndata.AnnData(X, obs, genes, layers=layers, uns=facts)
    cells.write_h5ad(path)


def scored_screen(folder):
    """Make store, split and reference; return folder, store, split and true shifts."""
    store, shifts = make_store(folder)
    split = make_split(folder, store)
    build_reference(store, split, SETTINGS, folder / "reference.h5", floor_cells=32)
    return folder, store, split, shifts


def score(screen, predict, name="p", **more):
    """Write predictions of a screen, score them, read the table."""
    folder, store, split, _ = screen
    written = write_predictions(folder / name, store, split, predict, **more)
    out = folder / f"{name}.tsv"
    evaluate(store, split, folder / "reference.h5", *written, SETTINGS, out)
    return read_table(out)


def shifted(screen):
    """Given controls moved by most of the true shift."""
    shifts = screen[3]
    return lambda line, p, x: np.maximum(x + 0.7 * shifts[line, p], 0).astype(np.float32)
