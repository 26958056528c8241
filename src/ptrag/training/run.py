"""Train one neural arm with one seed, from files to a bundle."""

import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment

from ptrag.arms.arm import ClosedForm
from ptrag.arms.neural.autocast import has_bf16
from ptrag.arms.neural.networks import Network, Shapes
from ptrag.arms.registry import load_arm
from ptrag.base.errors import PtragError
from ptrag.base.files import sha256, write_table
from ptrag.base.memory import keep_freed_memory
from ptrag.base.names import N_CELLS, ROLE
from ptrag.base.random import keyed_rng
from ptrag.cells.controls import GIVEN
from ptrag.cells.responses import Responses
from ptrag.cells.sets import SetSampler
from ptrag.cells.store import CellStore
from ptrag.genes.embeddings import read_embedding
from ptrag.prediction.bundle import facts_of, write_bundle
from ptrag.prediction.lines import Lines
from ptrag.prediction.network_files import network_files
from ptrag.splits.protocols import Split, read_split
from ptrag.training.averaging import WeightAverage, averaging
from ptrag.training.checkpoint import digest, load_checkpoint, store_digest, training_digest
from ptrag.training.data import Steps
from ptrag.training.device import compile_for, device_here, loader
from ptrag.training.job import TrainingJob
from ptrag.training.known import Known, know
from ptrag.training.milestones import Milestones
from ptrag.training.module import TrainingModule
from ptrag.training.size import sized
from ptrag.training.validation import validate, validation_pairs

PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed"}  # Lightning's names

logger = logging.getLogger("ptrag")


def train(job: TrainingJob) -> None:
    """Train, and write the bundle of the checkpoint that validates best.

    A training that was killed goes on from ``checkpoints/last.ckpt`` beside the bundle and
    ends with the same bits as one that was not; a checkpoint of other settings, inputs or code
    is left aside. It is removed when the bundle stands.

    Parameters
    ----------
    job
        What to train, on what, and where to write. The table ``history`` has columns step,
        split, metric, value; ``seconds`` has step and seconds. Wall time stands in a table of
        its own since it is the one thing that differs between equal trainings.

    Raises
    ------
    PtragError
        For an option that contradicts the arm, no pair to train or validate on, or a loss that
        is not finite.
    """
    torch.set_num_threads(job.training["threads"])
    keep_freed_memory()
    store, split = CellStore(job.cells), read_split(job.split)
    trained = split.table[split.table[ROLE] == "train"]
    job = replace(job, training=sized(job.training, int(trained[N_CELLS].sum())))
    known = know(job, store, split)
    if not known.validates_unseen:  # each vector is then asked for as it was trained on
        job = replace(job, model=job.model | {"vector_noise": 0.0})
    hashes = input_hashes(job, store)
    fingerprint = digest(
        job.arm, job.options, job.model, job.training, job.seed, hashes, training_digest(job.arm)
    )
    network = _new_network(job, store, known)
    state = load_checkpoint(job.checkpoint, fingerprint)
    if state:
        logger.info("%s: going on from step %d", job.name, state["done"])
        network.load_state_dict(state["network"])
    average = WeightAverage(network, averaging(job.training))
    if state:
        average.network.load_state_dict(state["average"])
    module = _module(job, network, store, known, state)
    groups = None if known.shifts is None else [p for _, p in known.pairs["val"]]
    validation = _validation(job, module, known)
    milestones = Milestones(job, average, validation, groups, fingerprint, state)
    if not milestones.finished and not _fit(job, module, known, milestones):
        return  # another process writes

    best = milestones.best
    network.load_state_dict(best["weights"], strict=False)
    monitor = job.training["monitor"]
    logger.info("%s: taking step %d, val %s %.4g", job.name, best["step"], monitor, best["value"])
    about = facts_of(store, job.arm, job.options, hashes) | {
        "seed": job.seed, "model": job.model, "training": job.training,
        "step": best["step"], "validation": {monitor: best["value"]},
        "plateau": not milestones.still_improving(),
        "trained": sorted({p for _, p in known.pairs["train"]}), "batches": store.batches,
        "features": network.encode_perturbation.in_features,
        "split": {"protocol": split.protocol, "target": split.target},
    }  # fmt: skip
    _write_bundle(job, network, store, split, about, known.expert)
    columns = ["step", "split", "metric", "value"]
    write_table(pd.DataFrame(milestones.history, columns=columns), job.history)
    write_table(pd.DataFrame(milestones.seconds, columns=["step", "seconds"]), job.seconds)
    job.checkpoint.unlink(missing_ok=True)


def _write_bundle(
    job: TrainingJob,
    network: Network,
    store: CellStore,
    split: Split,
    about: dict[str, Any],
    expert: ClosedForm | None,
) -> None:
    """Write the bundle: the network, its expert if it has one, and the lines it learnt from."""
    files = dict(network_files(network))
    if expert is not None:
        files[f"fitted/{split.protocol}.npz"] = partial(load_arm(job.arm).write, expert)
    lines = Lines.of(expert.responses if expert else Responses.measured(store, split), store)
    embedding = job.embedding and read_embedding(job.embedding)
    index = None if expert else job.index
    write_bundle(job.bundle, about, lines, files, embedding, job.provider, index)


def input_hashes(job: TrainingJob, store: CellStore) -> dict[str, str]:
    """Return hashes of what a training reads."""
    hashes = {"cells": store_digest(store), "split": sha256(job.split)}
    if job.embedding is not None:
        hashes["embedding"] = sha256(job.embedding)
    if job.index is not None:
        hashes["neighbours"] = sha256(job.index / "neighbours.tsv")
    return hashes


def _new_network(job: TrainingJob, store: CellStore, known: Known) -> Network:
    """Return the untrained network; its weights depend on the seed alone."""
    shapes = Shapes(store.n_genes, known.perturbations.features.shape[1], len(store.batches))
    torch.manual_seed(int(keyed_rng(job.seed, "weights").integers(2**63)))
    network = load_arm(job.arm).build(job.options, job.model, shapes)
    network.start_at(torch.from_numpy(_mean_control(store)))
    return network


def _mean_control(store: CellStore) -> np.ndarray:
    """Return the mean control profile, (G,); each line counts the same."""
    return np.mean([store.control_mean(line, GIVEN) for line in store.lines], axis=0)


def _module(
    job: TrainingJob, network: Network, store: CellStore, known: Known, state: dict[str, Any] | None
) -> TrainingModule:
    shifts = None if known.shifts is None else known.shifts["train"]
    module = TrainingModule(job, network, store, known.perturbations.features, shifts)
    if state:
        module.optimizer_state, module.losses = state["optimizer"], state["losses"]
    return module


def _validation(
    job: TrainingJob, module: TrainingModule, known: Known
) -> Callable[[Network], dict[str, np.ndarray]]:
    refinement, set_size = module.network.refinement, job.training["set_size"]
    noise_shape = None
    if refinement is not None and refinement.random_at_inference:
        noise_shape = set_size, known.perturbations.candidates.shape[1]
    pairs = validation_pairs(
        module.store, known.pairs["val"], known.numbers["val"], noise_shape,
        None if known.shifts is None else known.shifts["val"],
    )  # fmt: skip
    return lambda network: validate(
        network, module.cells, module.features, known.perturbations, pairs, set_size
    )


def _fit(job: TrainingJob, module: TrainingModule, known: Known, milestones: Milestones) -> bool:
    """Train; return whether this process is the one that writes."""
    _check_devices(job.training)
    steps = _steps(job, module.store, known, milestones.done)
    device = device_here()
    if job.training["compile"]:
        compile_for(module.network, device)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # a batch is a few thousand row numbers: workers would cost more than they save
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")  # Lightning's own
        warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
        trainer = _trainer(job.training, milestones)
        trainer.fit(module, loader(steps, device))
    return trainer.is_global_zero


def _steps(job: TrainingJob, store: CellStore, known: Known, done: int) -> Steps:
    training = job.training
    sampler = SetSampler(
        store, known.pairs["train"], training["sets"], training["set_size"], job.seed,
        training["match_batch"],
    )  # fmt: skip
    numbers = known.numbers["train"]
    return Steps(sampler, known.perturbations, numbers, done, training["max_steps"])


def _check_devices(training: dict[str, Any]) -> None:
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
    if training["precision"] == "bf16" and not has_bf16():
        logger.warning(
            "training.precision: bf16 on a processor without bf16 units, where it is many times "
            "slower than fp32; set fp32, or train on a GPU"
        )


def _trainer(training: dict[str, Any], milestones: Milestones) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="gpu" if device_here().type == "cuda" else "cpu",
        devices=training["devices"], num_nodes=training["num_nodes"],
        strategy=training["strategy"], precision=PRECISION[training["precision"]],
        # on one node the processes are started here, whatever a cluster's variables say
        plugins=[LightningEnvironment()] if training["num_nodes"] == 1 else None,
        max_epochs=1, gradient_clip_val=training["gradient_clip"], callbacks=[milestones],
        use_distributed_sampler=False, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
