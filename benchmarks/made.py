"""What is measured on: made cells, vectors and networks of any size."""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from ptrag.arms.neural.networks import Network, Shapes
from ptrag.arms.neural.perturbations import Perturbations
from ptrag.arms.registry import load_arm
from ptrag.base.names import CONTROL
from ptrag.cells.sets import SetSampler
from ptrag.cells.store import CellStore
from ptrag.cells.store_writer import new_store
from ptrag.training.data import Steps

PAIRS, CELLS = 256, 64  # measured pairs and the cells of each
CONTROLS = 8192  # half of them given
KNOWN, FEATURES = 2000, 1536  # perturbations with a vector, and its size, as GenePT's


class Sizes(NamedTuple):
    """S, G, H, layers and K; the rest of the network is the paper's."""

    set_size: int
    genes: int
    hidden: int
    layers: int
    candidates: int

    @property
    def model(self) -> dict[str, Any]:
        """Section ``model`` of the configuration."""
        return {
            "hidden": self.hidden, "layers": self.layers, "heads": 12, "head_size": 58,
            "feed_forward": 2784, "causal": True, "dropout": 0.1, "vector_noise": 0.0,
            "frozen_backbone": True,
        }  # fmt: skip


def make_cells(path: Path, genes: int) -> None:
    """Write a store of one line, ``PAIRS`` pairs of ``CELLS`` cells and ``CONTROLS`` controls."""
    names = np.repeat([f"P{i:04}" for i in range(PAIRS)], CELLS)
    obs = pd.DataFrame({"perturbation": [*names, *[CONTROL] * CONTROLS], "cell_line": "line"})
    obs["batch"] = np.arange(len(obs)) % 50
    rng = np.random.default_rng(0)
    with new_store(path, obs, [f"G{i}" for i in range(genes)], simulated=True) as writer:
        for start in range(0, len(obs), 2048):
            n = min(2048, len(obs) - start)
            writer.write(start, rng.gamma(0.5, 1.0, (n, genes)).clip(0, 9).astype(np.float32))


def perturbations(candidates: int) -> Perturbations:
    """Return random vectors and random candidates."""
    rng = np.random.default_rng(1)
    ranked = rng.random((KNOWN, KNOWN)).argsort(1)[:, :candidates]
    return Perturbations(
        [f"P{i:04}" for i in range(KNOWN)],
        rng.normal(size=(KNOWN, FEATURES)).astype(np.float32),
        ranked,
        rng.random(ranked.shape),
    )


def steps(store: CellStore, known: Perturbations, sets: int, set_size: int) -> Steps:
    """Return the training steps on all pairs of the store, as training draws them."""
    pairs = [(line, name) for line in store.lines for name in store.perturbations]
    numbers = np.array([known.number(name) for _, name in pairs])
    sampler = SetSampler(store, pairs, sets, set_size, seed=0, match_batch=True)
    return Steps(sampler, known, numbers, 0, 10**6)


def network(arm: str, sizes: Sizes, n_batches: int) -> Network:
    """Return an arm's network with random weights, its frozen ones too."""
    torch.manual_seed(0)
    return load_arm(arm).build({}, sizes.model, Shapes(sizes.genes, FEATURES, n_batches))


def scratch() -> tempfile.TemporaryDirectory:
    """Return a folder that is removed in the end."""
    return tempfile.TemporaryDirectory(prefix="ptrag-bench-")
