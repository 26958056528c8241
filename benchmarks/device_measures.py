"""What ``gpu.py`` measures on a device: steps, loading, trainings, prediction, losses, kernels.

Each function takes a :class:`Bench` and returns numbers that JSON has.
"""

import argparse
import contextlib
import re
import statistics
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from child import MIB, wait
from device_cells import BATCHES, DeviceCells
from made import Sizes, network, perturbations
from torch import Tensor
from train_step import CLIP, JOB

from ptrag.arms.neural.networks import SETS, Batch
from ptrag.cells.sets import SetSampler
from ptrag.training.data import Steps
from ptrag.training.device import compile_for, device_here, loader
from ptrag.training.module import TrainingModule

STEPS = 50_001  # of the published training
PRECISIONS = {"fp32": "32-true", "tf32": "32-true", "bf16": "bf16-mixed"}


class Module(TrainingModule):
    """The package's training step, on cells that are made."""

    def on_fit_start(self) -> None:
        """Take the made cells instead of opening a file."""
        made = self.store
        self.cells = SimpleNamespace(
            expression=made.expression, batch_codes=made.batch_codes_of, device=made.device
        )
        self.replays = self.job.training["compile"] and made.device.type == "cuda"


class Bench:
    """One device, its cells and the sizes."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.device = given, device_here()
        self.cells = DeviceCells(given.cells, given.genes, self.device)
        self.sizes = Sizes(
            given.set_size, given.genes, given.hidden, given.layers, given.candidates
        )

    def module(self, sets: int, compiled: bool, arm: str = "ptrag") -> tuple[Module, Steps]:
        """Return an untrained module and what it trains on."""
        known = perturbations(self.sizes.candidates if "rag" in arm else 0)
        training = JOB.training | {"compile": compiled, "sets": sets}
        job = SimpleNamespace(seed=0, training=training, sparsity=JOB.sparsity)
        made = network(arm, self.sizes, BATCHES).train()
        module = Module(job, made, self.cells, known.features).to(self.device)
        module.on_fit_start()
        if compiled:
            compile_for(made, self.device)
        pairs = self.cells.pairs
        numbers = np.array([known.number(name) for _, name in pairs])
        sampler = SetSampler(self.cells, pairs, sets, self.sizes.set_size, seed=0, match_batch=True)
        return module, Steps(sampler, known, numbers, 0, 10**6)

    def stepper(self, module: Module, drawn: Steps, precision: str) -> Callable[[], Tensor]:
        """Return one training step as Lightning does it, on batches that are drawn ahead."""
        optimizer = module.configure_optimizers()
        trained = [p for p in module.network.parameters() if p.requires_grad]
        batches = iter(loader(drawn, self.device))

        def step() -> Tensor:
            batch = moved_to(next(batches), self.device)
            with cast(self.device, precision):
                loss = module.training_step(batch, 0)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, CLIP)
            optimizer.step()
            return loss.detach()

        return step


def moved_to(batch: Any, device: torch.device) -> Any:
    """Return a batch with its tensors on the device."""
    there = {k: v.to(device, non_blocking=True) for k, v in batch._asdict().items()
             if isinstance(v, Tensor)}  # fmt: skip
    return batch._replace(**there)


@contextlib.contextmanager
def cast(device: torch.device, precision: str) -> Iterator[None]:
    """Compute in a precision: float32, float32 by TF32 units, or autocast to bfloat16."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        if precision == "bf16":
            with torch.autocast(device.type, torch.bfloat16):
                yield
        else:
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def steps_a_second(bench: Bench, sets: int, precision: str, compiled: bool) -> dict[str, Any]:
    """Time training steps, and sample what the device does in the meantime."""
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    module, drawn = bench.module(sets, compiled)
    step = bench.stepper(module, drawn, precision)
    begun = time.perf_counter()
    for _ in range(4 if compiled else 2):  # compiling, recording
        step()
    wait(bench.device.type)
    prepared = time.perf_counter() - begun
    n = bench.given.steps
    with sampled_device() as samples:
        begun = time.perf_counter()
        for _ in range(n):
            step()
        wait(bench.device.type)
        seconds = time.perf_counter() - begun
    result = {"steps_per_s": n / seconds, "ms": seconds / n * 1e3, "prepared_s": prepared}
    result |= {"utilisation": statistics.mean(samples) if samples else None}
    if bench.device.type == "cuda":
        result["peak_gib"] = torch.cuda.max_memory_allocated() / 1024 / MIB
    return result


@contextlib.contextmanager
def sampled_device() -> Iterator[list[float]]:
    """Yield a list that fills with the percentages of time in which kernels ran (NVML)."""
    samples: list[float] = []
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits",
               "-lms", "200"]  # fmt: skip
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    except OSError:
        yield samples
        return

    def read() -> None:
        for line in process.stdout:
            if value := re.match(r"\d+", line):
                samples.append(float(value[0]))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        process.terminate()
        thread.join(2)


def loading(bench: Bench, sets: int) -> dict[str, Any]:
    """Time what a step reads: drawn in this process, and the cells by row number."""
    module, drawn = bench.module(sets, compiled=False)
    n = bench.given.steps
    begun = time.perf_counter()
    drawn_steps = [drawn[i] for i in range(n)]
    drawing = (time.perf_counter() - begun) / n
    batches = [moved_to(torch.utils.data.default_convert(s), bench.device) for s in drawn_steps]
    wait(bench.device.type)
    begun = time.perf_counter()
    for batch in batches:
        module.cells.expression(batch.control)
        module.cells.expression(batch.perturbed)
        module.cells.batch_codes(batch.control)
    wait(bench.device.type)
    gathering = (time.perf_counter() - begun) / n
    return {"drawing_ms": drawing * 1e3, "gathering_ms": gathering * 1e3}


class Clock(lightning.Callback):
    """Seconds of the steps after the first few."""

    def __init__(self, device: torch.device, skipped: int) -> None:
        self.device, self.skipped = device, skipped
        self.begun = self.seconds = self.steps = 0.0

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int):
        """Start the clock once what is compiled is compiled, and read it at the end."""
        last = index + 1 == trainer.max_steps
        if index + 1 == self.skipped or last:
            wait(self.device.type)
        if index + 1 == self.skipped:
            self.begun = time.perf_counter()
        if last:
            self.seconds, self.steps = time.perf_counter() - self.begun, index + 1 - self.skipped


def through_lightning(bench: Bench, sets: int, precision: str, compiled: bool) -> dict[str, Any]:
    """Time steps as a training takes them, and give the time of the published number of steps."""
    module, drawn = bench.module(sets, compiled)
    skipped = 5
    clock = Clock(bench.device, skipped)
    with warnings.catch_warnings(), cast(bench.device, "tf32" if precision == "tf32" else "fp32"):
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            accelerator="gpu" if bench.device.type == "cuda" else "cpu", devices=1,
            precision=PRECISIONS[precision], max_steps=skipped + bench.given.steps,
            gradient_clip_val=CLIP, callbacks=[clock], logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, loader(drawn, bench.device))
    each = clock.seconds / clock.steps
    return {"ms": each * 1e3, "minutes_of_50001": each * STEPS / 60}


def prediction(bench: Bench, precision: str) -> dict[str, Any]:
    """Time predicted cells of one pair, in whole batches, without evidence."""
    made, known = network("ptrag", bench.sizes, BATCHES), perturbations(bench.sizes.candidates)
    made = made.to(bench.device).eval()
    distinct, query, candidates = known.look_up(np.ones(SETS, int))
    S = bench.sizes.set_size
    rows = torch.arange(SETS * S, device=bench.device).view(SETS, S) % len(bench.cells.X)
    tensors = (torch.from_numpy(x).to(bench.device) for x in (query, candidates))
    query, candidates = tensors
    batch = Batch(
        bench.cells.expression(rows), bench.cells.batch_codes_of(rows),
        torch.from_numpy(known.features[distinct]).to(bench.device), query, candidates,
        torch.zeros(SETS, S, bench.sizes.candidates, device=bench.device),
    )  # fmt: skip
    with torch.inference_mode(), cast(bench.device, precision):
        made(batch)
        wait(bench.device.type)
        begun = time.perf_counter()
        for _ in range(bench.given.steps):
            made(batch)
        wait(bench.device.type)
        seconds = time.perf_counter() - begun
    return {"cells_per_s": bench.given.steps * SETS * S / seconds}


def curves(bench: Bench, sets: int) -> dict[str, Any]:
    """Return the loss of the same steps in float32 and in bf16, every tenth."""
    losses = {}
    for precision in ("fp32", "bf16"):
        module, drawn = bench.module(sets, compiled=False)
        step = bench.stepper(module, drawn, precision)
        losses[precision] = torch.stack([step() for _ in range(bench.given.curve)]).float().cpu()
    difference = losses["bf16"] - losses["fp32"]
    tail = slice(-max(1, bench.given.curve // 10), None)
    return {
        **{key: values[::10].tolist() for key, values in losses.items()},
        "last_fp32": float(losses["fp32"][tail].mean()),
        "last_difference": float(difference[tail].mean()),
    }


def profile(bench: Bench, sets: int, precision: str, compiled: bool) -> dict[str, Any]:
    """Return the kernels that take most of the time, and the share in which none runs."""
    module, drawn = bench.module(sets, compiled)
    step = bench.stepper(module, drawn, precision)
    for _ in range(4):
        step()
    wait(bench.device.type)
    on_gpu = bench.device.type == "cuda"
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if on_gpu:
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    n = 5
    begun = time.perf_counter()
    with torch.profiler.profile(activities=kinds) as profiler:
        for _ in range(n):
            step()
        wait(bench.device.type)
    wall = (time.perf_counter() - begun) / n * 1e3
    key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = sorted(profiler.key_averages(), key=lambda event: -getattr(event, key))
    total = sum(getattr(event, key) for event in events) / n / 1e3
    top = [(event.key, getattr(event, key) / n / 1e3, event.count // n) for event in events[:12]]
    launches = sum(e.count for e in events if "LaunchKernel" in e.key or "GraphLaunch" in e.key)
    return {"wall_ms": wall, "busy_ms": total, "launches": launches // n, "kernels": top}
