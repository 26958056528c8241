"""Measure a training on a GPU in one command of at most twelve minutes: ``make bench-gpu``.

Makes its own cells on the device (640,000 × 2,000 by default) and measures: steps a second of
64×64 and 16×64 cells in float32, TF32 and bf16, with and without ``torch.compile``; utilisation and
memory (NVML, by nvidia-smi); what loading takes; steps through Lightning, as a training takes them,
and from these the time of 50,001 steps; predicted cells a second; the loss of bf16 beside float32;
and which kernels take the time. Writes ``gpu-NAME.json`` and ``gpu-NAME.md``. Without a GPU it does
the same on the CPU with tiny sizes and uncompiled, to show that it runs: these numbers say nothing.
"""

import argparse
import json
import platform
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from child import MIB, ROOT
from device_measures import (
    PRECISIONS,
    STEPS,
    Bench,
    curves,
    loading,
    prediction,
    profile,
    steps_a_second,
    through_lightning,
)

from ptrag.base.memory import keep_freed_memory
from ptrag.training.device import device_here

GOAL_MINUTES = 20
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
