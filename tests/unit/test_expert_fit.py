"""The fit of the expert: its gradient, pairs never seen, and what must change nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from expert_cases import make, pair, weighing
from response_cases import double_names, draw_embedding, draw_responses, nearest
from stores import write_store

from ptrag.arms.catalogue import (
    additive,
    additive_singles,
    knn,
    line_mean,
    perturbation_mean,
    response_expert,
)
from ptrag.arms.expert.entries import Entries
from ptrag.arms.expert.expert import NO_GAIN
from ptrag.arms.expert.fitting import fit_expert
from ptrag.arms.expert.posterior import Kernel
from ptrag.arms.expert.variances import _Case, _start
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.splits.protocols import IN_EVERY_LINE, PROTOCOLS, Split


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("sparse", [False, True])
def test_the_gradient_of_the_fit_is_that_of_finite_differences(protocol, sparse):
    expert = make(protocol, doubles=5)
    entries = expert.shrunken if sparse else Entries.measured(expert.responses)
    kernel = Kernel(entries, expert.text, "a" if protocol == "unseen_line" else "b")
    start = _start(kernel, protocol)
    assert (start[3] == 0) == (protocol in IN_EVERY_LINE)
    case = _Case(kernel, start)
    _, gradient = case.error(start)
    for i in np.flatnonzero(start):
        step = 1e-5 * start[i] * (np.arange(6) == i)
        slope = (case.error(start + step)[0] - case.error(start - step)[0]) / (2e-5 * start[i])
        assert gradient[i] == pytest.approx(slope, rel=1e-5)


def test_noise_alone_is_left_to_the_mean_of_the_line():
    responses = draw_responses(seed=0, n_perturbations=14, protocol="unseen_perturbation")
    rng = np.random.default_rng(1)
    noise = replace(responses, delta=1 + rng.normal(size=responses.delta.shape))
    embedding = draw_embedding()
    neighbours = nearest(embedding, noise.perturbations)
    expert = fit_expert(noise, embedding, neighbours, {"topk_rag": 4})
    assert sum(expert.stack.weights.values()) < 0.2
    mean = weighing(expert, {})
    assert mean("a", "P01").note == NO_GAIN


# The cases are additive by construction: for unseen combinations nothing can beat `additive`.
@pytest.mark.parametrize(
    ("protocol", "gain"), [("unseen_combination", 0.98), ("unseen_perturbation", 1.1)]
)
def test_fitting_beats_or_equals_the_best_simple_arm_on_pairs_never_seen(protocol, gain):
    gains = []
    for seed in range(3):
        everything = draw_responses(seed=seed, n_perturbations=30, n_genes=60, missing=0)
        held = [f"P{i:02d}" for i in range(0, 30, 3)]
        hide = np.isin(everything.entries["perturbation"], held)
        if protocol == "unseen_combination":
            hide &= (everything.entries["cell_line"] == "b").to_numpy()
        known = everything.without(np.flatnonzero(hide))
        target = "b" if protocol == "unseen_combination" else None
        known = replace(known, protocol=protocol, target=target)
        embedding = draw_embedding(30, seed=seed)
        neighbours = nearest(embedding, known.perturbations)
        options = {"topk_rag": 4}
        ours = response_expert.fit(known, embedding, neighbours, options)
        errors = {}
        arms = {"ours": ours}
        for arm in (line_mean, perturbation_mean, additive, knn):
            arms[arm.ARM.name] = arm.ARM.fit(known, embedding, neighbours, options)
        for name, arm in arms.items():
            errors[name] = sum(
                ((arm(*pair(everything, i)).delta - everything.delta[i]) ** 2).sum()
                for i in np.flatnonzero(hide)
            )
        gains.append(min(error for name, error in errors.items() if name != "ours"))
        gains[-1] /= errors["ours"]
    assert np.mean(gains) > gain
    assert min(gains) > 0.97


def test_a_double_is_predicted_better_than_by_its_singles_sum():
    """Planted: a double is the sum of its singles beyond the line's shift, and of its own."""
    errors = {"ours": 0.0, "singles": 0.0}
    for seed in range(3):
        everything = draw_responses(
            seed=seed, n_genes=40, n_perturbations=20, missing=0, doubles=12
        )
        hide = np.isin(everything.entries["perturbation"], double_names(12)[::3])
        known = replace(everything.without(np.flatnonzero(hide)), protocol="unseen_double")
        embedding = draw_embedding(20, doubles=12)
        neighbours = nearest(embedding, known.perturbations)
        arms = {
            "ours": fit_expert(known, embedding, neighbours, {"topk_rag": 4}),
            "singles": additive_singles.ARM.fit(known, None, None, {}),
        }
        for name, arm in arms.items():
            for i in np.flatnonzero(hide):
                predicted = arm(*pair(everything, i)).delta
                errors[name] += ((predicted - everything.delta[i]) ** 2).sum()
    assert errors["ours"] < 0.5 * errors["singles"]


def test_order_of_entries_and_names_of_lines_change_nothing():
    responses = draw_responses(seed=6, n_genes=20, target="b")
    embedding = draw_embedding()
    neighbours = nearest(embedding, responses.perturbations)
    first = fit_expert(responses, embedding, neighbours, {"topk_rag": 4})
    order = np.random.default_rng(0).permutation(len(responses.entries))
    new = {"a": "z", "b": "y", "c": "x"}
    entries = responses.entries.iloc[order].reset_index(drop=True)
    entries["cell_line"] = entries["cell_line"].map(new)
    moved = Responses(
        responses.genes, entries, responses.delta[order], responses.se[order],
        {new[k]: v for k, v in responses.control_mean.items()},
        {new[k]: v for k, v in responses.control_se.items()},
        responses.protocol, "y",
    )  # fmt: skip
    second = fit_expert(moved, embedding, neighbours, {"topk_rag": 4})
    for line in "ab":
        for name in ("P00", "P05", "P11"):
            np.testing.assert_allclose(
                first(line, name).delta, second(new[line], name).delta, rtol=1e-4, atol=1e-5
            )
    np.testing.assert_allclose(
        first.leave_one_out()[order], second.leave_one_out(), rtol=1e-4, atol=1e-5
    )


def test_the_same_responses_give_the_same_bits(tmp_path):
    responses = draw_responses(seed=6, target="b")
    responses.write(tmp_path / "responses.npz")
    again = Responses.read(tmp_path / "responses.npz")
    pd.testing.assert_frame_equal(again.entries, responses.entries, check_dtype=False)
    for key in ("delta", "se"):
        np.testing.assert_array_equal(getattr(again, key), getattr(responses, key))
    for line in responses.lines:
        np.testing.assert_array_equal(again.control_mean[line], responses.control_mean[line])
        np.testing.assert_array_equal(again.control_se[line], responses.control_se[line])
    assert (again.genes, again.protocol, again.target) == (
        list(responses.genes), responses.protocol, responses.target,
    )  # fmt: skip
    embedding = draw_embedding()
    neighbours = nearest(embedding, responses.perturbations)
    predicted = [
        fit_expert(its, embedding, neighbours, {"topk_rag": 4})("b", "P03").delta
        for its in (responses, again)
    ]
    np.testing.assert_array_equal(*predicted)
    responses.write(tmp_path / "second.npz")
    assert (tmp_path / "second.npz").read_bytes() == (tmp_path / "responses.npz").read_bytes()


@pytest.mark.parametrize("protocol", ["unseen_combination", "unseen_perturbation"])
def test_cells_that_are_held_out_change_nothing(tmp_path, protocol):
    rng = np.random.default_rng(0)
    names = ["control", *draw_embedding().names]
    obs = pd.DataFrame(
        [(line, name) for line in "ab" for name in names for _ in range(6)],
        columns=["cell_line", "perturbation"],
    )
    X = rng.random((len(obs), 8)).astype(np.float32)
    held = obs["perturbation"].isin(names[1:5])
    if protocol == "unseen_combination":
        held &= obs["cell_line"] == "b"
    table = obs.groupby(["cell_line", "perturbation"]).size().rename("n_cells").reset_index()
    out = table["perturbation"].isin(names[1:5])
    if protocol == "unseen_combination":
        out &= table["cell_line"] == "b"
    table["role"] = np.where(out, "test", "train")
    table.loc[table["perturbation"] == "control", "role"] = "control"
    split = Split(
        table.assign(reason=""), protocol, "b" if protocol == "unseen_combination" else None
    )
    predicted = []
    for i, planted in enumerate((0.0, 1000.0)):
        cells = X + np.float32(planted) * held.to_numpy()[:, None]
        write_store(tmp_path / f"{i}.h5ad", cells, obs, list("stuvwxyz"))
        responses = Responses.measured(CellStore(tmp_path / f"{i}.h5ad"), split)
        neighbours = nearest(draw_embedding(), responses.perturbations)
        expert = fit_expert(responses, draw_embedding(), neighbours, {"topk_rag": 4})
        predicted.append([expert(*its).delta for its in split.pairs("test")])
    np.testing.assert_array_equal(*predicted)
