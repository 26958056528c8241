r"""Speed and memory of ``ptrag evaluate`` beside cell-eval2, cell-eval and gge-eval.

    .venv-oracle/bin/python benchmarks/evaluation.py
    .venv-oracle/bin/python benchmarks/evaluation.py --counts --pairs 300 --cells 400 \
        --controls 5000 --genes 5000

``--counts`` writes sparse counts and runs what reads counts: cell-eval2 with its preset of the 2026
Virtual Cell Challenge, and ``ptrag evaluate`` with the six metrics of the challenge alone and with
all metrics, by either test. Without it the files are log1p values, dense, for what reads these:
cell-eval with its full profile but the clustering (which is another question), gge-eval with its
metrics in PCA space, and ``ptrag evaluate``.

All get the same two files. Each runs as a command in a process of its own, one after the other,
``--repeats`` times in turn; shown are medians of seconds by the clock, seconds of all cores and
peak resident memory (pages of mapped files included). All have ``--threads`` threads and one for
linear algebra; start of Python and imports are included. Ours score no split halves, which the
others do not have.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
DRAWN = 4096  # cells that are drawn together
OF_COUNTS = ("cell-eval2", "ptrag challenge", "ptrag welch", "ptrag wilcoxon")
OF_LOG1P = ("ptrag welch", "cell-eval", "gge-eval")
CELL_EVAL = """
import sys
from cell_eval import MetricsEvaluator
MetricsEvaluator(sys.argv[2], sys.argv[1], control_pert="control", pert_col="perturbation",
                 num_threads=int(sys.argv[4]), outdir=sys.argv[3]).compute(
    write_csv=False, skip_metrics=["clustering_agreement"])
"""
GGE_EVAL = """
import sys
import gge
metrics = [make(space="pca") for make in (
    gge.MSEDistance, gge.Wasserstein1Distance, gge.Wasserstein2Distance, gge.EnergyDistance,
    gge.MMDDistance)]
metrics += [gge.MeanPearsonCorrelation(space="deg"), gge.MeanSpearmanCorrelation(space="deg")]
gge.evaluate(sys.argv[1], sys.argv[2], condition_columns=["perturbation"], metrics=metrics,
             control_key="control", control_column="perturbation", verbose=False)
"""
CHALLENGE = """
import sys
from concurrent.futures import ThreadPoolExecutor
import anndata, numpy as np
from ptrag.metrics.vcc2026 import Context, Measured
real, predicted = (anndata.read_h5ad(path) for path in sys.argv[1:3])
labels = [cells.obs["perturbation"].astype(str).to_numpy() for cells in (real, predicted)]
names = sorted(set(labels[1]))
genes = real.var_names.to_numpy()
def read(side, number):
    return (real, predicted)[side].X[labels[side] == names[number]].toarray()
controls = real.X[labels[0] == "control"].toarray()
targets = genes[None] == np.array(names)[:, None]
with ThreadPoolExecutor(int(sys.argv[4])) as pool:
    of_real = Measured.of(controls, lambda i: read(0, i), len(names), map_=pool.map)
    of_predicted = Measured.against(
        of_real.control, of_real.pool, lambda i: read(1, i), len(names), pool.map)
values = Context(of_real.observed, targets, genes).score(of_predicted)
print({name: np.nanmean(of) for name, of in values.items()})
"""


def arguments() -> argparse.Namespace:
    """Return sizes and what to run."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--counts", action="store_true", help="sparse counts; else dense log1p")
    parser.add_argument("--pairs", type=int, nargs="+", default=[75])
    parser.add_argument("--cells", type=int, default=100, help="of each pair, real and predicted")
    parser.add_argument("--controls", type=int, default=1000)
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=sorted({*OF_COUNTS, *OF_LOG1P}))
    parser.add_argument("--scratch", type=Path, help="where the files are written")
    parser.add_argument("--out", type=Path, help="table to write, JSON")
    return parser.parse_args()


def command(name: str, real: Path, predicted: Path, folder: Path, threads: int) -> list[str]:
    """Return what runs an evaluator."""
    python, files = sys.executable, [real, predicted]
    in_python = {"cell-eval": CELL_EVAL, "gge-eval": GGE_EVAL, "ptrag challenge": CHALLENGE}
    if name in in_python:
        return [python, "-c", in_python[name], *files, folder, threads]
    if name == "cell-eval2":
        theirs, setting = Path(python).with_name("cell-eval2"), f"num_threads={threads}"
        return [theirs, "run", "--adata-real", real, "--adata-pred", predicted, "--outdir",
                folder / "theirs", "--preset", "vcc2026", "--pert-col", "perturbation",
                "--control", "control", "--set", setting]  # fmt: skip
    out, test = folder / "ours.tsv", name.split()[1]
    return [python, "-m", "ptrag", "evaluate", *files, "--out", out, "--threads", threads,
            "--deg-test", test, "--no-ceilings"]  # fmt: skip


def write(folder: Path, pairs: int, cells: int, controls: int, genes: int, counts: bool) -> None:
    """Write real and predicted cells: Poisson counts with responses of 5 % of the genes."""
    import anndata
    import pandas as pd
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    names = [f"G{i}" for i in range(pairs)]
    base = rng.gamma(0.25, 3.0, genes) if counts else rng.gamma(0.7, 1.5, genes)
    responses = np.exp(rng.normal(0, 1, (pairs, genes)) * (rng.random(genes) < 0.05))
    for side, strength in (("real", 1.0), ("predicted", 0.6)):
        groups = {"control": (base, controls)} | {
            name: (base * response**strength, cells)
            for name, response in zip(names, responses, strict=True)
        }
        X = [
            sp.csr_matrix(rng.poisson(level, (n, genes)).astype(np.float32))
            for level, n in groups.values()
        ]
        X = sp.vstack(X, format="csr")
        if not counts:
            # not whole numbers, which every evaluator takes for counts
            X = np.log1p(X.toarray()) * np.float32(0.99)
        obs = pd.DataFrame({
            "perturbation": pd.Categorical(np.repeat([*groups], [n for _, n in groups.values()]))
        })  # fmt: skip
        obs.index = obs.index.astype(str)
        var = pd.DataFrame(index=[f"G{i}" for i in range(genes)])
        anndata.AnnData(X, obs, var).write_h5ad(folder / f"{side}.h5ad")


def measure(command: list[str], log: Path) -> dict[str, float]:
    """Run a command: seconds by the clock, seconds of all cores, peak memory in MB."""
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(ROOT / "src")}
    with log.open("w") as text:
        start = time.perf_counter()
        process = subprocess.Popen([*map(str, command)], stdout=text, stderr=text, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"{command[:4]}:\n{log.read_text()[-3000:]}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024}


def apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run in another process: the peak memory of a child counts that of its parent."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def main() -> None:
    """Measure, print medians and write."""
    of = arguments()
    names = of.only or (OF_COUNTS if of.counts else OF_LOG1P)
    table = []
    print("evaluator pairs wall_s cpu_s peak_MB", flush=True)
    for pairs in of.pairs:
        with TemporaryDirectory(dir=of.scratch) as scratch:
            folder = Path(scratch)
            apart(write, folder, pairs, of.cells, of.controls, of.genes, of.counts)
            files = folder / "real.h5ad", folder / "predicted.h5ad"
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
            for _ in range(of.repeats):
                for name in names:
                    line = command(name, *files, folder, of.threads)
                    runs[name].append(measure(line, folder / "log"))
                    print(name, pairs, *(f"{x:.4g}" for x in runs[name][-1].values()), flush=True)
            for name, each in runs.items():
                medians = {key: float(np.median([run[key] for run in each])) for key in each[0]}
                table.append({"evaluator": name, "pairs": pairs, **medians, "runs": each})
    print("medians")
    for row in table:
        print(row["evaluator"], row["pairs"], *(f"{row[key]:.4g}" for key in runs[names[0]][0]))
    if of.out:
        about = {"machine": platform.machine(), "python": platform.python_version(),
                 "cells": of.cells, "controls": of.controls, "genes": of.genes,
                 "counts": of.counts, "threads": of.threads}  # fmt: skip
        of.out.parent.mkdir(exist_ok=True)
        of.out.write_text(json.dumps({"about": about, "results": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
