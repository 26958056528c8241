"""Measure a training on a GPU in one command of at most twelve minutes: ``make bench-gpu``.

Makes its own cells on the device (640,000 × 2,000 by default) and measures: steps a second of
64×64 and 16×64 cells in float32, TF32 and bf16, with and without ``torch.compile``; utilisation and
memory (NVML, by nvidia-smi); what loading takes; steps through Lightning, as a training takes them,
and from these the time of 50,001 steps; predicted cells a second; the loss of bf16 beside float32;
and which kernels take the time. Writes ``gpu-NAME.json`` and ``gpu-NAME.md``. Without a GPU it does
the same on the CPU with tiny sizes and uncompiled, to show that it runs: these numbers say nothing.
"""

import argparse
import contextlib
import json
import platform
import re
import statistics
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from child import MIB, ROOT, wait
from made import Sizes, network, perturbations
from torch import Tensor
from train_step import CLIP, JOB

from ptrag.arms.neural.networks import SETS, Batch
from ptrag.base.memory import keep_freed_memory
from ptrag.cells.sets import SetSampler
from ptrag.training.data import Steps
from ptrag.training.device import compile_for, device_here, loader
from ptrag.training.module import TrainingModule

STEPS = 50_001  # of the published training
GOAL_MINUTES = 20
PRECISIONS = {"fp32": "32-true", "tf32": "32-true", "bf16": "bf16-mixed"}
LINES, CONTROLS, BATCHES = 4, 20_000, 48
TINY = {"cells": 2000, "genes": 40, "hidden": 16, "layers": 1, "candidates": 4, "set_size": 8,
        "steps": 3, "curve": 6}  # fmt: skip


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Return sizes; those of a CPU are tiny unless given."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    sizes = {"cells": 640_000, "genes": 2000, "hidden": 128, "layers": 8, "candidates": 32,
             "set_size": 64, "steps": 100, "curve": 500}  # fmt: skip
    if device_here().type == "cpu":
        sizes = TINY
    for key, value in sizes.items():
        add(f"--{key.replace('_', '-')}", type=int, default=value)
    add("--sets", nargs="+", type=int, default=[64, 16] if sizes is not TINY else [2])
    add("--minutes", type=float, default=12.0, help="what is not measured by then is left out")
    add("--out", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args(given)


class DeviceCells:
    """Made cells where the network is: what a store and its cells are to a training."""

    def __init__(self, n: int, genes: int, device: torch.device) -> None:
        self.device = device
        generator = torch.Generator(device).manual_seed(0)
        self.X = torch.empty(n, genes, device=device)
        for start in range(0, n, 16_384):
            block = self.X[start : start + 16_384]
            block.normal_(0.0, 1.0, generator=generator).sub_(0.5).clamp_(0, 9)
        rng = np.random.default_rng(0)
        self.batch_codes = rng.integers(0, BATCHES, n).astype(np.int32)
        self._codes = torch.from_numpy(self.batch_codes.astype(np.int64)).to(device)
        self.batches = [str(i) for i in range(BATCHES)]
        self.lines = [f"line{i}" for i in range(LINES)]
        self._of_line = n // LINES
        self._controls = min(CONTROLS, self._of_line // 4)
        self.pairs = [
            (line, f"P{i:04}")
            for line in self.lines
            for i in range(min(1800, (self._of_line - self._controls) // 64 or 1))
        ]
        self._n_pairs = len(self.pairs) // LINES

    def rows(self, line: str, perturbation: str) -> slice:
        """Return the rows of a pair."""
        start = self.lines.index(line) * self._of_line + self._controls
        each = (self._of_line - self._controls) // self._n_pairs
        start += int(perturbation[1:]) * each
        return slice(start, start + each)

    def control_rows(self, line: str, part: str) -> slice:
        """Return the rows of a line's controls."""
        start = self.lines.index(line) * self._of_line
        return slice(start, start + self._controls)

    def expression(self, rows: Tensor) -> Tensor:
        """Return (*rows.shape, G)."""
        return self.X.index_select(0, rows.flatten()).view(*rows.shape, -1)

    def batch_codes_of(self, rows: Tensor) -> Tensor:
        """Return the batch of each row."""
        return self._codes[rows]


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


def main(given: argparse.Namespace) -> str:
    """Measure everything that the minutes allow and write it."""
    keep_freed_memory()
    begun = time.monotonic()
    bench = Bench(given)
    results: dict[str, Any] = {}

    def measure(name: str, case: Callable[..., dict[str, Any]], *of: Any) -> None:
        if time.monotonic() - begun > 60 * given.minutes:
            results[name] = {"left_out": "no time was left"}
            return
        try:
            results[name] = case(bench, *of)
        except Exception as error:  # one option that fails leaves the others
            results[name] = {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
        finally:
            torch.compiler.reset()
            if bench.device.type == "cuda":
                torch.cuda.empty_cache()
        print(f"{time.monotonic() - begun:5.0f} s: {name}", file=sys.stderr)

    modes = (False, True) if bench.device.type == "cuda" else (False,)
    first = given.sets[0]
    size = f"{first}×{given.set_size}"
    for sets in given.sets:
        for compiled in modes:
            for precision in PRECISIONS:
                name = f"{sets}×{given.set_size} {precision}{' compiled' if compiled else ''}"
                measure(f"step {name}", steps_a_second, sets, precision, compiled)
    measure(f"loading {size}", loading, first)
    for precision, compiled in (("fp32", False), *(("bf16", mode) for mode in modes)):
        name = f"{size} {precision}{' compiled' if compiled else ''}"
        measure(f"training {name}", through_lightning, first, precision, compiled)
    for precision in PRECISIONS:
        measure(f"prediction {precision}", prediction, precision)
    measure(f"losses {size}", curves, first)
    for compiled in modes:
        name = f"profile {size} bf16{' compiled' if compiled else ''}"
        measure(name, profile, first, "bf16", compiled)
    record = {"machine": machine(bench.device), "sizes": sizes_of(given), "results": results,
              "minutes": (time.monotonic() - begun) / 60}  # fmt: skip
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / f"gpu-{record['machine']['short']}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    text = table(record)
    path.with_suffix(".md").write_text(text)
    return text


def sizes_of(given: argparse.Namespace) -> dict[str, Any]:
    """Return the sizes that were measured at."""
    return {key: value for key, value in vars(given).items() if key != "out"}


def machine(device: torch.device) -> dict[str, Any]:
    """Say what was measured on, by kind and not by name."""
    facts = {"python": platform.python_version(), "torch": torch.__version__, "device": "cpu"}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts["device"] = properties.name
        facts["memory_gib"] = round(properties.total_memory / 1024 / MIB)
    facts["short"] = re.sub(r"\W+", "-", facts["device"].lower()).strip("-")
    return facts


def table(record: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    facts = record["machine"]
    lines = [
        f"{facts['device']}, torch {facts['torch']}, {record['minutes']:.1f} minutes in all."
        + (" No GPU: tiny sizes, which show that the command runs and nothing else."
           if facts["device"] == "cpu" else ""),
        "", "| | |", "|---|---|",
    ]  # fmt: skip
    for name, result in record["results"].items():
        lines.append(f"| {name} | {_shown(name, result)} |")
    for name, result in record["results"].items():
        if "kernels" in result:
            lines += ["", f"{name}:", "", "| kernel | ms a step | times |", "|---|---|---|"]
            lines += [f"| `{k[:80]}` | {ms:.3f} | {n} |" for k, ms, n in result["kernels"]]
    return "\n".join(lines) + "\n"


def _shown(name: str, result: dict[str, Any]) -> str:
    if problem := result.get("left_out") or result.get("failed"):
        return problem.replace("|", "/").replace("\n", " ")
    if name.startswith("step"):
        busy = result["utilisation"]
        text = f"{result['steps_per_s']:.1f} steps/s ({result['ms']:.2f} ms)"
        text += "" if busy is None else f", utilisation {busy:.0f} %"
        return text + (f", {result['peak_gib']:.1f} GiB" if "peak_gib" in result else "")
    if name.startswith("loading"):
        return (
            f"draws {result['drawing_ms']:.2f} ms a step (ahead, in another process), "
            f"cells {result['gathering_ms']:.2f} ms"
        )
    if name.startswith("training"):
        return (
            f"{result['ms']:.2f} ms a step through Lightning, {STEPS:,} steps in "
            f"{result['minutes_of_50001']:.1f} min (goal: under {GOAL_MINUTES})"
        )
    if name.startswith("prediction"):
        return f"{result['cells_per_s']:,.0f} cells/s"
    if name.startswith("losses"):
        return (
            f"at the end {result['last_fp32']:.4g} in float32, bf16 "
            f"{result['last_difference']:+.2g}"
        )
    return (
        f"{result['wall_ms']:.2f} ms a step, kernels {result['busy_ms']:.2f} ms, "
        f"{result['launches']} launches"
    )


if __name__ == "__main__":
    print(main(arguments()))
