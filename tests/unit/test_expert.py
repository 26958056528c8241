"""The closed-form expert against brute force: kriging systems, refits, recomputation."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from response_cases import draw_embedding, draw_responses, nearest

from ptrag.arms.catalogue import (
    additive,
    knn,
    line_mean,
    perturbation_mean,
    response_expert,
    ridge,
)
from ptrag.arms.expert import expert as expert_module
from ptrag.arms.expert.components import Components
from ptrag.arms.expert.expert import NO_ENTRY, UNKNOWN, Expert, fit_expert
from ptrag.arms.expert.posterior import Kernel, Posterior, Variances
from ptrag.arms.expert.variances import _Case, _start, held_out
from ptrag.arms.simple.ridge import fit_penalty
from ptrag.base.errors import PtragError
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.cells.store_writer import write_store
from ptrag.genes.embeddings import Embedding
from ptrag.retrieval.similarity import TextSimilarity
from ptrag.splits.protocols import Split

COMBINATION = Variances(0.3, 0.2, 0.15, 0.4, 0.5, 0.02)
NEW = Variances(0.3, 0.2, 0.15, 0.0, 0.0, 0.02)
MIXTURE = {
    "posterior": 0.6, "line_mean": 0.1, "perturbation_mean": 0.05, "additive": 0.1, "ridge": 0.15,
    "knn": 0.2,
}  # fmt: skip


def make(protocol="unseen_combination", weights=MIXTURE, components=False, **facts):
    """An expert with given variances, weights and perhaps components on a small screen."""
    target = "b" if protocol == "unseen_combination" else None
    responses = draw_responses(seed=7, protocol=protocol, target=target, **facts)
    embedding = draw_embedding()
    text = TextSimilarity(embedding, responses.perturbations)
    neighbours = nearest(embedding, responses.perturbations)
    variances = COMBINATION if target else NEW
    directions = one(responses)
    if components:
        directions = two_groups(responses)
    penalty = fit_penalty(responses, text)
    return Expert(responses, text, neighbours, 4, variances, directions, penalty, dict(weights))


def one(responses):
    """All directions alike."""
    return Components.one(len(responses.genes))


def two_groups(responses, seed=3):
    """Two groups of random directions and what is left, in units of genes of their own."""
    rng = np.random.default_rng(seed)
    G = len(responses.genes)
    Q = np.linalg.qr(rng.normal(size=(G, 4)))[0].T
    share = np.array([0.5, 0.3, 0.2])
    return Components(rng.uniform(0.5, 2, G), [Q[:1], Q[1:]], np.array([0.2, 1.0, 5.0]), share)


def less(expert, rows):
    """The same expert, had it never seen some entries."""
    return replace(expert, responses=expert.responses.without(rows))


def pair(responses, i):
    return responses.entries["cell_line"][i], responses.entries["perturbation"][i]


def covariance(responses, text, variances, target):
    """Entry-by-entry covariances of the docstring, by loops."""
    r, v, n = responses, variances, len(responses.entries)
    mean = {line: r.delta[r.rows(line)].mean(axis=0) for line in r.lines if len(r.rows(line))}

    def address(name):
        its = [i for i in range(n) if pair(r, i)[1] == name and pair(r, i)[0] != target]
        if not its:
            return np.zeros(len(r.genes))
        return np.mean([r.delta[i] - mean[pair(r, i)[0]] for i in its], axis=0)

    names = [*r.perturbations, "new"]
    addresses = {name: address(name) for name in names}
    likeness = {p: dict(zip(names, text.kernel([p], names)[0], strict=True)) for p in names}

    def between(one, other):
        (l, p), (m, q) = one, other  # noqa: E741
        response = addresses[p] @ addresses[q] / len(r.genes)
        similar = likeness[p][q]
        return (
            v.same * (p == q) + v.text * similar + v.text_in_line * similar * (l == m)
            + v.response * response + v.response_in_line * response * (l == m == target)
        )  # fmt: skip

    return between


def kriging(responses, text, variances, target, name, keep=None, addresses=None):
    """Prediction of (name, target) by solving the whole kriging system with its constraints."""
    keep = np.arange(len(responses.entries)) if keep is None else np.asarray(keep)
    between = covariance(addresses or responses, text, variances, target)
    pairs = [pair(responses, i) for i in keep]
    K = np.array([[between(a, b) for b in pairs] for a in pairs])
    noise = responses.own_variance.mean(axis=1)[keep]
    K += np.diag(variances.nugget + variances.reliability * noise)
    lines = sorted({line for line, _ in pairs})
    H = np.array([[line == other for other in lines] for line, _ in pairs], float)
    system = np.block([[K, H], [H.T, np.zeros((len(lines), len(lines)))]])
    right = [between((target, name), other) for other in pairs]
    right += [float(line == target) for line in lines]
    omega = np.linalg.solve(system, right)[: len(keep)]
    return omega @ responses.delta[keep], omega


def test_the_posterior_solves_the_kriging_system():
    expert = make()
    for name in ("P01", "P02", "new"):
        for line in ("a", "b"):
            own = expert.responses.rows(line, name)
            keep = np.setdiff1d(np.arange(len(expert.responses.entries)), own)
            expected, omega = kriging(expert.responses, expert.text, COMBINATION, line, name, keep)
            (found,) = expert.posterior(line).coefficients(name)
            np.testing.assert_allclose(found[keep], omega, rtol=1e-8, atol=1e-10)
            np.testing.assert_allclose(
                found @ expert.responses.delta, expected, rtol=1e-8, atol=1e-10
            )
            assert not found[own].any()


@pytest.mark.parametrize("protocol", ["unseen_combination", "unseen_perturbation"])
@pytest.mark.parametrize("weights", [MIXTURE, {"posterior": 1.0}, {"additive": 1.0}])
@pytest.mark.parametrize("components", [False, True])
def test_leave_one_out_is_brute_force_refitting(protocol, weights, components):
    expert = make(protocol, weights, components)
    found = expert.leave_one_out()
    for group in held_out(expert.responses, expert.responses.lines):
        refitted = less(expert, group)
        for i in group:
            expected = refitted(*pair(expert.responses, i)).delta
            np.testing.assert_allclose(found[i], expected, rtol=1e-8, atol=1e-8)


def test_leave_one_out_of_the_only_entry_of_a_line_or_without_text():
    expert = make()
    responses = expert.responses
    alone = responses.rows("c")[1:]
    expert = less(expert, alone)  # line c keeps one entry
    embedding = draw_embedding()
    few = Embedding(embedding.names[3:], embedding.vectors[3:], embedding.coverage)
    expert.text = TextSimilarity(few, expert.responses.perturbations, width=0.5)
    found = expert.leave_one_out()
    for i in range(len(found)):
        expected = less(expert, [i])(*pair(expert.responses, i)).delta
        np.testing.assert_allclose(found[i], expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("member", "arm"),
    [
        ("line_mean", line_mean), ("perturbation_mean", perturbation_mean),
        ("additive", additive), ("ridge", ridge), ("knn", knn),
    ],
)  # fmt: skip
def test_fixed_weights_give_each_simple_arm(member, arm):
    expert = make(weights={member: 1.0})
    predict = arm.fit(expert.responses, draw_embedding(), expert.neighbours, {"topk_rag": expert.k})
    held = 0
    for line in expert.responses.lines:
        for name in draw_embedding().names:
            if len(expert.responses.rows(line, name)):
                continue
            held += 1
            np.testing.assert_allclose(
                expert(line, name).delta, predict(line, name).delta, rtol=1e-10, atol=1e-10
            )
    assert held > 3


def test_without_kernel_and_errors_the_posterior_is_the_mean_of_the_line():
    expert = make(weights={"posterior": 1.0})
    expert.variances = Variances(0, 0, 0, 0, 0, 1, reliability=0)
    expected = line_mean.fit(expert.responses, None, None, {})
    for line in "abc":
        np.testing.assert_allclose(
            expert(line, "P99x").delta, expected(line, "").delta, rtol=1e-10, atol=1e-10
        )
        np.testing.assert_allclose(
            expert.posterior(line).coefficients("new")[0] @ expert.responses.delta,
            expected(line, "").delta, rtol=1e-10, atol=1e-10,
        )  # fmt: skip


def test_a_dominant_same_perturbation_part_is_the_additive_model():
    expert = make(weights={"posterior": 1.0})
    expert.variances = Variances(1e6, 0, 0, 0, 0, 1, reliability=0)
    expected = additive.fit(expert.responses, None, None, {})
    held = [n for n in expert.responses.perturbations if not len(expert.responses.rows("b", n))]
    for name in held:
        np.testing.assert_allclose(
            expert("b", name).delta, expected("b", name).delta, rtol=1e-4, atol=1e-4
        )


def by_component(expert, *arguments, **options):
    """Kriging of each group of components by itself, put together by projections."""
    G = len(expert.responses.genes)
    left, total = np.eye(G), np.zeros(G)
    its = expert.components
    for i, reliability in enumerate(its.reliability):
        project = left if i == len(its.directions) else its.directions[i].T @ its.directions[i]
        left = left - project
        variances = replace(expert.variances, reliability=reliability)
        said, _ = kriging(expert.responses, expert.text, variances, *arguments, **options)
        total += its.scale * (project @ (said / its.scale))
    return total


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("components", [False, True])
def test_a_reported_deletion_is_what_recomputation_gives(trained, components):
    weights = {"posterior": 0.7, "additive": 0.2, "knn": 0.1}
    expert = make(weights=weights, components=components)
    responses = expert.responses
    names = [n for n in responses.perturbations if len(responses.rows("b", n)) == trained][:2]
    assert len(names) == 2
    for name in names:
        estimate = expert("b", name)
        assert len(estimate.candidates) == 4
        own = responses.rows("b", name)
        for candidate in estimate.candidates:
            q, line = candidate.name.split(" in ")
            gone = np.concatenate([own, responses.rows(line, q)])
            keep = np.setdiff1d(np.arange(len(responses.entries)), gone)
            rest = less(expert, gone)
            expected = 0.7 * by_component(expert, "b", name, keep, addresses=responses)
            for member in ("additive", "knn"):
                rest.weights = {member: expert.weights[member]}
                expected = expected + rest("b", name).delta
            np.testing.assert_allclose(candidate.without, expected, rtol=1e-6, atol=1e-8)


def test_coefficients_say_what_the_prediction_is_made_of():
    expert = make()
    expert.k = len(expert.responses.entries)
    name = next(n for n in expert.responses.perturbations if not len(expert.responses.rows("b", n)))
    estimate = expert("b", name)
    total = np.zeros(len(expert.responses.genes))
    for candidate in estimate.candidates:
        q, line = candidate.name.split(" in ")
        total += candidate.weight * expert.responses.delta[expert.responses.rows(line, q)[0]]
    np.testing.assert_allclose(total, estimate.delta, rtol=1e-10, atol=1e-12)
    weights = np.abs([candidate.weight for candidate in estimate.candidates])
    assert (np.diff(weights) <= 0).all()


def test_the_top_candidate_matters_more_than_a_random_one():
    rng = np.random.default_rng(0)
    wins = []
    for seed in range(4):
        responses = draw_responses(
            seed=seed, n_perturbations=24, n_genes=40, missing=0.3, target="b"
        )
        embedding = draw_embedding(24, seed=seed)
        neighbours = nearest(embedding, responses.perturbations)
        expert = fit_expert(responses, embedding, neighbours, {"topk_rag": 4})
        expert.k = len(responses.entries)
        for name in responses.perturbations:
            if len(responses.rows("b", name)):
                continue
            estimate = expert("b", name)
            effect = [np.linalg.norm(c.without - estimate.delta) for c in estimate.candidates]
            wins.append(effect[0] > effect[rng.integers(1, len(effect))])
    assert len(wins) > 15
    assert np.mean(wins) >= 0.9


def test_a_noisier_entry_gets_less_weight():
    expert = make(weights={"posterior": 1.0})
    responses = expert.responses
    name = next(
        n for n in responses.perturbations
        if not len(responses.rows("b", n)) and len(responses.rows("a", n))
    )  # fmt: skip
    row = responses.rows("a", name)[0]
    before = expert.posterior("b").coefficients(name)[0, row]
    se = responses.se.copy()
    se[row] *= 4
    expert = replace(expert, responses=replace(responses, se=se))
    after = expert.posterior("b").coefficients(name)[0, row]
    assert 0 < after < before


def test_nothing_to_retrieve_by_is_the_mean_of_the_line_and_is_said():
    expert = make()
    estimate = expert("a", "never heard of")
    expected = line_mean.fit(expert.responses, None, None, {})("a", "")
    np.testing.assert_allclose(estimate.delta, expected.delta, rtol=1e-12)
    assert estimate.note == UNKNOWN
    assert estimate.candidates == ()


def test_a_measured_perturbation_without_text_is_still_predicted():
    expert = make()
    embedding = draw_embedding()
    few = Embedding(embedding.names[5:], embedding.vectors[5:], embedding.coverage)
    name = next(n for n in few_names(embedding, 5) if expert.responses.measures(n, all_of(expert)))
    expert.text = TextSimilarity(few, expert.responses.perturbations)
    estimate = expert("b", name)
    assert estimate.note == ""
    assert any(c.name.startswith(name + " in") for c in estimate.candidates)
    assert np.isnan(estimate.candidates[0].similarity)


def few_names(embedding, n):
    return embedding.names[:n]


def all_of(expert):
    return np.ones(len(expert.responses.entries), bool)


def test_a_line_without_entries_says_so():
    expert = make()
    expert = less(expert, expert.responses.rows("c"))
    estimate = expert("c", "P03")
    assert estimate.note == NO_ENTRY
    assert np.isfinite(estimate.delta).all()


def test_noise_alone_is_left_to_a_simple_member():
    responses = draw_responses(seed=0, n_perturbations=14, protocol="unseen_perturbation")
    rng = np.random.default_rng(1)
    noise = replace(responses, delta=1 + rng.normal(size=responses.delta.shape))
    embedding = draw_embedding()
    neighbours = nearest(embedding, noise.perturbations)
    expert = fit_expert(noise, embedding, neighbours, {"topk_rag": 4})
    assert set(expert.weights) <= set(expert_module.MEMBERS[1:])
    assert "leave-one-out finds no gain over" in expert("a", "P01").note


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
            arms[arm.ARM.name] = arm.fit(known, embedding, neighbours, options)
        for name, arm in arms.items():
            errors[name] = sum(
                ((arm(*pair(everything, i)).delta - everything.delta[i]) ** 2).sum()
                for i in np.flatnonzero(hide)
            )
        gains.append(min(error for name, error in errors.items() if name != "ours"))
        gains[-1] /= errors["ours"]
    assert np.mean(gains) > gain
    assert min(gains) > 0.97


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


def test_a_file_that_holds_no_responses_is_an_error(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"no")
    with pytest.raises(PtragError, match=r"bad\.npz: holds no measured responses"):
        Responses.read(tmp_path / "bad.npz")


@pytest.mark.parametrize("protocol", ["unseen_combination", "unseen_perturbation"])
def test_the_gradient_of_the_fit_is_that_of_finite_differences(protocol):
    expert = make(protocol)
    kernel = Kernel(expert.responses, expert.text, "b")
    start = _start(kernel, new=False)
    if protocol == "unseen_perturbation":
        start[3:5] = 0
    case = _Case(kernel, start)
    _, gradient = case.error(start)
    for i in np.flatnonzero(start):
        step = 1e-5 * start[i] * (np.arange(6) == i)
        slope = (case.error(start + step)[0] - case.error(start - step)[0]) / (2e-5 * start[i])
        assert gradient[i] == pytest.approx(slope, rel=1e-5)


def test_an_entry_that_repeats_what_the_others_say_changes_nothing():
    """Deleting an entry that equals its own prediction has no effect (kriging is consistent)."""
    expert = make(weights={"posterior": 1.0})
    posterior = expert.posterior("b")
    rows = expert.responses.rows("b")
    said = expert.responses.delta[rows[0]] - posterior.residuals(rows[:1])[0]
    delta = expert.responses.delta.copy()
    delta[rows[0]] = said
    same = replace(expert.responses, delta=delta)
    again = Posterior(Kernel(same, expert.text, "b"), COMBINATION)
    name = next(n for n in same.perturbations if not len(same.rows("b", n)))
    omega = again.coefficients(name)
    assert abs(omega[rows[0]]) > 1e-4
    np.testing.assert_allclose(again.deletion(name, omega, rows[0]), 0, atol=1e-10)


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
