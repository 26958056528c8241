"""Train one neural arm with one seed, from files to a bundle."""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch.utils.data import DataLoader

from ptrag.bundle import write_bundle
from ptrag.cells.sets import SetSampler, keyed_rng
from ptrag.cells.store import CellStore
from ptrag.errors import PtragError
from ptrag.files import sha256, write_table
from ptrag.genes.embeddings import read_embedding
from ptrag.memory import keep_freed_memory
from ptrag.models.networks import Shapes
from ptrag.models.perturbations import Perturbations
from ptrag.models.registry import load_arm
from ptrag.retrieval.index import read_neighbours
from ptrag.splits import Split, read_split
from ptrag.training.checkpoint import code_digest, digest, load_checkpoint, store_digest
from ptrag.training.data import Steps
from ptrag.training.milestones import Milestones
from ptrag.training.module import TrainingModule
from ptrag.training.validation import validate, validation_pairs

logger = logging.getLogger("ptrag")


def train(
    cells: str | Path,
    split: str | Path,
    embedding: str | Path | None,
    index: str | Path | None,
    arm: str,
    options: dict[str, Any],
    model: dict[str, Any],
    training: dict[str, Any],
    seed: int,
    bundle: str | Path,
    history: str | Path,
) -> None:
    """Train, and write the bundle of the checkpoint that validates best.

    A training that was killed goes on from ``checkpoints/last.ckpt`` beside the bundle and
    ends with the same bits as one that was not; a checkpoint of other settings, inputs or code
    is left aside. It is removed when the bundle stands.

    Parameters
    ----------
    cells, split
        ``cells.h5ad`` and ``split.tsv``.
    embedding
        h5ad of vectors, for arms that use them.
    index
        Folder of the index, for arms that retrieve.
    arm, options, model, training, seed
        The arm's name and its sections of the configuration.
    bundle, history
        The folder and the table to write; ``history`` has columns step, split, metric, value.

    Raises
    ------
    PtragError
        For an option that contradicts the arm, no pair to train or validate on, or a loss that
        is not finite.
    """
    torch.set_num_threads(training["threads"])
    keep_freed_memory()
    bundle = Path(bundle)
    name = f"{arm} seed {seed}"
    store, roles = CellStore(cells), read_split(split)
    known = _perturbations(arm, options, store, roles, embedding, index)
    pairs = {role: _known_pairs(name, roles, role, known) for role in ("train", "val")}
    hashes = {"cells": store_digest(store), "split": sha256(split)}
    if embedding is not None:
        hashes["embedding"] = sha256(embedding)
    if index is not None:
        hashes["neighbours"] = sha256(Path(index) / "neighbours.tsv")
    fingerprint = digest(arm, options, model, training, seed, hashes, code_digest(arm))

    shapes = Shapes(store.n_genes, known.features.shape[1], len(store.batches))
    torch.manual_seed(int(keyed_rng(seed, "weights").integers(2**63)))
    network = load_arm(arm).build(options, model, shapes)
    checkpoint = bundle.parent / "checkpoints" / "last.ckpt"
    state = load_checkpoint(checkpoint, fingerprint)
    if state:
        logger.info("%s: going on from step %d", name, state["done"])
        network.load_state_dict(state["network"])
    sparsity = options.get("gumbel_sparsity_weight", 0) * options.get("gumbel_sparsity_loss", False)
    module = TrainingModule(network, store, known.features, training, sparsity, seed)
    if state:
        module.optimizer_state, module.losses = state["optimizer"], state["losses"]
    noisy = network.refinement is not None and network.refinement.random_at_inference
    held = validation_pairs(store, pairs["val"], known, training["set_size"], noisy)
    milestones = Milestones(
        name, training, lambda: validate(network, module.cells, module.features, known, held),
        checkpoint, fingerprint, state,
    )  # fmt: skip
    sampler = SetSampler(
        store, pairs["train"], training["sets"], training["set_size"], seed,
        training["match_batch"],
    )  # fmt: skip
    numbers = np.array([known.number(p) for _, p in pairs["train"]])
    steps = Steps(sampler, known, numbers, milestones.done, training["max_steps"])
    if not milestones.finished:
        _fit(module, steps, milestones, training)

    best = milestones.best
    network.load_state_dict(best["weights"], strict=False)
    logger.info(
        "%s: taking step %d, val %s %.4g", name, best["step"], training["monitor"], best["value"]
    )
    about = {
        "arm": arm, "seed": seed, "options": options, "model": model, "training": training,
        "step": best["step"], "validation": {training["monitor"]: best["value"]},
        "trained": sorted({p for _, p in pairs["train"]}), "hashes": hashes,
        "split": {"protocol": roles.protocol, "target": roles.target},
    }  # fmt: skip
    write_bundle(bundle, network, store, about, embedding, index)
    columns = ["step", "split", "metric", "value"]
    write_table(pd.DataFrame(milestones.history, columns=columns), history)
    checkpoint.unlink(missing_ok=True)


def _fit(
    module: TrainingModule, steps: Steps, milestones: Milestones, training: dict[str, Any]
) -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    trainer = lightning.Trainer(
        accelerator="auto", devices=1, max_epochs=1, gradient_clip_val=training["gradient_clip"],
        callbacks=[milestones], plugins=[LightningEnvironment()], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        # a batch is a few thousand row numbers: workers would cost more than they save
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        trainer.fit(module, DataLoader(steps, batch_size=None))


def _perturbations(
    arm: str,
    options: dict[str, Any],
    store: CellStore,
    split: Split,
    embedding: str | Path | None,
    index: str | Path | None,
) -> Perturbations:
    if not options.get("use_genept"):
        return Perturbations.one_hot(store.perturbations, split.perturbations("train"))
    if embedding is None:
        raise PtragError(f"arm {arm!r}: use_genept is true but there is no embedding; name one")
    if not options.get("rag"):
        return Perturbations.embedded(read_embedding(embedding))
    if index is None:
        raise PtragError(f"arm {arm!r}: rag is true but there is no index; build one")
    neighbours = read_neighbours(index)
    return Perturbations.embedded(read_embedding(embedding), neighbours, options["topk_rag"])


def _known_pairs(name: str, split: Split, role: str, known: Perturbations) -> list[tuple[str, str]]:
    """Return the pairs of a role whose perturbation has a vector; say how many have none."""
    pairs = split.pairs(role)
    kept = [pair for pair in pairs if pair[1] in known]
    if len(kept) < len(pairs):
        logger.info("%s: %d %s pairs have no vector", name, len(pairs) - len(kept), role)
    if not kept:
        raise PtragError(
            f"{name}: no {role} pair has a vector; check the split and the embedding's coverage.tsv"
            if pairs
            else f"{name}: the split has no {role} pair; change its fractions or lists"
        )
    return kept
