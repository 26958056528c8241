"""One training step: drawing and reading cells, forward, backward, Adam."""

import contextlib
import time
from pathlib import Path
from typing import Any

import torch
from child import child, timed, wait
from made import Sizes, network, perturbations, steps
from torch.utils.data import default_convert

from ptrag.arms.neural.networks import Network
from ptrag.base.memory import keep_freed_memory
from ptrag.cells.store import CellStore
from ptrag.training.job import TrainingJob
from ptrag.training.module import TrainingModule

NOWHERE = Path("nowhere")
JOB = TrainingJob(
    arm="ptrag", seed=0, cells=NOWHERE, split=NOWHERE, embedding=None, index=None,
    options={"gumbel_sparsity_loss": True, "gumbel_sparsity_weight": 0.1}, model={},
    training={
        "learning_rate": 1e-3, "published": True, "compile": False, "max_steps": 10**6,
    },
    bundle=NOWHERE, history=NOWHERE,
)  # fmt: skip
CLIP = 10.0


def ours(
    made: Network,
    store: CellStore,
    drawn: Any,
    features: Any,
    device: str,
    precision: str,
) -> tuple[Any, Any]:
    """Return the package's step, and the part of it that only gets data."""
    module = TrainingModule(JOB, made, store, features).to(device)
    module.on_fit_start()
    optimizer = module.configure_optimizers()
    numbers = iter(range(10**6))

    def data() -> Any:
        step = default_convert(drawn[next(numbers)])
        return step._replace(
            **{k: v.to(device) for k, v in step._asdict().items() if k != "number"}
        )

    def step() -> None:
        batch = data()
        cast = contextlib.nullcontext()
        if precision == "bf16":
            cast = torch.autocast(device, torch.bfloat16)
        with cast:
            loss = module.training_step(batch, 0)
        finish(loss, optimizer, made)

    def load() -> None:
        batch = data()
        module.cells.expression(batch.control)
        module.cells.batch_codes(batch.control)
        module.cells.expression(batch.perturbed)

    return step, load


def direct(
    made: Network, store: CellStore, drawn: Any, features: Any, device: str
) -> tuple[Any, Any]:
    """Return the direct form's step, and the part of it that only gets data."""
    from direct import DirectNetwork, energy_distance, load

    made = DirectNetwork(made).train().to(device)
    features = torch.from_numpy(features)
    optimizer = torch.optim.Adam([p for p in made.parameters() if p.requires_grad], lr=1e-3)
    numbers = iter(range(10**6))

    def data() -> Any:
        batch, observed = load(store, features, drawn[next(numbers)])
        there = {k: v.to(device) for k, v in batch._asdict().items() if v is not None}
        return batch._replace(**there), observed.to(device)

    def step() -> None:
        batch, observed = data()
        predicted = made(batch)
        loss = energy_distance(predicted.cells, observed).mean()
        finish(loss + JOB.sparsity * predicted.gates.mean(), optimizer, made)

    return step, data


def finish(loss: torch.Tensor, optimizer: torch.optim.Optimizer, made: torch.nn.Module) -> None:
    """Backward, clipping and Adam."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_([p for p in made.parameters() if p.requires_grad], CLIP)
    optimizer.step()


def case(
    store: str,
    form: str,
    arm: str,
    sets: int,
    sizes: list[int],
    repeats: int,
    threads: int,
    device: str = "cpu",
    keep: bool = True,
    precision: str = "fp32",
    compiled: bool = False,
) -> dict[str, Any]:
    """Time the step of an arm, ``form`` ours or direct; ``keep`` freed memory or hand it back."""
    torch.set_num_threads(threads)
    if keep and form == "ours":
        keep_freed_memory()
    at, cells = Sizes(*sizes), CellStore(Path(store))
    known = perturbations(at.candidates if "rag" in arm else 0)
    drawn = steps(cells, known, sets, at.set_size)
    made = network(arm, at, len(cells.batches)).train()
    if compiled:
        made.compile()
    if form == "ours":
        step, load = ours(made, cells, drawn, known.features, device, precision)
    else:
        step, load = direct(made, cells, drawn, known.features, device)
    result = timed(step, repeats, device)
    load()
    begun = time.perf_counter()
    for _ in range(repeats):
        load()
        wait(device)
    return result | {"loading": (time.perf_counter() - begun) / repeats}


if __name__ == "__main__":
    child(case)
