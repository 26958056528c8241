"""Speed and memory of ``ptrag evaluate`` beside cell-eval and gge-eval, on the same two files.

    .venv-oracle/bin/python benchmarks/evaluation.py

Each evaluator runs in a process of its own, one after the other, reads the files and computes
what it computes by default: ours all metrics but the ceilings, cell-eval its full profile but the
clustering (which is another question), gge-eval its default metrics in PCA space. gge-eval takes
so long that it gets ``--gge-pairs`` of the pairs; its time per pair is what is compared. Linear
algebra has one thread in all of them.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import anndata
import numpy as np
import pandas as pd

ENVIRONMENT = os.environ | {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
ROOT = Path(__file__).resolve().parents[1]
CASES = {
    "ptrag": """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from ptrag.evaluation.files import evaluate_files
evaluate_files(sys.argv[1], sys.argv[2], Path(sys.argv[3]) / "m.tsv", ceilings=False)
""",
    "cell-eval": """
import sys
from cell_eval import MetricsEvaluator
MetricsEvaluator(sys.argv[2], sys.argv[1], control_pert="control", pert_col="perturbation",
                 num_threads=2, outdir=sys.argv[3]).compute(
    write_csv=False, skip_metrics=["clustering_agreement"])
""",
    "gge-eval": """
import sys
import gge
metrics = [make(space="pca") for make in (
    gge.MSEDistance, gge.Wasserstein1Distance, gge.Wasserstein2Distance, gge.EnergyDistance,
    gge.MMDDistance)]
metrics += [gge.MeanPearsonCorrelation(space="deg"), gge.MeanSpearmanCorrelation(space="deg")]
gge.evaluate(sys.argv[1], sys.argv[2], condition_columns=["perturbation"], metrics=metrics,
             control_key="control", control_column="perturbation", verbose=False)
""",
}
PEAK = """
# of this program alone: ru_maxrss counts that of the process it was forked from
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


def arguments() -> argparse.Namespace:
    """Return sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--pairs", type=int, nargs="+", default=[75, 150, 300], help="for ours")
    parser.add_argument("--cell-eval-pairs", type=int, default=75)
    parser.add_argument("--gge-pairs", type=int, default=6)
    parser.add_argument("--cells", type=int, default=100, help="of each pair, real and predicted")
    parser.add_argument("--controls", type=int, default=1000)
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument(
        "--out", type=Path, default=ROOT / "benchmarks" / "results" / "evaluation.json"
    )
    return parser.parse_args()


def write(folder: Path, pairs: int, sizes: argparse.Namespace) -> tuple[Path, Path]:
    """Write real and predicted cells: log1p of Poisson counts with responses of 5 % of genes."""
    rng = np.random.default_rng(0)
    names = [f"G{i}" for i in range(pairs)]
    base = rng.gamma(0.7, 1.5, sizes.genes)
    responses = np.exp(rng.normal(0, 1, (pairs, sizes.genes)) * (rng.random(sizes.genes) < 0.05))
    paths = []
    for side, strength in (("real", 1.0), ("predicted", 0.6)):
        levels = np.concatenate([base[None], base * responses**strength])
        counts = [sizes.controls, *[sizes.cells] * pairs]
        X = np.log1p(rng.poisson(np.repeat(levels, counts, axis=0)).astype(np.float32))
        obs = pd.DataFrame({"perturbation": np.repeat(["control", *names], counts)})
        obs.index = obs.index.astype(str)
        var = pd.DataFrame(index=[f"G{i}" for i in range(sizes.genes)])
        # not whole numbers, which every evaluator takes for counts
        cells = anndata.AnnData(X * np.float32(0.99), obs, var)
        paths.append(folder / f"{side}{pairs}.h5ad")
        cells.write_h5ad(paths[-1])
    return tuple(paths)


def measure(name: str, real: Path, predicted: Path, folder: Path) -> dict[str, float]:
    """Run one evaluator: seconds by the clock, seconds of all cores, peak memory in MB."""
    code = CASES[name] + PEAK
    command = [sys.executable, "-c", code, real, predicted, folder, ROOT / "src"]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=ENVIRONMENT)
    if done.returncode:
        raise SystemExit(f"{name}:\n{done.stderr[-3000:]}")
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "peak_mb": float(done.stdout.splitlines()[-1]) / 1024}


def main() -> None:
    """Measure, print and write."""
    sizes = arguments()
    cases = [(pairs, "ptrag") for pairs in sizes.pairs]
    others = [(sizes.cell_eval_pairs, "cell-eval"), (sizes.gge_pairs, "gge-eval")]
    table = []
    print("evaluator pairs wall_s cpu_s peak_MB", flush=True)
    with TemporaryDirectory() as scratch:
        for pairs, name in [*cases, *others]:
            files = write(Path(scratch), pairs, sizes)
            cost = measure(name, *files, Path(scratch))
            table.append({"evaluator": name, "pairs": pairs, **cost})
            print(name, pairs, *(f"{value:.4g}" for value in cost.values()), flush=True)
    about = {"machine": platform.machine(), "python": platform.python_version(),
             "cells": sizes.cells, "controls": sizes.controls, "genes": sizes.genes}  # fmt: skip
    sizes.out.parent.mkdir(exist_ok=True)
    sizes.out.write_text(json.dumps({"about": about, "results": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
