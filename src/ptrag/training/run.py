"""Train one neural arm with one seed, from files to a bundle."""

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch.utils.data import DataLoader

from ptrag.arms.neural.autocast import has_bf16
from ptrag.arms.neural.networks import Network, Shapes
from ptrag.arms.registry import load_arm
from ptrag.base.errors import PtragError
from ptrag.base.files import sha256, write_table
from ptrag.base.memory import keep_freed_memory
from ptrag.base.random import keyed_rng
from ptrag.cells.controls import GIVEN
from ptrag.cells.sets import SetSampler
from ptrag.cells.store import CellStore
from ptrag.prediction.bundle import write_bundle
from ptrag.splits.protocols import read_split
from ptrag.training.checkpoint import digest, load_checkpoint, store_digest, training_digest
from ptrag.training.data import Steps
from ptrag.training.known import Known, know
from ptrag.training.milestones import Milestones
from ptrag.training.module import TrainingModule
from ptrag.training.validation import validate, validation_pairs

PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed"}  # Lightning's names

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
    known = know(arm, options, store, roles, embedding, index)
    hashes = {"cells": store_digest(store), "split": sha256(split)}
    if embedding is not None:
        hashes["embedding"] = sha256(embedding)
    if index is not None:
        hashes["neighbours"] = sha256(Path(index) / "neighbours.tsv")
    fingerprint = digest(arm, options, model, training, seed, hashes, training_digest(arm))

    shapes = Shapes(store.n_genes, known.perturbations.features.shape[1], len(store.batches))
    torch.manual_seed(int(keyed_rng(seed, "weights").integers(2**63)))
    network = load_arm(arm).build(options, model, shapes)
    network.start_at(torch.from_numpy(_mean_control(store)))
    checkpoint = bundle.parent / "checkpoints" / "last.ckpt"
    state = load_checkpoint(checkpoint, fingerprint)
    if state:
        logger.info("%s: going on from step %d", name, state["done"])
        network.load_state_dict(state["network"])
    module = _module(network, store, known, options, training, seed, state)
    groups = None if known.shifts is None else [p for _, p in known.pairs["val"]]
    milestones = Milestones(
        name, training, _validation(module, known, training), groups, checkpoint, fingerprint, state
    )
    if not milestones.finished and not _fit(module, known, milestones, training, seed):
        return  # another process writes

    best = milestones.best
    network.load_state_dict(best["weights"], strict=False)
    logger.info(
        "%s: taking step %d, val %s %.4g", name, best["step"], training["monitor"], best["value"]
    )
    about = {
        "arm": arm, "seed": seed, "options": options, "model": model, "training": training,
        "step": best["step"], "validation": {training["monitor"]: best["value"]},
        "trained": sorted({p for _, p in known.pairs["train"]}), "hashes": hashes,
        "split": {"protocol": roles.protocol, "target": roles.target},
    }  # fmt: skip
    write_bundle(bundle, network, store, about, embedding, index, known.responses)
    columns = ["step", "split", "metric", "value"]
    write_table(pd.DataFrame(milestones.history, columns=columns), history)
    checkpoint.unlink(missing_ok=True)


def _mean_control(store: CellStore) -> np.ndarray:
    """Return the mean control profile, (G,); each line counts the same."""
    return np.mean([store.control_mean(line, GIVEN) for line in store.lines], axis=0)


def _module(
    network: Network,
    store: CellStore,
    known: Known,
    options: dict[str, Any],
    training: dict[str, Any],
    seed: int,
    state: dict[str, Any] | None,
) -> TrainingModule:
    sparsity = options.get("gumbel_sparsity_weight", 0) * options.get("gumbel_sparsity_loss", False)
    shifts = None if known.shifts is None else known.shifts["train"]
    module = TrainingModule(
        network, store, known.perturbations.features, training, sparsity, seed, shifts
    )
    if state:
        module.optimizer_state, module.losses = state["optimizer"], state["losses"]
    return module


def _validation(
    module: TrainingModule, known: Known, training: dict[str, Any]
) -> Callable[[], dict[str, np.ndarray]]:
    refinement = module.network.refinement
    held = validation_pairs(
        module.store, known.pairs["val"], known.numbers["val"], known.perturbations,
        training["set_size"], refinement is not None and refinement.random_at_inference,
        None if known.shifts is None else known.shifts["val"],
    )  # fmt: skip
    return lambda: validate(
        module.network, module.cells, module.features, known.perturbations, held
    )


def _fit(
    module: TrainingModule,
    known: Known,
    milestones: Milestones,
    training: dict[str, Any],
    seed: int,
) -> bool:
    """Train; return whether this process is the one that writes."""
    world = training["devices"] * training["num_nodes"]
    if training["sets"] % world:
        raise PtragError(
            f"training.sets: {training['sets']} sets cannot be shared by {world} devices; "
            "choose a multiple"
        )
    tasks = int(os.environ.get("SLURM_NTASKS", world))
    if training["num_nodes"] > 1 and tasks < world:
        raise PtragError(
            f"training.num_nodes: {training['num_nodes']} nodes of {training['devices']} devices "
            f"need {world} Slurm tasks and this job has {tasks}; use one node and more `devices`"
        )
    sampler = SetSampler(
        module.store, known.pairs["train"], training["sets"], training["set_size"], seed,
        training["match_batch"],
    )  # fmt: skip
    steps = Steps(
        sampler, known.perturbations, known.numbers["train"], milestones.done,
        training["max_steps"],
    )  # fmt: skip
    if training["precision"] == "bf16" and not has_bf16():
        logger.warning(
            "training.precision: bf16 on a processor without bf16 units, where it is many times "
            "slower than fp32; set fp32, or train on a GPU"
        )
    if training["compile"]:
        module.network.compile()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # a batch is a few thousand row numbers: workers would cost more than they save
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
        trainer = lightning.Trainer(
            accelerator="gpu" if torch.cuda.is_available() else "cpu",
            devices=training["devices"], num_nodes=training["num_nodes"],
            strategy=training["strategy"], precision=PRECISION[training["precision"]],
            # on one node the processes are started here, whatever a cluster's variables say
            plugins=[LightningEnvironment()] if training["num_nodes"] == 1 else None,
            max_epochs=1, gradient_clip_val=training["gradient_clip"], callbacks=[milestones],
            use_distributed_sampler=False, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, DataLoader(steps, batch_size=None))
    return trainer.is_global_zero
