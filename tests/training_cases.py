"""Settings of a tiny network, and a folder with all that it trains on, for tests."""

import numpy as np
import pandas as pd
from scoring_cases import make_split, make_store

from ptrag.genes.embeddings import Embedding, write_embedding
from ptrag.retrieval.index import build_index
from ptrag.training.job import TrainingJob

MODEL = {
    "hidden": 12, "layers": 1, "heads": 2, "head_size": 4, "feed_forward": 16, "causal": True,
    "dropout": 0.1, "vector_noise": 0.0, "frozen_backbone": False,
}  # fmt: skip
TRAINING = {
    "sets": 4, "set_size": 8, "max_steps": 12, "learning_rate": 0.01, "gradient_clip": 10.0,
    "validate_every": 4, "monitor": "mse", "patience": None, "averaging": 0.9,
    "match_batch": False, "published": False, "precision": "fp32", "compile": False, "devices": 1,
    "num_nodes": 1, "strategy": "auto", "threads": 1,
}  # fmt: skip


def make_home(folder, *, n_cells=12, n_controls=30):
    """Write cells, split, an embedding that knows the responses, and its index into ``folder``."""
    store, shifts = make_store(folder, n_cells=n_cells, n_controls=n_controls)
    split = make_split(folder, store)
    names = store.perturbations
    vectors = np.array([shifts["a", p][:12] for p in names])
    vectors += 0.05 * np.random.default_rng(0).standard_normal(vectors.shape)
    coverage = pd.DataFrame({"perturbation": names, "level": "exact", "detail": ""})
    embedding = Embedding(names, vectors.astype(np.float32), coverage)
    write_embedding(embedding, folder / "text.h5ad")
    build_index(embedding, split, 4, folder / "index")
    return folder


def make_job(home, folder, arm, options, seed=1, **training):
    """The job of an arm on what :func:`make_home` wrote, with its run in ``folder``."""
    return TrainingJob(
        arm=arm, seed=seed, cells=home / "cells.h5ad", split=home / "split.tsv",
        embedding=home / "text.h5ad" if options.get("use_genept") else None,
        index=home / "index" if options.get("rag") else None,
        options=options, model=MODEL, training=TRAINING | training,
        bundle=folder / "bundle", history=folder / "history.tsv",
    )  # fmt: skip
