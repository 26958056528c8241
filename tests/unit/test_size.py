"""How long a training is where the configuration leaves it to the size of the screen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptrag.training.size import FEWEST, MOST, PASSES, VALIDATIONS, sized

TRAINING = {"sets": 16, "set_size": 32, "max_steps": None, "validate_every": None, "devices": 1}


@given(st.integers(1, 10**7), st.integers(1, 64), st.integers(2, 64))
def test_every_cell_is_drawn_so_often_within_bounds(cells, sets, size):
    training = sized({**TRAINING, "sets": sets, "set_size": size}, cells)
    steps = training["max_steps"]
    assert FEWEST <= steps <= MOST
    if FEWEST < steps < MOST:
        drawn = steps * sets * size
        assert PASSES * cells <= drawn < PASSES * cells + sets * size
    assert steps // training["validate_every"] >= VALIDATIONS
    assert training["devices"] == 1


@pytest.mark.parametrize("key", ["max_steps", "validate_every"])
def test_a_number_that_is_given_stays(key):
    assert sized({**TRAINING, key: 7}, 10**6)[key] == 7
