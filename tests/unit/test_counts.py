import numpy as np
import pytest
from anndata import read_h5ad
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ptrag.cells.counts import count_units, to_counts, to_log1p
from ptrag.cells.preprocess import build_cells
from ptrag.cells.store import CellStore
from ptrag.simulate.screen import simulate_screen

COUNTS = arrays(np.int64, st.tuples(st.integers(1, 5), st.just(6)), elements=st.integers(0, 3000))


def log1p_of(counts, target=1e4, others=0):
    """What the store makes of counts: factors in float32, then float32 logarithms."""
    totals = counts.sum(axis=1) + others
    factors = (target / np.where(totals, totals, 1)).astype(np.float32)
    return np.log1p(counts.astype(np.float32) * factors[:, None])


@given(COUNTS, st.sampled_from([1e4, 1e6, 2718.28]), st.integers(0, 20_000))
def test_counts_come_back_exactly(counts, target, others):
    counts[:, 0] = 1  # no common divisor
    cells = log1p_of(counts, target, others)
    units = count_units(cells)
    np.testing.assert_array_equal(to_counts(cells, units), counts)
    np.testing.assert_allclose(units, target / (counts.sum(axis=1) + others), rtol=1e-6)
    np.testing.assert_allclose(to_log1p(counts, units), cells, rtol=2e-6, atol=1e-9)


def test_the_smallest_value_may_be_more_than_one_count():
    counts = np.array([[2, 5, 0, 9], [3, 7, 11, 0], [4, 0, 6, 9]])
    cells = log1p_of(counts, others=977)
    np.testing.assert_array_equal(to_counts(cells, count_units(cells)), counts)


def test_a_common_divisor_is_lost():
    cells = log1p_of(np.array([[2, 4, 0, 8]]))
    np.testing.assert_array_equal(to_counts(cells, count_units(cells)), [[1, 2, 0, 4]])


def test_a_cell_without_counts_has_the_units_of_the_others():
    cells = log1p_of(np.array([[1, 2, 3], [0, 0, 0], [1, 1, 2]]))
    units = count_units(cells)
    assert units[1] == np.median(units[[0, 2]])
    assert count_units(np.zeros((2, 3))).tolist() == [1, 1]


def test_values_without_a_unit_are_pseudo_counts():
    values = np.array([[0.0, 0.7, 1.9, 3.14159, 11.3, 0.9]])
    cells = np.log1p(values).astype(np.float32)
    units = count_units(cells)
    assert units == pytest.approx([0.7], rel=1e-6)
    np.testing.assert_array_equal(to_counts(cells, units), [[0, 1, 3, 4, 16, 1]])


def test_a_store_gives_the_source_s_counts_back_of_some_of_its_genes(tmp_path):
    knobs = {
        "lines": ["k562"], "n_perturbations": 4, "n_genes": 60, "cells_per_pair": 10,
        "controls_per_line": 60, "batches": 1, "text_signal": 0.5, "context_signal": 0.5,
        "systematic_shift": 0.5, "gene_text": "resources/gene_text.tsv.gz", "seed": 2,
    }  # fmt: skip
    simulate_screen(knobs, tmp_path / "source.h5ad", tmp_path / "truth.h5ad")
    spec = {
        "columns": {"perturbation": "perturbation", "cell_line": "cell_line"},
        "control": "control", "scale": "counts",
    }  # fmt: skip
    settings = {"genes": "controls", "n_genes": 25, "yardstick": 0.5}
    build_cells(tmp_path / "source.h5ad", spec, settings, tmp_path / "cells.h5ad")
    store, source = CellStore(tmp_path / "cells.h5ad"), read_h5ad(tmp_path / "source.h5ad")
    expected = source[store.obs.index, store.genes].X.toarray()
    cells = np.asarray(store.X)
    np.testing.assert_array_equal(to_counts(cells, count_units(cells)), expected)
