import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import brentq

from ptrag.prediction.shift import Mover, move_cells


def shift_cells(x, delta):
    return move_cells(x, Mover(x).shift(delta))


VALUES = st.floats(0, 9).map(lambda value: 0.0 if value < 0.01 else value)


@given(
    arrays(np.float64, st.tuples(st.integers(1, 12), st.just(4)), elements=VALUES),
    arrays(np.float64, (4,), elements=st.floats(-10, 10).map(lambda value: round(value, 6))),
)
def test_the_mean_moves_by_delta_or_to_zero_and_no_cell_is_negative(x, delta):
    made = shift_cells(x, delta)
    assert made.shape == x.shape
    assert (made >= 0).all()
    np.testing.assert_allclose(made.mean(axis=0), np.maximum(x.mean(axis=0) + delta, 0), atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_a_relu_of_the_root_that_bisection_finds(seed):
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.normal(0.3, 1, (30, 6)), 0)
    delta = rng.normal(0, 0.3, 6)
    made = shift_cells(x, delta)
    for gene in range(6):
        goal = x[:, gene].mean() + delta[gene]
        if goal <= 0:
            assert not made[:, gene].any()
            continue

        def gap(d, gene=gene, goal=goal):
            return np.maximum(x[:, gene] + d, 0).mean() - goal

        root = brentq(gap, -20, 20, xtol=1e-14)
        np.testing.assert_allclose(made[:, gene], np.maximum(x[:, gene] + root, 0), atol=1e-10)


def test_some_of_the_cells_move_as_all_do():
    """What is drawn for a pair stays a sample of the moved cells; its mean is not made exact."""
    rng = np.random.default_rng(2)
    everything = np.maximum(rng.normal(1, 1, (200, 7)), 0)
    shift = Mover(everything).shift(rng.normal(0, 0.5, 7))
    whole, part = move_cells(everything, shift), move_cells(everything[:20], shift)
    np.testing.assert_array_equal(part, whole[:20])
    assert np.abs(part.mean(axis=0) - whole.mean(axis=0)).max() > 0.05


def test_no_change_leaves_the_cells_as_they_are():
    x = np.maximum(np.random.default_rng(0).normal(0, 1, (64, 20)), 0).astype(np.float32)
    made = shift_cells(x, np.zeros(20))
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, x)


def test_float32_cells_keep_their_mean_to_float_rounding():
    rng = np.random.default_rng(1)
    x = np.maximum(rng.normal(0, 2, (128, 500)), 0).astype(np.float32)
    delta = rng.normal(0, 0.2, 500)
    made = shift_cells(x, delta).mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(
        made, np.maximum(x.mean(axis=0, dtype=np.float64) + delta, 0), atol=1e-6
    )
