"""Screens on which our metrics are held against those of other packages."""

import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anndata
import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from scoring_cases import make_store  # noqa: E402
from stores import write_store  # noqa: E402

from ptrag.cells.controls import ALL  # noqa: E402
from ptrag.cells.store import CellStore  # noqa: E402

PERTURBED = ["ATF2", "CAV1", "IFNGR1", "IFNGR2", "IRF1", "JAK2", "SMAD4", "STAT1"]


class Screen(NamedTuple):
    """Cells of one line: real, predicted and controls, of a few perturbations."""

    name: str
    store: CellStore
    line: str
    predicted: dict[str, np.ndarray]


def predictions(store: CellStore, line: str, names: list[str]) -> dict[str, np.ndarray]:
    """Controls moved by half the real delta plus a part of another's: neither good nor bad.

    As many as there are real cells plus three, so that no package pairs them up by row.
    """
    controls, guessed = np.asarray(store.controls(line, ALL)), {}
    base = controls.mean(axis=0, dtype=float)
    for i, name in enumerate(names):
        other = names[(i + 1) % len(names)]
        delta = 0.5 * (store.mean(line, name) - base) + 0.2 * (store.mean(line, other) - base)
        n = len(store.cells(line, name)) + 3
        rows = np.random.default_rng(i).choice(len(controls), n, replace=n > len(controls))
        guessed[name] = np.maximum(controls[rows] + delta, 0).astype(np.float32)
    return guessed


def simulated(folder: Path) -> Screen:
    """Return the small simulated screen of the unit tests."""
    store, _ = make_store(folder, n_cells=40, n_controls=90)
    return Screen("simulated", store, "a", predictions(store, "a", store.perturbations[:8]))


def few_degs(folder: Path) -> Screen:
    """Return simulated cells in which perturbation i moves i genes, some silent in controls.

    Of the six silent genes, which no control expresses, predictions have none.
    """
    rng, genes, silent = np.random.default_rng(0), 40, np.arange(34, 40)
    names = [f"P{i}" for i in range(8)]
    labels = np.repeat(["control", *names], [90, *[40] * 8])
    X = 2 + rng.random(genes) + 0.4 * rng.normal(size=(len(labels), genes))
    X[:, silent] = 0
    for i, name in enumerate(names):
        moved = rng.permutation(np.arange(30, 40))[:i]
        X[np.ix_(labels == name, moved)] += rng.uniform(1, 2, (40, i)) * rng.choice([1, 1, -1], i)
    obs = pd.DataFrame({"cell_line": "a", "perturbation": labels})
    path = folder / "few.h5ad"
    X = np.maximum(X, 0).astype(np.float32)
    write_store(path, X, obs, [f"G{i}" for i in range(genes)])
    store = CellStore(path)
    predicted = predictions(store, "a", names)
    for cells in predicted.values():
        cells[:, silent] = 0
    return Screen("simulated, few DEGs", store, "a", predicted)


def papalexi(folder: Path, source: Path, everywhere: bool) -> Screen:
    """Return 8 perturbations of the ECCITE-seq screen (Papalexi 2021), 150 cells each at most.

    ``everywhere`` keeps the genes with counts in every perturbation and in controls: no fold
    change is infinite.
    """
    cells = anndata.read_h5ad(source)
    labels = cells.obs["perturbation"].astype(str).to_numpy()
    rng = np.random.default_rng(0)
    rows = []
    for name, most in [("non-targeting", 400), *((name, 150) for name in PERTURBED)]:
        of_name = np.flatnonzero(labels == name)
        rows.append(np.sort(rng.choice(of_name, min(most, len(of_name)), replace=False)))
    rows = np.concatenate(rows)
    X = np.asarray(cells.X[rows].toarray() if hasattr(cells.X, "toarray") else cells.X[rows], float)
    X = np.log1p(X / np.maximum(X.sum(axis=1, keepdims=True), 1) * 1e4)
    names = np.where(labels[rows] == "non-targeting", "control", labels[rows])
    counted = np.min([X[names == name].mean(axis=0) for name in set(names)], axis=0) > 0
    genes = counted if everywhere else np.ones(X.shape[1], bool)
    obs = pd.DataFrame({"cell_line": "thp1", "perturbation": names})
    path = folder / "papalexi.h5ad"
    write_store(path, X[:, genes].astype(np.float32), obs, list(cells.var_names[genes]))
    store = CellStore(path)
    title = "Papalexi" if everywhere else "Papalexi, all genes"
    return Screen(title, store, "thp1", predictions(store, "thp1", PERTURBED))


SIMULATED = [simulated, few_degs]
REAL = [partial(papalexi, everywhere=everywhere) for everywhere in (True, False)]
