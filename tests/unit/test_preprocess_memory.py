"""The memory of preprocessing does not grow with the cells."""

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from counts_screen import ALL, LINES, SPEC, screen

from ptrag.cells import matrix, preprocess
from ptrag.cells.preprocess import build_cells


@pytest.mark.parametrize("store_as", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_what_is_allocated_does_not_grow_with_the_cells(tmp_path, monkeypatch, store_as):
    monkeypatch.setattr(matrix, "BLOCK_VALUES", 50_000)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    peaks = []
    for n in (100, 1500, 6000):  # the first loads modules, which count once
        adata = screen(n, 500)
        adata.X = store_as(adata.X)
        adata.write_h5ad(tmp_path / "source.h5ad")
        del adata
        tracemalloc.start()
        build_cells(tmp_path / "source.h5ad", SPEC, ALL, tmp_path / "cells.h5ad")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # a third of the values of 4500 more cells: how many blocks are in flight is up to threads
    _, few, many = peaks
    assert many - few < 4500 * 500 * 4 / 3


def write_big(path, n, n_genes, density):
    """Write a screen of counts piece by piece: CSR if ``density`` < 1, else dense.

    No label is a gene's name, for no column is: else the source would be refused.
    """
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "gene": rng.choice(["ctrl", *(f"PERT{i}" for i in range(300))], n),
            "line": rng.choice(LINES, n),
            "lane": rng.integers(0, 20, n),
        },
        index=[f"cell{i}" for i in range(n)],
    )
    obs.iloc[::10, 0] = "ctrl"
    var = pd.DataFrame(index=[f"G{i}" for i in range(n_genes)])
    anndata.AnnData(obs=obs.astype({"gene": "category", "line": "category"}), var=var).write_h5ad(
        path
    )
    per_cell = int(density * n_genes)
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        if density == 1:
            X = file.create_dataset("X", (n, n_genes), "f4")
            X.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        else:
            X = file.create_group("X")
            X.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
            X.attrs["shape"] = (n, n_genes)
            X["indptr"] = np.arange(n + 1, dtype=np.int64) * per_cell
            X.create_dataset("data", (n * per_cell,), "f4")
            X.create_dataset("indices", (n * per_cell,), "i4")
        step = n_genes // per_cell
        for start in range(0, n, 2000):
            m = min(2000, n - start)
            counts = 1.0 + rng.integers(0, 5, (m, per_cell))
            if density == 1:
                X[start : start + m] = counts
            else:
                genes = np.arange(per_cell) * step + rng.integers(0, step, (m, per_cell))
                here = slice(start * per_cell, (start + m) * per_cell)
                X["data"][here], X["indices"][here] = counts.ravel(), genes.ravel()


def peak_memory(source, out, settings):
    """Build in a process of its own; return its peak resident memory, bytes, and its log."""
    code = (
        "import logging, json, sys; logging.basicConfig(level=20)\n"
        "from ptrag.cells.preprocess import build_cells\n"
        "spec, settings = map(json.loads, sys.argv[3:])\n"
        "build_cells(sys.argv[1], spec, settings, sys.argv[2])\n"
        "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, source, out, json.dumps(SPEC), json.dumps(settings)],
        env=os.environ | {"PYTHONPATH": str(Path(preprocess.__file__).parents[2])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(run.stdout) * (1 if sys.platform == "darwin" else 1024), run.stderr


LABELS = 400  # bytes of a cell's name and labels, the one thing that grows


@pytest.mark.slow
@pytest.mark.parametrize("density", [0.08, 1])
def test_peak_memory_is_flat_and_below_2_gib(tmp_path, density):
    peaks = []
    for n in (50_000, 100_000):
        write_big(tmp_path / "source.h5ad", n, 8000, density)
        settings = {"genes": "controls", "n_genes": 2000, "yardstick": 0.5}
        peak, log = peak_memory(tmp_path / "source.h5ad", tmp_path / "cells.h5ad", settings)
        print(f"{n} cells, density {density}: {peak / 2**30:.2f} GiB\n{log.splitlines()[-1]}")
        peaks.append(peak)
        (tmp_path / "source.h5ad").unlink()
    assert max(peaks) < 2 << 30
    assert peaks[1] < 1.1 * peaks[0] + 50_000 * LABELS


@pytest.mark.slow
def test_peak_memory_at_the_papers_size(tmp_path):
    peaks = []
    for n in (160_000, 640_000):
        write_big(tmp_path / "source.h5ad", n, 2000, 0.1)
        peak, log = peak_memory(tmp_path / "source.h5ad", tmp_path / "cells.h5ad", ALL)
        print(f"{n} cells: {peak / 2**30:.2f} GiB\n{log.splitlines()[-1]}")
        peaks.append(peak)
        (tmp_path / "source.h5ad").unlink()
    assert peaks[1] < 1.1 * peaks[0] + 480_000 * LABELS
