from collections import Counter

import numpy as np
import pytest
from small_screen import LINES, PERTURBATIONS, make_store

from ptrag.base.errors import PtragError
from ptrag.cells.controls import GIVEN
from ptrag.cells.sets import (
    SetSampler,
    choose,
    drawn_controls,
    keyed_rng,
    whole_sets,
)  # fmt: skip

SIZES = {("k562", "A"): 3, ("k562", "B"): 4, ("k562", "C"): 9, ("rpe1", "A"): 13}
PAIRS = list(SIZES)
S = 4
SETS_PER_EPOCH = 1 + 1 + 3 + 4  # ceil(n / S) of each pair


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "cells.h5ad", SIZES, controls=100)


def sampler(store, sets=5, seed=1, **options):
    return SetSampler(store, PAIRS, sets, S, seed, **options)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def inside(rows, block):
    return ((rows >= block.start) & (rows < block.stop)).all()


# --- keys ---------------------------------------------------------------------------------


def test_a_key_gives_one_stream_and_another_key_another():
    first = keyed_rng(1, "cells", 2).random(4)
    assert np.array_equal(first, keyed_rng(1, "cells", 2).random(4))
    others = [(1, "cells", 3), (2, "cells", 2), (1, "cell", "s2"), (1, "cells2"), (12, "cells")]
    for key in others:
        assert not np.array_equal(first, keyed_rng(*key).random(4)), key


@pytest.mark.parametrize(("n", "size"), [(5, 5), (9, 4), (3, 7), (1, 4), (4, 12)])
def test_choose_takes_every_number_as_often_as_any(n, size):
    counts = Counter(choose(keyed_rng(n, size), n, size).tolist())
    times = [counts[i] for i in range(n)]
    assert sum(times) == size
    assert set(counts) <= set(range(n))
    assert max(times) - min(times) <= 1


def test_choose_is_uniform():
    rng = keyed_rng("uniform")
    first = np.bincount([choose(rng, 5, 3)[0] for _ in range(5000)], minlength=5)
    assert np.abs(first - 1000).max() < 5 * np.sqrt(5000 * 0.2 * 0.8)


# --- training -----------------------------------------------------------------------------


def test_a_batch_is_a_function_of_seed_and_step_alone(store):
    forward = sampler(store)
    backward = sampler(store)
    steps = [0, 1, 2, 3, 11, 40]
    drawn = {step: forward.draw(step) for step in steps}
    for step in reversed(steps):
        assert same(drawn[step], backward.draw(step)), step
    assert not same(drawn[1], drawn[2])
    assert not same(drawn[1], sampler(store, seed=2).draw(1))


def test_rows_are_of_the_pair_and_controls_of_its_line(store):
    for step in range(10):
        draw = sampler(store).draw(step)
        assert draw.control.shape == draw.perturbed.shape == (5, S)
        for pair, control, perturbed in zip(*draw, strict=True):
            line, perturbation = PAIRS[pair]
            assert inside(perturbed, store.rows(line, perturbation))
            assert inside(control, store.control_rows(line, GIVEN))
            assert len(set(control)) == S  # 50 given controls: none twice in a set


def test_an_epoch_gives_each_cell_once_and_fills_up_within_the_pair(store):
    made = sampler(store, sets=SETS_PER_EPOCH)
    for epoch in range(3):
        draw = made.draw(epoch)
        assert Counter(draw.pair.tolist()) == {0: 1, 1: 1, 2: 3, 3: 4}
        for number, pair in enumerate(PAIRS):
            block = store.rows(*pair)
            n = block.stop - block.start
            counts = Counter(draw.perturbed[draw.pair == number].ravel().tolist())
            assert set(counts) == set(range(block.start, block.stop))
            assert sum(counts.values()) == -(-n // S) * S
            assert sum(times - 1 for times in counts.values()) == -n % S
    assert not np.array_equal(made.draw(0).pair, made.draw(1).pair)


def test_batches_cross_the_border_of_epochs_without_loss(store):
    """Batches of 5 sets are the same endless sequence as batches of one epoch."""
    by_epoch, by_five = sampler(store, sets=SETS_PER_EPOCH), sampler(store, sets=5)
    epochs = [by_epoch.draw(t) for t in range(5)]
    fives = [by_five.draw(t) for t in range(SETS_PER_EPOCH)]
    for part in ("pair", "perturbed"):
        ours = np.concatenate([getattr(draw, part) for draw in fives])
        assert np.array_equal(ours, np.concatenate([getattr(draw, part) for draw in epochs])), part


def test_all_controls_of_the_line_are_used(store):
    draws = [sampler(store, sets=9).draw(step) for step in range(60)]
    for line in LINES:
        block = store.control_rows(line, GIVEN)
        seen = np.concatenate(
            [d.control[[PAIRS[p][0] == line for p in d.pair]].ravel() for d in draws]
        )
        counts = np.bincount(seen - block.start, minlength=block.stop - block.start)
        expected = counts.mean()
        assert np.abs(counts - expected).max() < 5.5 * np.sqrt(expected)


def test_controls_come_from_the_cells_own_batches_where_enough_exist(tmp_path):
    sizes = {("k562", "A"): 30, ("rpe1", "A"): 30}
    store = make_store(tmp_path / "cells.h5ad", sizes, controls=120, batches=3)
    codes = store.batch_codes
    made = SetSampler(store, list(sizes), 6, 8, seed=1, match_batch=True)
    plain = SetSampler(store, list(sizes), 6, 8, seed=1)
    unmatched = 0
    for step in range(20):
        draw = made.draw(step)
        assert same(draw, SetSampler(store, list(sizes), 6, 8, 1, match_batch=True).draw(step))
        for pair, control, perturbed in zip(*draw, strict=True):
            assert inside(control, store.control_rows(list(sizes)[pair][0], GIVEN))
            assert np.array_equal(codes[control], codes[perturbed])
            assert len(set(control)) == len(control)
        unmatched += (codes[plain.draw(step).control] != codes[draw.perturbed]).sum()
    assert unmatched > 0


def test_a_batch_with_too_few_controls_gives_way_to_the_whole_line(tmp_path):
    sizes = {("k562", "A"): 40}
    store = make_store(tmp_path / "cells.h5ad", sizes, controls=12, batches=3)
    made = SetSampler(store, list(sizes), 8, 8, seed=1, match_batch=True)
    codes, block = store.batch_codes, store.control_rows("k562", GIVEN)
    there = np.bincount(codes[block], minlength=3)
    followed = gave_way = 0
    for step in range(10):
        for _, control, perturbed in zip(*made.draw(step), strict=True):
            assert inside(control, block)
            need = np.bincount(codes[perturbed], minlength=3)
            for code in np.flatnonzero(need):
                mine = codes[control][codes[perturbed] == code]
                if there[code] >= need[code]:
                    assert (mine == code).all()
                    followed += 1
                else:
                    gave_way += (mine != code).any()
    assert followed
    assert gave_way


def test_a_pair_that_was_not_measured_is_named(store):
    with pytest.raises(PtragError, match="'Z' in 'k562'"):
        SetSampler(store, [("k562", "Z")], 1, S, seed=0)


# --- validation and prediction ------------------------------------------------------------


def test_prediction_starts_from_controls_of_the_line_whatever_else_is_predicted(store):
    given = len(store.controls("k562", GIVEN))
    numbers = drawn_controls("k562", "A", given, 20)
    assert len(set(numbers)) == 20
    assert inside(numbers, slice(0, given))
    assert np.array_equal(numbers, drawn_controls("k562", "A", given, 20))
    assert not np.array_equal(numbers, drawn_controls("k562", "B", given, 20))
    many = drawn_controls("k562", "A", given, 120)
    counts = np.bincount(many - many.min())
    assert set(counts.tolist()) == {2, 3}


@pytest.mark.parametrize(("n", "set_size", "sets"), [(10, 4, 3), (8, 4, 2), (3, 4, 1), (1, 4, 1)])
def test_whole_sets_hold_every_cell_and_begin_again_to_fill_up(n, set_size, sets):
    numbers = whole_sets(n, set_size)
    assert numbers.shape == (sets, set_size)
    assert numbers.ravel()[:n].tolist() == list(range(n))
    counts = np.bincount(numbers.ravel(), minlength=n)
    assert counts.max() - counts.min() <= 1


def test_names_of_the_small_screen_are_those_of_its_store(tmp_path):
    store = make_store(tmp_path / "cells.h5ad")
    assert store.lines == LINES
    assert store.perturbations == PERTURBATIONS
