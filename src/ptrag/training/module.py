"""The LightningModule: one training step and its optimiser."""

from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from torch import Tensor, nn

from ptrag.arms.neural.losses import energy_distance
from ptrag.arms.neural.networks import Batch
from ptrag.base.random import keyed_rng
from ptrag.cells.store import CellStore
from ptrag.training.data import Cells, Step, process
from ptrag.training.job import TrainingJob


def moved(batch: Batch, shifts: Tensor) -> Batch:
    """Return a batch with the expert's cells: controls (B, S, G) moved by (B, G)."""
    return batch._replace(base=torch.relu(batch.control + shifts.unsqueeze(1)))


class TrainingModule(lightning.LightningModule):
    """Energy distance + λ · mean gate, by Adam.

    Parameters
    ----------
    job
        Its settings and λ. Dropout and gate noise of step t depend on its seed and t alone (and
        on the process, where several train together).
    network
        What is trained.
    store
        The cells.
    features
        (P, E) features of all perturbations.
    shifts
        (pairs, G) by which the expert moves the control cells of each pair; None without.

    Attributes
    ----------
    cells
        The cells on the module's device, from the start of the fit on.
    losses
        (loss, energy, mean gate) of each step since the last validation.
    optimizer_state
        State of the optimiser to go on from, or None.
    replays
        Whether the network's step is recorded once and replayed
        (:func:`ptrag.training.device.compile_for`), for which all its inputs have the same shape
        in every step: all perturbations are encoded instead of the distinct ones of the step.
    """

    def __init__(
        self,
        job: TrainingJob,
        network: nn.Module,
        store: CellStore,
        features: np.ndarray,
        shifts: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("features", torch.from_numpy(features), persistent=False)
        shifts = None if shifts is None else torch.from_numpy(shifts)
        self.register_buffer("shifts", shifts, persistent=False)
        self.job = job
        self.store, self.cells = store, None
        self.losses: list[Tensor] = []
        self.optimizer_state: dict[str, Any] | None = None
        self.replays = False

    def on_fit_start(self) -> None:
        """Open the cells where the network is; losses before an interruption go there, too."""
        self.cells = Cells(self.store, self.device)
        self.losses = [loss.to(self.device) for loss in self.losses]
        self.replays = self.job.training["compile"] and self.device.type == "cuda"

    def training_step(self, step: Step, index: int) -> Tensor:
        """Return the loss of one batch of sets."""
        key = (
            self.job.seed,
            "noise",
            int(step.number),
            *([rank] if (rank := process()[0]) else []),
        )
        torch.manual_seed(int(keyed_rng(*key).integers(2**63)))
        asked = self.features[step.distinct], step.query, step.candidates
        if self.replays:
            torch.compiler.cudagraph_mark_step_begin()
            asked = self.features, step.distinct[step.query], step.distinct[step.candidates]
        batch = Batch(
            self.cells.expression(step.control), self.cells.batch_codes(step.control), *asked
        )
        if self.shifts is not None:
            batch = moved(batch, self.shifts[step.pair])
        predicted = self.network(batch)
        energy = energy_distance(predicted.cells, self.cells.expression(step.perturbed)).mean()
        gate = energy.new_zeros(()) if predicted.gates is None else predicted.gates.float().mean()
        loss = energy + self.job.sparsity * gate
        self.losses.append(torch.stack([loss, energy, gate]).detach())
        self.step = int(step.number)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam over what is not frozen, without weight decay, at a constant rate.

        On a GPU in one kernel: the parameters are small, and one by one they wait for launches.
        """
        trainable = [p for p in self.network.parameters() if p.requires_grad]
        fused = all(p.is_cuda for p in trainable)
        rate = self.job.training["learning_rate"]
        optimizer = torch.optim.Adam(trainable, lr=rate, fused=fused)
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
        return optimizer
