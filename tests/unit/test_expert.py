"""The closed-form expert against brute force: kriging systems, refits, recomputation."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from response_cases import double_names, draw_embedding, draw_responses, nearest

from ptrag.arms.catalogue import (
    additive,
    additive_singles,
    knn,
    line_mean,
    perturbation_mean,
    response_expert,
    ridge,
)
from ptrag.arms.expert.components import Components
from ptrag.arms.expert.entries import Entries
from ptrag.arms.expert.expert import NO_ENTRY, NO_GAIN, UNKNOWN, Expert
from ptrag.arms.expert.fitting import fit_expert
from ptrag.arms.expert.level import Level
from ptrag.arms.expert.posterior import Kernel, Posterior, Variances, shared_genes
from ptrag.arms.expert.precision import Precision
from ptrag.arms.expert.sparse import shrunken
from ptrag.arms.expert.stacking import Stack
from ptrag.arms.expert.variances import _Case, _start, held_out
from ptrag.arms.simple.ridge import fit_penalty
from ptrag.base.errors import PtragError
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.cells.store_writer import write_store
from ptrag.genes.embeddings import Embedding
from ptrag.retrieval.similarity import TextSimilarity
from ptrag.splits.protocols import IN_EVERY_LINE, IN_ONE_LINE, PROTOCOLS, Split

COMBINATION = Variances(0.3, 0.2, 0.15, 0.4, 0.5, 0.02)
NEW = Variances(0.3, 0.2, 0.15, 0.0, 0.0, 0.02)
MIXTURE = {
    "perturbation_mean": 0.05, "additive": 0.1, "additive_singles": 0.05,
    "process": 0.2, "sparse_process": 0.15, "ridge": 0.15, "knn": 0.2, "text_process": 0.3,
}  # fmt: skip


def make(protocol="unseen_combination", weights=MIXTURE, components=False, slopes=False, **facts):
    """An expert with given variances, weights and perhaps components and slopes."""
    target = "b" if protocol in IN_ONE_LINE else None
    responses = draw_responses(seed=7, protocol=protocol, target=target, **facts)
    if protocol == "unseen_line":
        responses = responses.without(responses.rows("b"))
    embedding = draw_embedding(doubles=facts.get("doubles", 0))
    text = TextSimilarity(embedding, responses.perturbations)
    neighbours = nearest(embedding, responses.perturbations)
    reading = COMBINATION if target else NEW
    variances = {
        "text_process": reading,
        "process": replace(reading, text=0.0, text_in_line=0.0),
        "sparse_process": replace(reading, text=0.0, text_in_line=0.0, same=0.1),
    }
    directions = two_groups(responses) if components else Components.one(len(responses.genes))
    slope = np.ones(len(responses.genes))
    if slopes:
        slope = np.random.default_rng(2).uniform(0.5, 1.5, len(slope))
    return Expert(
        responses, text, neighbours, 4, shrunken(responses), variances, directions,
        fit_penalty(responses, text),
        Level.fitted(responses) if slopes else Level.plain(responses), Stack(dict(weights), slope),
    )  # fmt: skip


def two_groups(responses, seed=3):
    """Two groups of random directions and what is left, in units of genes of their own."""
    rng = np.random.default_rng(seed)
    G = len(responses.genes)
    Q = np.linalg.qr(rng.normal(size=(G, 4)))[0].T
    share = np.array([0.5, 0.3, 0.2])
    return Components(rng.uniform(0.5, 2, G), [Q[:1], Q[1:]], np.array([0.2, 1.0, 5.0]), share)


def less(expert, rows):
    """The same expert, had it never seen some entries."""
    rest = expert.responses.without(rows)
    return replace(expert, responses=rest, shrunken=expert.shrunken.without(rows))


def weighing(expert, weights):
    """The same expert with other weights, slopes of one and means for levels."""
    stack = Stack(weights, np.ones(len(expert.responses.genes)))
    return replace(expert, stack=stack, level=Level.plain(expert.responses))


def posterior(expert, line, name="text_process"):
    """The solved process of a line."""
    return expert.member(name).posterior(line)


def pair(responses, i):
    return responses.entries["cell_line"][i], responses.entries["perturbation"][i]


def covariance(responses, text, variances, target, centred=False):
    """Entry-by-entry covariances of the docstring, by loops; ``centred`` deltas are not again."""
    r, v, n = responses, variances, len(responses.entries)
    mean = {line: r.delta[r.rows(line)].mean(axis=0) for line in r.lines if len(r.rows(line))}
    if centred:
        mean = dict.fromkeys(r.lines, 0.0)

    def address(name):
        its = [i for i in range(n) if pair(r, i)[1] == name and pair(r, i)[0] != target]
        if not its:
            return np.zeros(len(r.genes))
        return np.mean([r.delta[i] - mean[pair(r, i)[0]] for i in its], axis=0)

    names = [*r.perturbations, "new", "P02+P09"]
    addresses = {name: address(name) for name in names}
    likeness = {p: dict(zip(names, text.kernel([p], names)[0], strict=True)) for p in names}

    def between(one, other):
        (l, p), (m, q) = one, other  # noqa: E741
        response = addresses[p] @ addresses[q] / len(r.genes)
        similar = likeness[p][q]
        return (
            v.same * len({*p.split("+")} & {*q.split("+")})
            + v.text * similar + v.text_in_line * similar * (l == m)
            + v.response * response + v.response_in_line * response * (l == m == target)
        )  # fmt: skip

    return between


def kriging(responses, text, variances, target, name, keep=None, addresses=None, centred=False):
    """Prediction, ω and variance of (name, target) from the whole kriging system."""
    keep = np.arange(len(responses.entries)) if keep is None else np.asarray(keep)
    between = covariance(addresses or responses, text, variances, target, centred)
    pairs = [pair(responses, i) for i in keep]
    signal = np.array([[between(a, b) for b in pairs] for a in pairs])
    noise = responses.own_variance.mean(axis=1)[keep]
    K = signal + np.diag(variances.nugget + variances.reliability * noise)
    lines = sorted({line for line, _ in pairs})
    H = np.array([[line == other for other in lines] for line, _ in pairs], float)
    system = np.block([[K, H], [H.T, np.zeros((len(lines), len(lines)))]])
    cross = np.array([between((target, name), other) for other in pairs])
    right = [*cross, *(float(line == target) for line in lines)]
    omega = np.linalg.solve(system, right)[: len(keep)]
    own = between((target, name), (target, name)) + variances.nugget
    variance = own - 2 * omega @ cross + omega @ K @ omega
    return omega @ responses.delta[keep], omega, variance


def test_the_posterior_solves_the_kriging_system():
    expert = make()
    for name in ("P01", "P02", "new"):
        for line in ("a", "b"):
            own = expert.responses.rows(line, name)
            keep = np.setdiff1d(np.arange(len(expert.responses.entries)), own)
            expected, omega, variance = kriging(
                expert.responses, expert.text, COMBINATION, line, name, keep
            )
            solved = posterior(expert, line)
            coefficients = solved.coefficients(name)
            (of_one,) = coefficients
            np.testing.assert_allclose(of_one[keep], omega, rtol=1e-8, atol=1e-10)
            np.testing.assert_allclose(
                of_one @ expert.responses.delta, expected, rtol=1e-8, atol=1e-10
            )
            assert not of_one[own].any()
            assert solved.variance(name, coefficients) == pytest.approx(variance, rel=1e-8)


def test_doubles_and_singles_share_evidence():
    expert = make("unseen_double", doubles=6)
    for name in ("P00+P01", "P02+P09"):
        own = expert.responses.rows("a", name)
        keep = np.setdiff1d(np.arange(len(expert.responses.entries)), own)
        expected, _, variance = kriging(expert.responses, expert.text, NEW, "a", name, keep)
        solved = posterior(expert, "a")
        omega = solved.coefficients(name)
        np.testing.assert_allclose(omega[0] @ expert.responses.delta, expected, rtol=1e-8)
        assert solved.variance(name, omega) == pytest.approx(variance, rel=1e-8)
    assert shared_genes(["A+B", "C"], ["B", "A+B", "D+C"]).tolist() == [[1, 2, 0], [0, 0, 1]]


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
            "singles": additive_singles.fit(known, None, None, {}),
        }
        for name, arm in arms.items():
            for i in np.flatnonzero(hide):
                predicted = arm(*pair(everything, i)).delta
                errors[name] += ((predicted - everything.delta[i]) ** 2).sum()
    assert errors["ours"] < 0.5 * errors["singles"]


def test_a_precision_is_the_projected_inverse():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(12, 15))
    K, H = root @ root.T, np.eye(3)[rng.integers(0, 3, 12)]
    values, x = rng.normal(size=(12, 4)), rng.normal(size=12)
    inverse = np.linalg.inv(K)
    P = inverse - inverse @ H @ np.linalg.inv(H.T @ inverse @ H) @ H.T @ inverse
    precision = Precision(np.asfortranarray(K), H, values)
    close = {"rtol": 1e-8, "atol": 1e-10}
    np.testing.assert_allclose(precision.dense(), P, **close)
    np.testing.assert_allclose(precision.diagonal, np.diag(P), **close)
    np.testing.assert_allclose(precision.rotated, P @ values, **close)
    np.testing.assert_allclose(precision.product(x), P @ x, **close)
    for i in (0, 5, 11):
        np.testing.assert_allclose(precision.row(i), P[i], **close)
    np.testing.assert_allclose(precision.block([2, 9]), P[np.ix_([2, 9], [2, 9])], **close)


def test_one_solution_serves_all_lines_where_likeness_of_responses_does_not_count():
    expert = make("unseen_perturbation")
    first = posterior(expert, "a")
    assert first.of_line("b")._groups[0].precision is first._groups[0].precision
    expected, _, _ = kriging(expert.responses, expert.text, NEW, "b", "new")
    omega = posterior(expert, "b").coefficients("new")
    np.testing.assert_allclose(omega[0] @ expert.responses.delta, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("protocol", "doubles"),
    [
        ("unseen_combination", 0), ("unseen_perturbation", 0), ("unseen_line", 0),
        ("unseen_double", 6), ("unseen_combination", 6),
    ],
)  # fmt: skip
@pytest.mark.parametrize("weights", [MIXTURE, {"text_process": 1.0}, {"additive": 1.0}])
@pytest.mark.parametrize("components", [False, True])
def test_leave_one_out_is_brute_force_refitting(protocol, doubles, weights, components):
    expert = make(protocol, weights, components, slopes=True, doubles=doubles)
    left_out = expert.leave_one_out()
    for group in held_out(expert.responses, expert.responses.lines):
        refitted = less(expert, group)
        for i in group:
            expected = refitted(*pair(expert.responses, i)).delta
            np.testing.assert_allclose(left_out[i], expected, rtol=1e-8, atol=1e-8)


def test_leave_one_out_of_the_only_entry_of_a_line_or_without_text():
    expert = make()
    alone = expert.responses.rows("c")[1:]
    expert = less(expert, alone)  # line c keeps one entry
    embedding = draw_embedding()
    few = Embedding(embedding.names[3:], embedding.vectors[3:], embedding.coverage)
    expert.text = TextSimilarity(few, expert.responses.perturbations, width=0.5)
    left_out = expert.leave_one_out()
    for i in range(len(left_out)):
        expected = less(expert, [i])(*pair(expert.responses, i)).delta
        np.testing.assert_allclose(left_out[i], expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("weights", "arm"),
    [
        ({}, line_mean), ({"perturbation_mean": 1.0}, perturbation_mean),
        ({"additive": 1.0}, additive), ({"ridge": 1.0}, ridge), ({"knn": 1.0}, knn),
    ],
)  # fmt: skip
def test_fixed_weights_give_each_simple_arm(weights, arm):
    expert = make(weights=weights)
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
    expert = make(weights={"process": 1.0})
    expert.variances["process"] = Variances(0, 0, 0, 0, 0, 1, reliability=0)
    expected = line_mean.fit(expert.responses, None, None, {})
    for line in "abc":
        for name in ("P99x", "new"):
            np.testing.assert_allclose(
                posterior(expert, line, "process").coefficients(name)[0] @ expert.responses.delta,
                expected(line, "").delta, rtol=1e-10, atol=1e-10,
            )  # fmt: skip


def test_a_dominant_same_perturbation_part_is_the_additive_model():
    expert = make(weights={"process": 1.0})
    expert.variances["process"] = Variances(1e6, 0, 0, 0, 0, 1, reliability=0)
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
    components = expert.components
    for i, reliability in enumerate(components.reliability):
        project = left
        if i < len(components.directions):
            project = components.directions[i].T @ components.directions[i]
        left = left - project
        variances = replace(expert.variances["text_process"], reliability=reliability)
        predicted, _, _ = kriging(expert.responses, expert.text, variances, *arguments, **options)
        total += components.scale * (project @ (predicted / components.scale))
    return total


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("components", [False, True])
def test_a_reported_deletion_is_what_recomputation_gives(trained, components):
    weights = {"text_process": 0.7, "additive": 0.2, "knn": 0.1}
    expert = make(weights=weights, components=components, slopes=True)
    responses, slopes = expert.responses, expert.stack.slopes
    names = [n for n in responses.perturbations if len(responses.rows("b", n)) == trained][:2]
    assert len(names) == 2
    for name in names:
        estimate = expert("b", name)
        assert len(estimate.candidates) == 4
        own = responses.rows("b", name)
        for candidate in estimate.candidates:
            gone = responses.rows(candidate.line, candidate.perturbation)
            gone = np.concatenate([own, gone])
            keep = np.setdiff1d(np.arange(len(responses.entries)), gone)
            rest = less(expert, gone)
            mean = weighing(rest, {})("b", name).delta
            beyond = 0.7 * (by_component(expert, "b", name, keep, addresses=responses) - mean)
            for member in ("additive", "knn"):
                beyond += weights[member] * (weighing(rest, {member: 1.0})("b", name).delta - mean)
            level = replace(rest, stack=Stack({}, slopes))("b", name).delta
            expected = level + slopes * beyond
            np.testing.assert_allclose(candidate.without, expected, rtol=1e-6, atol=1e-8)


def test_a_reported_deletion_from_the_sparse_process_is_what_recomputation_gives():
    expert = make(weights={"sparse_process": 1.0})
    responses = expert.responses
    name = next(n for n in responses.perturbations if not len(responses.rows("b", n)))
    mean = weighing(expert, {})("b", name).delta
    sparse = replace(
        responses, delta=expert.shrunken.values,
        se=np.sqrt(expert.shrunken.noise[:, None] + control_variance(responses)),
    )  # fmt: skip
    text, variances = expert.text, expert.variances["sparse_process"]
    every = np.arange(len(responses.entries))
    for candidate in expert("b", name).candidates:
        gone = responses.rows(candidate.line, candidate.perturbation)
        rest = weighing(less(expert, gone), {})("b", name).delta
        predicted, _, _ = kriging(
            sparse, text, variances, "b", name, np.setdiff1d(every, gone), sparse, centred=True
        )
        np.testing.assert_allclose(candidate.without, rest + predicted, rtol=1e-6, atol=1e-8)
    assert np.abs(expert("b", name).delta - mean).max() > 0.05


def control_variance(responses):
    """(N, G) squared error of the controls of each entry's line."""
    return np.array([responses.control_se[line] ** 2 for line in responses.entries["cell_line"]])


def test_coefficients_say_what_the_prediction_is_made_of():
    expert = make(weights={m: w for m, w in MIXTURE.items() if m != "sparse_process"})
    expert.k = len(expert.responses.entries)
    name = next(n for n in expert.responses.perturbations if not len(expert.responses.rows("b", n)))
    estimate = expert("b", name)
    total = np.zeros(len(expert.responses.genes))
    for candidate in estimate.candidates:
        row = expert.responses.rows(candidate.line, candidate.perturbation)[0]
        total += candidate.weight * expert.responses.delta[row]
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
    expert = make(weights={"text_process": 1.0})
    responses = expert.responses
    name = next(
        n for n in responses.perturbations
        if not len(responses.rows("b", n)) and len(responses.rows("a", n))
    )  # fmt: skip
    row = responses.rows("a", name)[0]
    before = posterior(expert, "b").coefficients(name)[0, row]
    se = responses.se.copy()
    se[row] *= 4
    expert = replace(expert, responses=replace(responses, se=se))
    after = posterior(expert, "b").coefficients(name)[0, row]
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


def test_an_entry_that_repeats_what_the_others_say_changes_nothing():
    """Deleting an entry that equals its own prediction has no effect (kriging is consistent)."""
    expert = make()
    rows = expert.responses.rows("b")
    entries = Entries.measured(expert.responses)
    first = Posterior(Kernel(entries, expert.text, "b"), COMBINATION)
    delta = expert.responses.delta.copy()
    delta[rows[0]] -= first.residuals(rows[:1])[0]
    same = replace(expert.responses, delta=delta)
    again = Posterior(Kernel(Entries.measured(same), expert.text, "b"), COMBINATION)
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
