r"""How long `ptrag predict` takes for many genes, how much memory, how large its files are.

    python benchmarks/any_gene.py SCREEN.h5ad --perturbation gene --cell-line cell_line \
        --control non-targeting --controls 2000 --genes 250 1000

A bundle is fitted on the screen; its first line's controls, drawn with replacement where there are
fewer, stand for a lab's own. CPU seconds are those of one process after the first ten genes, so
that what is loaded once (encoder, bundle) is not counted; memory is the peak of the process.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata
import numpy as np

import ptrag
from ptrag.genes.symbols import GENE_TEXT, Symbols
from ptrag.prediction.files import PredictionFiles
from ptrag.prediction.loading import load_bundle
from ptrag.prediction.predict import predict_own


def measure(bundle: str, controls: str, n_genes: int, n_cells: int) -> dict[str, float]:
    """Predict ``n_genes`` genes in this process, ten first; return what it took."""
    genes = list(Symbols.read(GENE_TEXT).genes)
    genes = [genes[i] for i in np.linspace(0, len(genes) - 1, n_genes + 10).astype(int)]
    loaded = load_bundle(bundle)
    with tempfile.TemporaryDirectory() as folder:
        files = PredictionFiles.into(folder, "cells.h5ad" if n_cells else None)
        predict_own(loaded, controls, genes[:10], files, line="own", n_cells=n_cells)
        before = time.process_time()
        predict_own(loaded, controls, genes[10:], files, line="own", n_cells=n_cells)
        seconds = time.process_time() - before
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "genes": n_genes, "cells": n_cells, "cpu_s": seconds, "cpu_ms_per_gene": seconds / n_genes
        * 1e3, "peak_mb": peak, "files_mb": size / 1e6,
    }  # fmt: skip


def main() -> None:
    """Fit once, then measure each number of genes in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("screen")
    parser.add_argument("--perturbation", default="perturbation")
    parser.add_argument("--cell-line", default="cell_line")
    parser.add_argument("--control", default="control")
    parser.add_argument("--arm", default="response_expert")
    parser.add_argument("--controls", type=int, default=2000)
    parser.add_argument("--genes", type=int, nargs="+", default=[250, 1000])
    parser.add_argument("--cells", type=int, default=0)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        bundle, controls, n = options.one
        print(json.dumps(measure(bundle, controls, int(n), options.cells)))
        return
    with tempfile.TemporaryDirectory() as folder:
        bundle, controls = f"{folder}/bundle", f"{folder}/controls.h5ad"
        before = time.process_time()
        screen = anndata.read_h5ad(options.screen)
        ptrag.fit(
            screen, perturbation=options.perturbation, cell_line=options.cell_line,
            control=options.control, arm=options.arm,
        ).save(bundle)  # fmt: skip
        print(f"fit: {time.process_time() - before:.1f} CPU s", flush=True)
        lines, labels = screen.obs[options.cell_line], screen.obs[options.perturbation]
        rows = np.flatnonzero(((lines == lines.iloc[0]) & (labels == options.control)).to_numpy())
        drawn = np.random.default_rng(0).choice(
            rows, options.controls, options.controls > len(rows)
        )
        own = anndata.AnnData(screen.X[drawn], var=screen.var)
        own.obs_names = [f"own{i}" for i in range(len(drawn))]
        own.write_h5ad(controls)
        for n in options.genes:
            command = [sys.executable, __file__, options.screen, "--cells", str(options.cells)]
            subprocess.run([*command, "--one", bundle, controls, str(n)], check=True)


if __name__ == "__main__":
    main()
