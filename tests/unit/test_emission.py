"""Emitted cells against brute force, closed forms and what they must never do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, nbinom

from ptrag.cells.counts import count_units, to_counts, to_log1p
from ptrag.prediction.count_model import CountModel
from ptrag.prediction.emission import Emitter
from ptrag.prediction.prediction import GivenControls
from ptrag.prediction.response_table import ResponseTable

GENES = 8
MEANS = np.array([0.0, 0.02, 0.1, 0.5, 1.0, 4.0, 20.0, 90.0])  # counts in an ordinary cell


def draw_controls(n=120, seed=0, dispersion=0.4):
    """Counts and units of cells with library sizes; gene 0 is silent."""
    rng = np.random.default_rng(seed)
    totals = np.rint(2000 * np.exp(rng.normal(0, 0.4, n)))
    rate = rng.gamma(1 / dispersion, dispersion * MEANS * totals[:, None] / 2000)
    return rng.poisson(rate), 1e4 / totals


def brute_force(counts, units, model, factor):
    """Mean over cells of E[log1p(u k')] by summing over every count, in float64."""
    means = np.zeros(counts.shape[1])
    for row, unit in zip(counts, units, strict=True):
        for gene, k in enumerate(row):
            r, a, p = factor[gene], model.shape[gene], model.mean[gene]
            if r <= 1:
                j = np.arange(k + 1)
                weight = binom(k, r).pmf(j)
            else:
                theta = (r - 1) * p / (a * unit + p)
                law = nbinom(a + k, 1 / (1 + theta))
                gain = np.arange(int(law.isf(1e-10)) + 2)
                j, weight = k + gain, law.pmf(gain)
            means[gene] += weight @ np.log1p(unit * j)
    return means / len(counts)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("size", [0.02, 0.2, 0.9])
def test_the_factor_gives_the_mean_that_brute_force_sums_up(sign, size):
    counts, units = draw_controls(40)
    model = CountModel.of(counts, units)
    table = ResponseTable(counts, units, model)
    mean = to_log1p(counts, units).mean(axis=0, dtype=np.float64)
    delta = sign * size * (np.full(GENES, 0.8) if sign > 0 else mean)
    got = brute_force(counts, units, model, table.factor(delta))
    np.testing.assert_allclose(got - mean, delta, atol=4e-3)


def test_no_change_falls_to_nothing_and_beyond():
    counts, units = draw_controls()
    table = ResponseTable(counts, units, CountModel.of(counts, units))
    np.testing.assert_array_equal(table.factor(np.zeros(GENES)), 1.0)
    assert (table.factor(-table.mean - 0.1)[1:] == 0).all()
    assert np.isfinite(table.factor(np.full(GENES, 50.0))).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=2, max_size=2), st.integers(0, 3))
def test_a_higher_goal_never_has_a_smaller_factor(deltas, seed):
    counts, units = draw_controls(30, seed)
    table = ResponseTable(counts, units, CountModel.of(counts, units))
    low, high = (table.factor(np.full(GENES, delta)) for delta in sorted(deltas))
    assert (low <= high * (1 + 1e-12)).all()
    assert ((low >= 0) & np.isfinite(high)).all()


def test_counts_after_a_change_are_negative_binomial_of_the_line():
    """Mean r p / u, variance that plus dispersion × mean², whether a gene falls or rises."""
    n, dispersion = 60_000, 0.5
    rng = np.random.default_rng(1)
    mean, units = np.array([0.3, 3.0, 0.3, 3.0]), np.full(n, 0.5)
    rate = rng.gamma(1 / dispersion, dispersion * mean / 0.5, (n, 4))
    model = CountModel(mean, np.full(4, 1 / dispersion))
    factor = np.array([0.4, 0.4, 3.0, 3.0])
    new = model.changed(rng.poisson(rate), units, factor, rng)
    expected = factor * mean / 0.5
    variance = expected + dispersion * expected**2
    assert np.abs(new.mean(axis=0) - expected).max() < 4 * np.sqrt(variance.max() / n)
    np.testing.assert_allclose(new.var(axis=0), variance, rtol=0.05)
    law = nbinom(1 / dispersion, 1 / (1 + dispersion * expected))
    np.testing.assert_allclose((new == 0).mean(axis=0), law.pmf(0), atol=0.01)


@pytest.mark.parametrize("dispersion", [0.1, 0.6])
def test_the_dispersion_is_that_of_the_counts(dispersion):
    counts, units = draw_controls(3000, 4, dispersion)
    model = CountModel.of(counts, units)
    np.testing.assert_allclose(1 / model.shape[5:], dispersion, rtol=0.15)
    np.testing.assert_allclose(model.mean[3:], 1e4 * MEANS[3:] / 2000, rtol=0.1)


def make_emitter(n=120, seed=0):
    counts, units = draw_controls(n, seed)
    counts[:, 1] = np.maximum(counts[:, 1], 1)  # every cell shows its unit
    cells = to_log1p(counts, units)
    return Emitter(cells, count_units(cells), np.arange(n)), cells


def test_the_mean_over_many_draws_is_the_profile():
    emitter, cells = make_emitter()
    delta = np.array([0.3, -0.2, 0.2, -0.3, 0.4, -0.5, 0.5, -0.6])
    rows = np.tile(np.arange(len(cells)), 150)
    made = emitter.emit(delta, rows, "k562", "A")
    mean = cells.mean(axis=0, dtype=np.float64)
    error = made.mean(axis=0, dtype=np.float64) - np.maximum(mean + delta, 0)
    noise = made.std(axis=0) / np.sqrt(len(rows))
    assert (np.abs(error) < 4e-3 + 4 * noise).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=GENES, max_size=GENES), st.integers(0, 5))
def test_counts_only_fall_where_a_gene_falls_and_only_rise_where_it_rises(deltas, seed):
    emitter, cells = make_emitter(50, seed)
    delta, rows = np.array(deltas), np.arange(50)
    made = emitter.emit(delta, rows, "k562", seed)
    units = count_units(cells)
    before, after = to_counts(cells, units), to_counts(made, units)
    np.testing.assert_allclose(to_log1p(after, units), made, rtol=3e-6)  # whole counts
    assert made.dtype == np.float32
    assert (after >= 0).all()
    assert (after[:, delta <= 0] <= before[:, delta <= 0]).all()
    assert (after[:, delta >= 0] >= before[:, delta >= 0]).all()
    silent = ~before.any(axis=0) & (delta <= 0)
    assert not after[:, silent].any()


def test_zeros_and_spread_are_those_of_cells_of_that_mean():
    """Cells drawn with twice or half the expression, and controls that emission moves there."""
    n = 4000
    counts, units = draw_controls(n, 1)
    factor = np.array([1, 2, 2, 0.5, 2, 0.5, 2, 0.5])
    rng = np.random.default_rng(2)
    totals = 1e4 / units
    rate = rng.gamma(2.5, 0.4 * MEANS * factor * totals[:, None] / 2000)
    real = to_log1p(rng.poisson(rate), units)
    cells = to_log1p(counts, units)
    emitter = Emitter(cells, count_units(cells), np.arange(1000))
    delta = real.mean(axis=0, dtype=np.float64) - cells.mean(axis=0, dtype=np.float64)
    made = emitter.emit(delta, np.arange(n), "x")
    np.testing.assert_allclose((made == 0).mean(axis=0), (real == 0).mean(axis=0), atol=0.03)
    np.testing.assert_allclose(made.std(axis=0), real.std(axis=0), rtol=0.1, atol=0.02)


def test_no_change_leaves_the_control_cells_bit_by_bit():
    emitter, cells = make_emitter()
    rows = np.arange(30)
    np.testing.assert_array_equal(emitter.emit(np.zeros(GENES), rows, "a"), cells[rows])


def test_a_share_of_the_cells_responds():
    emitter, cells = make_emitter(2000)
    delta = np.zeros(GENES)
    delta[7] = -0.5
    made = emitter.emit(delta, np.arange(2000), "a", share=0.25)
    untouched = (made == cells).all(axis=1).mean()
    assert untouched == pytest.approx(0.75, abs=0.04)
    assert made[:, 7].mean() - cells[:, 7].mean() == pytest.approx(-0.5, abs=0.1)


def test_cells_depend_on_line_and_perturbation_and_not_on_what_came_before():
    _, cells = make_emitter()
    names = [f"c{i}" for i in range(len(cells))]
    delta = np.linspace(-0.5, 0.5, GENES)

    def emitted(order):
        controls = GivenControls("k562", cells, names)
        rows = {name: controls.drawn(name, 20) for name in order}
        return {name: controls.emitted(delta, name, rows[name]) for name in order}

    one, other = emitted(["A", "B", "C"]), emitted(["C", "A", "B"])
    for name in "ABC":
        np.testing.assert_array_equal(one[name], other[name])
    assert not np.array_equal(one["A"], one["B"])


def test_cells_without_units_are_moved_by_pseudo_counts():
    rng = np.random.default_rng(0)
    cells = np.where(rng.random((60, 5)) < 0.4, 0, rng.gamma(2, 0.7, (60, 5))).astype(np.float32)
    emitter = Emitter(cells, count_units(cells), np.arange(60))
    rows = np.tile(np.arange(60), 200)
    delta = np.array([0.3, -0.3, 0.0, 0.1, -0.1])
    made = emitter.emit(delta, rows, "x").mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(made, cells.mean(axis=0, dtype=np.float64) + delta, atol=0.05)
