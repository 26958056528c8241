"""Measure speed and memory beside the direct form: ``make bench``, sizes by flag.

Every case runs in a process of its own; the two sides of a ratio take turns, so that whatever
else the machine does falls on both. Results go to ``benchmarks/results/``: a JSON file named
after the machine, and ``table.md``, which the README shows.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
from child import ROOT
from table import table

sys.path.insert(0, str(ROOT / "src"))
PARTS = ["train", "predict", "preprocess", "start"]


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Return sizes and parts."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=[*PARTS, "options"], default=PARTS, help="parts to measure")
    add("--sets", nargs="+", type=int, default=[16, 64], help="sets per training batch")
    add("--set-size", type=int, default=64, help="cells per set")
    add("--genes", type=int, default=2000)
    add("--hidden", type=int, default=128)
    add("--layers", type=int, default=8)
    add("--candidates", type=int, default=32, help="K")
    add("--repeats", type=int, default=5, help="measured steps of a process")
    add("--rounds", type=int, default=3, help="processes of each case, taking turns")
    add("--threads", type=int, default=2)
    add("--device", default="cpu", help="cpu or cuda")
    add("--predict-cells", type=int, default=2048)
    add("--preprocess-cells", nargs="+", type=int, default=[40_000, 160_000])
    add("--preprocess-genes", type=int, default=2000)
    add("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the results")
    return parser.parse_args(given)


def run(script: str, **spec: Any) -> dict[str, Any]:
    """Run one case in a process of its own and return what it measured."""
    command = [sys.executable, str(Path(__file__).with_name(script)), json.dumps(spec)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{script} {spec}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def environment() -> dict[str, str]:
    """Return the environment of a case: this checkout's library, and quiet."""
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"}


def in_turns(
    cases: dict[str, tuple[str, dict[str, Any]]], rounds: int, results: dict[str, Any]
) -> None:
    """Run all cases, then all again; seconds are put together, the largest peak stands."""
    for number in range(rounds):
        for name, (script, spec) in cases.items():
            got = run(script, **spec)
            before = results.get(name)
            if before:
                for clock in ("seconds", "cpu_seconds"):
                    got[clock] = before[clock] + got[clock]
                for peak in ("peak_mib", "peak_torch_mib"):
                    got[peak] = max((got[peak], before[peak]), key=lambda x: x or 0)
            results[name] = got
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr)


def train(given: argparse.Namespace, folder: Path, results: dict[str, Any]) -> None:
    """Training steps: ours, without retrieval, in direct form, and the matrix products alone.

    And ours under bf16 autocast, where there are units for it.
    """
    common = shared(given)
    for sets in given.sets:
        at = common | {"sets": sets}
        step = at | {"store": str(folder / "cells.h5ad")}
        ours = step | {"form": "ours"}
        cases = {
            "ptrag": ("train_step.py", ours | {"arm": "ptrag"}),
            "direct": ("train_step.py", step | {"form": "direct", "arm": "ptrag"}),
            "no retrieval": ("train_step.py", ours | {"arm": "state_genept"}),
            "freed memory handed back": ("train_step.py", ours | {"arm": "ptrag", "keep": False}),
            "matrix products": ("floor.py", at),
        }
        if machine()["bf16_units"]:
            cases["bf16"] = ("train_step.py", ours | {"arm": "ptrag", "precision": "bf16"})
        named = {f"{name}, {sets}x{given.set_size}": case for name, case in cases.items()}
        in_turns(named, given.rounds, results)


def options(given: argparse.Namespace, folder: Path, results: dict[str, Any]) -> None:
    """Training steps compiled, and autocast to bf16 whatever the machine, beside the plain one."""
    store = {"store": str(folder / "cells.h5ad"), "form": "ours", "arm": "ptrag"}
    step = shared(given) | store | {"sets": given.sets[0]}
    cases = {
        "fp32": step,
        "bf16": step | {"precision": "bf16"},
        "compiled": step | {"compiled": True},
    }
    size = f"{given.sets[0]}x{given.set_size}"
    named = {f"option {name}, {size}": ("train_step.py", case) for name, case in cases.items()}
    in_turns(named, given.rounds, results)


def predict(given: argparse.Namespace, folder: Path, results: dict[str, Any]) -> None:
    """Prediction: batches of sets, and one set at a time in direct form."""
    spec = shared(given) | {"store": str(folder / "cells.h5ad"), "cells": given.predict_cells}
    cases = {
        f"predict {form}": ("predict.py", spec | {"form": form}) for form in ("ours", "direct")
    }
    in_turns(cases, given.rounds, results)


def preprocess(given: argparse.Namespace, folder: Path, results: dict[str, Any]) -> None:
    """Preprocessing at each number of cells, and what the disk takes."""
    from preprocess import make_source, write_rate

    for n in given.preprocess_cells:
        source = folder / "source.h5ad"
        make_source(source, n, given.preprocess_genes)
        results[f"preprocess {n}"] = run(
            "preprocess.py", source=str(source), cells=n, genes=given.preprocess_genes
        )
        source.unlink()
        print(f"preprocess {n}", file=sys.stderr)
    size = min(2 << 30, 4 * n * given.preprocess_genes)
    results["disk"] = {"mb_per_s": write_rate(folder, size)}


def start(given: argparse.Namespace, folder: Path, results: dict[str, Any]) -> None:
    """Start-up of the commands, and what importing the library pulls in."""
    from start import imported, start_up

    results["imported"] = {"modules": imported()}
    for command in ("ptrag --help", "snakemake -n"):
        results[command] = {"seconds": start_up(command, given.rounds)}


def shared(given: argparse.Namespace) -> dict[str, Any]:
    """Return what all cases of a network are told."""
    sizes = [given.set_size, given.genes, given.hidden, given.layers, given.candidates]
    names = ("repeats", "threads", "device")
    return {"sizes": sizes} | {name: getattr(given, name) for name in names}


def machine() -> dict[str, Any]:
    """Say what was measured on, by kind and not by name."""
    import torch

    from ptrag.arms.neural.autocast import has_bf16
    from ptrag.arms.neural.linear import maker

    facts = {
        "processor": platform.machine(), "maker": maker(), "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(), "bf16_units": has_bf16(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(), "torch": torch.__version__,
        "load_before": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def main(given: argparse.Namespace) -> None:
    """Measure the parts asked for and write the results."""
    from made import make_cells, scratch

    results: dict[str, Any] = {}
    facts = machine()
    with scratch() as folder:
        folder = Path(folder)
        if {"train", "predict", "options"} & set(given.only):
            make_cells(folder / "cells.h5ad", given.genes)
        for part in given.only:
            globals()[part](given, folder, results)
    sizes = {k: v for k, v in vars(given).items() if k != "out"}
    given.out.mkdir(parents=True, exist_ok=True)
    kind = "gpu" if "gpu" in facts else facts["instructions"].lower()
    made_by = f"-{facts['maker']}" if facts["maker"] else ""
    name = f"{facts['processor']}{made_by}-{facts['cores']}-cores-{kind}".lower()
    path = given.out / f"{name}.json"
    if path.exists():  # parts that were not measured now stay as they were
        results = json.loads(path.read_text())["results"] | results
    record = {"machine": facts, "sizes": sizes, "results": results}
    path.write_text(json.dumps(record, indent=1) + "\n")
    text = table(record)
    (given.out / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main(arguments())
