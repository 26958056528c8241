"""What a reference keeps of counts, and how much memory an evaluation of counts takes."""

import tracemalloc

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from stores import write_store

from ptrag.base.defaults import SCORING
from ptrag.cells import matrix
from ptrag.cells.controls import ALL
from ptrag.cells.store import CellStore
from ptrag.evaluation.challenge import Challenge
from ptrag.evaluation.files import evaluate_several
from ptrag.evaluation.reference import build_reference, read_reference
from ptrag.metrics.vcc2026 import MEMBERS, Context, Measured
from ptrag.splits.protocols import Split

GENES = [f"GX{i}" for i in range(60)]
NAMES = GENES[:8]


def drawn(rng, pairs, cells, controls, genes=60):
    """Counts of controls and of perturbations that change a fifth of the genes."""
    base = rng.gamma(1.0, 4.0, genes)
    groups = {"control": rng.poisson(base, (controls, genes))}
    for i in range(pairs):
        factor = np.exp(rng.normal(0, 1, genes) * (rng.random(genes) < 0.2))
        groups[f"GX{i}"] = rng.poisson(base * factor, (cells, genes))
    return {name: counts.astype(np.float32) for name, counts in groups.items()}


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    """Counts of two lines, their store with totals, a split and its reference, read back."""
    folder, rng = tmp_path_factory.mktemp("counted"), np.random.default_rng(0)
    lines = {line: drawn(rng, len(NAMES), 25, 80) for line in ("a", "b")}
    blocks = [(line, name, X) for line, of in lines.items() for name, X in of.items()]
    obs = pd.DataFrame({
        "cell_line": np.repeat([line for line, _, _ in blocks], [len(X) for *_, X in blocks]),
        "perturbation": np.repeat([name for _, name, _ in blocks], [len(X) for *_, X in blocks]),
    })  # fmt: skip
    counts = np.concatenate([X for *_, X in blocks])
    obs["total_counts"] = totals = counts.sum(axis=1, dtype=float)
    write_store(folder / "cells.h5ad", np.log1p(counts * (1e4 / totals)[:, None]), obs, GENES)
    store = CellStore(folder / "cells.h5ad")
    table = store.pairs[store.pairs["perturbation"] != "control"][
        ["cell_line", "perturbation", "n_cells"]
    ].reset_index(drop=True)
    roles = np.where(table.index % 3 == 0, "val", "test")
    split = Split(table.assign(role=roles, reason=""), "unseen_perturbation", None)
    settings = SCORING | {"n_pcs": 5}
    build_reference(store, split, settings, folder / "reference.h5", floor_cells=None, threads=2)
    return lines, store, read_reference(folder / "reference.h5", store, split)


def test_what_is_kept_scores_as_the_cells_do(screen):
    """Two lines and two roles: each panel against itself, counted anew."""
    lines, store, reference = screen
    assert store.has_counts and len(Challenge(reference, 1).panels) == 4
    rng = np.random.default_rng(1)
    predicted = [rng.poisson(X * 0.8) for X in map(lambda k: lines[k[0]][k[1]], reference.keys)]
    values = Challenge(reference, 2).submission(predicted.__getitem__)
    for (line, _), rows in reference.pairs.groupby(["cell_line", "role"]).indices.items():
        controls = store.counts(store.control_rows(line, ALL))
        names = [reference.keys[row].perturbation for row in rows]
        cells, guesses = [lines[line][name] for name in names], [predicted[row] for row in rows]
        real = Measured.of(controls, cells.__getitem__, len(rows))
        ours = Measured.against(real.control, real.pool, guesses.__getitem__, len(rows))
        targets = np.array(GENES)[None] == np.array(names)[:, None]
        expected = Context(real.observed, targets, np.array(GENES)).score(ours)
        for number, member in enumerate(MEMBERS):
            np.testing.assert_array_equal(values[rows, number], expected[member])


def test_an_arm_counts_no_real_pair_again(screen, monkeypatch):
    _, store, reference = screen
    read = []
    counts = CellStore.counts
    monkeypatch.setattr(
        CellStore, "counts", lambda self, rows: read.append(rows) or counts(self, rows)
    )
    Challenge(reference, 1).submission(lambda row: np.ones((4, 60)))
    assert read == [store.control_rows(line, ALL) for line in ("a", "b")]


def write(path, groups):
    names = np.repeat([*groups], [len(X) for X in groups.values()])
    obs = pd.DataFrame({"perturbation": names}, index=np.arange(len(names)).astype(str))
    X = sp.csr_matrix(np.concatenate([*groups.values()]))
    anndata.AnnData(X, obs, pd.DataFrame(index=[f"GX{i}" for i in range(X.shape[1])])).write_h5ad(
        path
    )


def peak(folder, pairs, cells, genes):
    """Peak of what is allocated while counts are scored, without split halves."""
    rng = np.random.default_rng(2)
    for side in ("real", "predicted"):
        write(folder / f"{side}.h5ad", drawn(rng, pairs, cells, 40, genes))
    tracemalloc.start()
    evaluate_several(
        folder / "real.h5ad", {"p": folder / "predicted.h5ad"}, ceilings=False,
        evaluation=SCORING | {"n_pcs": 5},
    )  # fmt: skip
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size


def test_what_is_allocated_does_not_grow_with_the_cells(tmp_path, monkeypatch):
    """Blocks, and one pair at a time: a small part of what the cells of both files would take."""
    monkeypatch.setattr(matrix, "BLOCK_VALUES", 20_000)
    peak(tmp_path, 2, 20, 200)  # loads modules and tables, which count once
    few, many = (peak(tmp_path, 20, cells, 200) for cells in (20, 170))
    both_files = 2 * 20 * 150 * 200 * 4
    assert many - few < both_files / 3


def test_a_prediction_may_begin_with_blocks_of_controls_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(matrix, "BLOCK_VALUES", 600)  # ten cells
    groups = drawn(np.random.default_rng(3), 3, 12, 40)
    write(tmp_path / "real.h5ad", groups)
    write(tmp_path / "first.h5ad", groups)
    write(tmp_path / "last.h5ad", dict(reversed(groups.items())))
    tables = evaluate_several(
        tmp_path / "real.h5ad",
        {name: tmp_path / f"{name}.h5ad" for name in ("first", "last")},
        ceilings=False,
    ).tables
    assert (tables["first"]["n_predicted"] == 12).all()
    wide = [t.pivot_table("value", "perturbation", "metric") for t in tables.values()]
    assert wide[0].loc[:, "vcc_sig_jaccard"].tolist() == [1, 1, 1]
    pd.testing.assert_frame_equal(*wide, rtol=1e-6)
