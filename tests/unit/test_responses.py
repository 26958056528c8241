from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from response_cases import draw_responses
from stores import write_store

from ptrag.base.errors import PtragError
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.splits.protocols import Split


@pytest.fixture
def screen(tmp_path):
    """Two lines; p is held out in `one`, s has a single cell."""
    rng = np.random.default_rng(0)
    sizes = {"control": 18, "p": 5, "q": 7, "s": 1}
    obs = pd.DataFrame(
        [
            (line, name)
            for line in ("one", "two")
            for name, size in sizes.items()
            for _ in range(size)
        ],
        columns=["cell_line", "perturbation"],
    )
    X = rng.random((len(obs), 4)).astype(np.float32)
    order = rng.permutation(len(obs))
    write_store(tmp_path / "cells.h5ad", X[order], obs.iloc[order], list("wxyz"))
    role = {"control": "control", "q": "train", "s": "train"}
    table = pd.DataFrame(
        [
            (line, name, size, role.get(name, "test" if line == "one" else "train"), "")
            for line in ("one", "two")
            for name, size in sizes.items()
        ],
        columns=["cell_line", "perturbation", "n_cells", "role", "reason"],
    )
    split = Split(table, "unseen_combination", "one")
    store = CellStore(tmp_path / "cells.h5ad")
    part = store.obs["control_part"].reindex(obs.index.astype(str)).to_numpy()
    return Responses.measured(store, split), X, obs.assign(control_part=part)


def test_only_training_pairs_are_entries(screen):
    responses, _, _ = screen
    pairs = set(zip(responses.entries["cell_line"], responses.entries["perturbation"], strict=True))
    assert pairs == {("one", "q"), ("one", "s"), ("two", "p"), ("two", "q"), ("two", "s")}
    assert responses.target == "one"
    assert responses.perturbations == ["p", "q", "s"]
    assert responses.lines == ["one", "two"]
    for i, (line, name) in enumerate(
        zip(responses.entries["cell_line"], responses.entries["perturbation"], strict=True)
    ):
        assert responses.lines[responses.line_of[i]] == line
        assert responses.perturbations[responses.perturbation_of[i]] == name
        assert list(responses.rows(line, name)) == [i]


def test_deltas_and_errors_are_those_of_welch(screen):
    responses, X, obs = screen
    for i, entry in responses.entries.iterrows():
        here = (obs["cell_line"] == entry["cell_line"]).to_numpy()
        cells = X[here & (obs["perturbation"] == entry["perturbation"]).to_numpy()].astype(float)
        controls = X[here & (obs["control_part"] == "given").to_numpy()].astype(float)
        assert entry["n_cells"] == len(cells)
        np.testing.assert_allclose(
            responses.delta[i], cells.mean(0) - controls.mean(0), rtol=1e-12, atol=1e-14
        )
        spread = cells.var(0, ddof=1) if len(cells) > 1 else controls.var(0, ddof=1)
        error = np.sqrt(spread / len(cells) + controls.var(0, ddof=1) / len(controls))
        np.testing.assert_allclose(responses.se[i], error, rtol=1e-12)
        np.testing.assert_allclose(responses.own_variance[i], spread / len(cells), rtol=1e-10)


def test_a_planted_shift_keeps_its_sign(tmp_path):
    X = np.ones((8, 2), np.float32)
    X[4:, 0] = 3  # the perturbed cells express gene `up` more
    obs = pd.DataFrame({"cell_line": "one", "perturbation": ["control"] * 4 + ["p"] * 4})
    write_store(tmp_path / "cells.h5ad", X, obs, ["up", "same"])
    rows = [("one", "control", 4, "control", ""), ("one", "p", 4, "train", "")]
    table = pd.DataFrame(rows, columns=["cell_line", "perturbation", "n_cells", "role", "reason"])
    store = CellStore(tmp_path / "cells.h5ad")
    responses = Responses.measured(store, Split(table, "unseen_perturbation", None))
    np.testing.assert_array_equal(responses.delta, [[2, 0]])


def test_leaving_entries_out_is_as_if_they_had_not_been_measured(screen):
    responses, _, _ = screen
    less = responses.without([0, 2])
    assert len(less.entries) == len(responses.entries) - 2
    np.testing.assert_array_equal(less.delta, responses.delta[[1, 3, 4]])
    np.testing.assert_array_equal(less.se, responses.se[[1, 3, 4]])
    assert list(less.entries["perturbation"]) == list(
        responses.entries["perturbation"].iloc[[1, 3, 4]]
    )


def test_permuted_responses_are_those_of_other_perturbations_of_the_same_line():
    responses = draw_responses(seed=1)
    dealt = responses.permuted(0)
    assert dealt.pairs == responses.pairs
    for line in responses.lines:
        rows = responses.rows(line)
        # each row of the line's deltas is there once, none at its own place
        givers = [
            int(np.flatnonzero((responses.delta[rows] == delta).all(axis=1)).item())
            for delta in dealt.delta[rows]
        ]
        assert sorted(givers) == list(range(len(rows)))
        assert all(giver != i for i, giver in enumerate(givers))
        np.testing.assert_array_equal(dealt.se[rows], responses.se[rows][givers])
        n_cells = responses.entries["n_cells"].to_numpy()[rows]
        assert list(dealt.entries["n_cells"].iloc[rows]) == list(n_cells[givers])
        np.testing.assert_allclose(dealt.delta[rows].mean(0), responses.delta[rows].mean(0))
    assert (responses.permuted(1).delta != dealt.delta).any()


def test_a_permutation_belongs_to_perturbations_and_not_to_the_order_of_entries():
    responses = draw_responses(seed=1)
    order = np.random.default_rng(0).permutation(len(responses.entries))
    moved = replace(
        responses, entries=responses.entries.iloc[order].reset_index(drop=True),
        delta=responses.delta[order], se=responses.se[order],
    )  # fmt: skip
    np.testing.assert_array_equal(moved.permuted(0).delta, responses.permuted(0).delta[order])


def test_the_only_entry_of_a_line_keeps_its_response():
    responses = draw_responses(seed=1)
    alone = responses.without(responses.rows("c")[1:])
    row = alone.rows("c")
    np.testing.assert_array_equal(alone.permuted(0).delta[row], alone.delta[row])


def test_a_file_that_holds_no_responses_is_an_error(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"no")
    with pytest.raises(PtragError, match=r"bad\.npz: holds no measured responses"):
        Responses.read(tmp_path / "bad.npz")
