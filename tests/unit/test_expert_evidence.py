"""What the expert says of its evidence: deletions, coefficients, notes, against recomputation."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from expert_cases import COMBINATION, MIXTURE, kriging, less, make, posterior, weighing
from response_cases import draw_embedding, draw_responses, nearest

from ptrag.arms.catalogue import line_mean
from ptrag.arms.expert.components import Components
from ptrag.arms.expert.entries import Entries
from ptrag.arms.expert.expert import NO_ENTRY, UNKNOWN
from ptrag.arms.expert.fitting import fit_expert
from ptrag.arms.expert.level import Level
from ptrag.arms.expert.posterior import Kernel, Posterior
from ptrag.arms.expert.stacking import Stack
from ptrag.genes.embeddings import Embedding
from ptrag.retrieval.similarity import TextSimilarity


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
    candidates = expert("b", name).candidates
    assert len(candidates) == 4
    for candidate in candidates:
        gone = responses.rows(candidate.line, candidate.perturbation)
        rest = weighing(less(expert, gone), {})("b", name).delta
        predicted, _, _ = kriging(
            sparse, text, variances, "b", name, np.setdiff1d(every, gone), sparse, centred=True
        )
        np.testing.assert_allclose(candidate.without, rest + predicted, rtol=1e-6, atol=1e-8)
    assert np.abs(expert("b", name).delta - mean).max() > 0.05


@pytest.mark.parametrize("kept", [1, 2])
@pytest.mark.parametrize("components", [False, True])
def test_deleting_all_that_a_line_has_is_recomputed(kept, components):
    """The line's mean takes such an entry up whole, so that the closed form is 0/0."""
    expert = make(weights={"text_process": 0.7, "process": 0.3}, components=components)
    expert = less(expert, expert.responses.rows("b")[kept:])
    measured = expert.responses.rows("b")
    own_names = [expert.responses.pairs[i].perturbation for i in measured]
    other = next(n for n in expert.responses.perturbations if n not in own_names)
    checked = 0
    for name in (own_names[0], other):
        estimate = expert("b", name)
        own = expert.responses.rows("b", name)
        assert all(np.isfinite(candidate.without).all() for candidate in estimate.candidates)
        for candidate in estimate.candidates:
            if candidate.line == "b":
                gone = expert.responses.rows("b", candidate.perturbation)
                expected = less(expert, np.concatenate([own, gone]))("b", name).delta
                np.testing.assert_allclose(candidate.without, expected, rtol=1e-6, atol=1e-8)
                checked += 1
    assert checked


def test_the_only_entry_of_a_line_is_as_uncertain_as_if_it_had_not_been_measured():
    expert = make()
    expert = less(expert, expert.responses.rows("b")[1:])
    (alone,) = expert.responses.rows("b")
    name = expert.responses.pairs[alone].perturbation
    solved, rest = posterior(expert, "b"), posterior(less(expert, [alone]), "b")
    expected = rest.variance(name, rest.coefficients(name))
    assert solved.variance(name, solved.coefficients(name)) == pytest.approx(expected, rel=1e-8)


def control_variance(responses):
    """(N, G) squared error of the controls of each entry's line."""
    return np.array([responses.control_se[line] ** 2 for line in responses.entries["cell_line"]])


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
    expected = line_mean.ARM.fit(expert.responses, None, None, {})("a", "")
    np.testing.assert_allclose(estimate.delta, expected.delta, rtol=1e-12)
    assert estimate.note == UNKNOWN
    assert estimate.candidates == ()


def test_a_measured_perturbation_without_text_is_still_predicted():
    expert = make()
    embedding = draw_embedding()
    few = Embedding(embedding.names[5:], embedding.vectors[5:], embedding.coverage)
    every = np.ones(len(expert.responses.entries), bool)
    name = next(n for n in embedding.names[:5] if expert.responses.measures(n, every))
    expert.text = TextSimilarity(few, expert.responses.perturbations)
    estimate = expert("b", name)
    assert estimate.note == ""
    assert any(c.name.startswith(name + " in") for c in estimate.candidates)
    assert np.isnan(estimate.candidates[0].similarity)


def test_a_line_without_entries_says_so():
    expert = make()
    expert = less(expert, expert.responses.rows("c"))
    estimate = expert("c", "P03")
    assert estimate.note == NO_ENTRY
    assert np.isfinite(estimate.delta).all()


def small_expert(members):
    """An expert for a new line, b, with equal weights, slopes of one and means for levels."""
    responses = draw_responses(seed=7, missing=0.5, protocol="unseen_line", target="b")
    responses = responses.without(responses.rows("b"))
    embedding = draw_embedding()
    neighbours = nearest(embedding, responses.perturbations)
    expert = fit_expert(responses, embedding, neighbours, {"topk_rag": len(responses.entries)})
    stack = Stack(dict.fromkeys(members, 0.3), np.ones(len(responses.genes)))
    one = Components.one(len(responses.genes))
    return replace(expert, stack=stack, level=Level.plain(responses), components=one)


def test_coefficients_say_what_the_prediction_of_a_new_line_is_made_of():
    """Lines differ in how many entries they have: their mean is not the mean of their means."""
    expert = small_expert(("perturbation_mean", "additive", "text_process"))
    responses = expert.responses
    assert len(responses.rows("a")) != len(responses.rows("c"))
    for name in responses.perturbations:
        estimate = expert("b", name)
        total = np.zeros(len(responses.genes))
        for candidate in estimate.candidates:
            row = responses.rows(candidate.line, candidate.perturbation)[0]
            total += candidate.weight * responses.delta[row]
        np.testing.assert_allclose(total, estimate.delta, rtol=1e-10, atol=1e-12)


def test_a_fitted_expert_is_freed_when_it_is_done_with():
    """Its solved processes take gigabytes: they must not wait for a collection of cycles."""
    expert = small_expert(("knn", "text_process"))
    process = weakref.ref(expert.member("text_process"))
    expert("b", "P03")
    gc.disable()
    try:
        del expert
        assert process() is None
    finally:
        gc.enable()
