"""A small screen, its split, vectors, index and an untrained bundle: files for tests."""

import numpy as np
import pandas as pd
import torch
from stores import write_store

from ptrag.arms.neural.networks import Shapes
from ptrag.arms.neural.perturbations import Perturbations
from ptrag.arms.registry import load_arm
from ptrag.base.names import CONTROL
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.genes.embeddings import Embedding
from ptrag.prediction.bundle import facts_of, write_bundle
from ptrag.prediction.lines import Lines
from ptrag.prediction.network_files import network_files
from ptrag.retrieval.index import build_index, read_neighbours
from ptrag.splits.protocols import Split

LINES = ["k562", "rpe1"]
PERTURBATIONS = ["A", "B", "B+C", "D", "E", "F"]
TRAINED = PERTURBATIONS[:-1]
G, E, K, SET = 7, 5, 3, 4
MODEL = {
    "hidden": 8, "layers": 2, "heads": 2, "head_size": 4, "feed_forward": 10, "causal": True,
    "dropout": 0.1, "vector_noise": 0.0, "frozen_backbone": True,
}  # fmt: skip
OPTIONS = {
    "state": {"rag": False, "use_genept": False},
    "state_genept": {"rag": False, "use_genept": True},
    "ptrag": {"rag": True, "use_genept": True, "topk_rag": K},
    "ptrag_residual": {"rag": True, "use_genept": True, "topk_rag": K},
    "vanilla_rag": {"rag": True, "use_genept": True, "topk_rag": K},
}


def make_store(path, sizes=None, controls=40, batches=3, seed=0):
    """Write cells of each (line, perturbation); a cell's first gene is its number in the source.

    ``sizes`` maps pairs to numbers of cells; without it each pair has its own, 5 to 16.
    """
    rng = np.random.default_rng(seed)
    if sizes is None:
        pairs = [(line, name) for line in LINES for name in PERTURBATIONS]
        sizes = {pair: 5 + i for i, pair in enumerate(pairs)}
    sizes = sizes | {(line, CONTROL): controls for line in dict.fromkeys(p[0] for p in sizes)}
    obs = pd.DataFrame(
        [pair for pair, n in sizes.items() for _ in range(n)],
        columns=["cell_line", "perturbation"],
    )
    obs["batch"] = [f"batch{code}" for code in rng.integers(batches, size=len(obs))]
    obs = obs.iloc[rng.permutation(len(obs))].reset_index(drop=True)
    X = rng.gamma(1.0, 1.0, (len(obs), G)).astype(np.float32).clip(0, 9)
    X[:, 0] = np.arange(len(obs)) / 100
    write_store(path, X, obs, [f"G{i}" for i in range(G)], simulated=True)
    return CellStore(path)


def make_split():
    rows = [
        (line, name, 9, "train" if name in TRAINED else "test", "")
        for line in LINES for name in PERTURBATIONS
    ]  # fmt: skip
    rows += [(line, CONTROL, 40, "control", "") for line in LINES]
    table = pd.DataFrame(rows, columns=["cell_line", "perturbation", "n_cells", "role", "reason"])
    return Split(table, "unseen_perturbation", None, "0" * 64)


def make_embedding(seed=0):
    vectors = np.random.default_rng(seed).normal(size=(len(PERTURBATIONS), E)).astype(np.float32)
    coverage = pd.DataFrame({"perturbation": PERTURBATIONS, "level": "exact", "detail": ""})
    return Embedding(list(PERTURBATIONS), vectors, coverage)


def make_bundle(folder, arm, seed=0):
    """Write store, vectors, index and a bundle with random weights; return the bundle's folder."""
    options = OPTIONS[arm]
    store = make_store(folder / "cells.h5ad")
    embedding = index = None
    known = Perturbations.one_hot(store.perturbations, TRAINED)
    if options["use_genept"]:
        embedding = make_embedding()
        known = Perturbations.embedded(embedding)
    if options["rag"]:
        index = folder / "index"
        build_index(make_embedding(), make_split(), K, index)
        known = Perturbations.embedded(make_embedding(), read_neighbours(index), K)
    torch.manual_seed(seed)
    shapes = Shapes(G, known.features.shape[1], len(store.batches))
    network = load_arm(arm).build(options, MODEL, shapes)
    for name, parameter in network.named_parameters():
        torch.nn.init.normal_(parameter, mean="norm.weight" in name, std=0.4)
    lines = Lines.of(Responses.measured(store, make_split()), store)
    about = facts_of(store, arm, options, {"cells": "0" * 64}) | {
        "seed": 3, "model": MODEL, "trained": TRAINED, "batches": store.batches,
        "features": known.features.shape[1],
        "training": {"set_size": SET, "threads": 1},
    }  # fmt: skip
    write_bundle(folder / "bundle", about, lines, network_files(network), embedding, None, index)
    return folder / "bundle"
