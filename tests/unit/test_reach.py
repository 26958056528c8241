"""How far responses reach in a line without entries: what it expresses, as far as lines confirm."""

from dataclasses import replace

import numpy as np
import pytest
from expert_cases import less, make
from response_cases import draw_embedding, draw_responses, nearest

from ptrag.arms.expert.fitting import fit_expert
from ptrag.arms.expert.level import Level
from ptrag.arms.expert.reach import LEAST, fit_reach, reach
from ptrag.arms.simple.line_means import LineMeans


def screen(by_expression, seed=0, n_genes=120, n_perturbations=20):
    """Four lines; a response is a factor of counts if ``by_expression``, else the same delta."""
    responses = draw_responses(
        seed, ("a", "b", "c", "d"), n_perturbations, n_genes, missing=0.1, noise=1.0
    )
    rng = np.random.default_rng(seed + 100)
    control = {line: rng.gamma(0.7, 1.0, n_genes) for line in responses.lines}
    factor = rng.normal(size=(n_perturbations, n_genes))[responses.perturbation_of]
    expressed = 1 - np.exp(-np.array([control[pair.cell_line] for pair in responses.pairs]))
    true = factor * (expressed if by_expression else expressed.mean())
    noise = np.sqrt(responses.own_variance) * rng.normal(size=true.shape)
    return replace(responses, control_mean=control, delta=true + noise), true


def test_a_factor_of_counts_moves_log1p_by_what_is_expressed():
    mean, factor = np.array([0.05, 0.7, 4.0]), 1e-6
    moved = np.log1p(np.expm1(mean) * (1 + factor)) - mean
    np.testing.assert_allclose(moved / factor, 1 - np.exp(-mean), rtol=1e-4)


def test_reach_is_a_ratio_of_sums_over_the_lines_with_entries():
    responses, _ = screen(True)
    rest = responses.without(responses.rows("d"))
    counts = np.bincount(rest.line_of, minlength=4)
    for line, others in (("a", "bc"), ("d", "abc")):
        for gene in range(5):
            expressed = {x: 1 - np.exp(-responses.control_mean[x][gene]) for x in "abcd"}
            mean = sum(expressed[x] for x in others) / len(others)
            expected = 1 + 0.3 * ((expressed[line] + LEAST) / (mean + LEAST) - 1)
            got = reach(0.3, "abcd".index(line), rest, counts)[gene]
            assert got == pytest.approx(expected, rel=1e-12)


def test_it_is_found_where_responses_are_factors_and_not_where_they_are_not():
    assert fit_reach(screen(True)[0]) > 0.8
    followed = [fit_reach(screen(False, seed)[0]) for seed in range(30)]
    assert np.count_nonzero(followed) <= 2


def test_it_is_nothing_where_no_perturbation_is_in_two_lines_or_no_control_is_known():
    responses, _ = screen(True)
    one = responses.without(np.flatnonzero(responses.line_of > 0))
    assert fit_reach(one) == 0
    np.testing.assert_array_equal(reach(1.0, 0, one, np.array([3, 0, 0, 0])), 1)
    zeros = {line: np.zeros(len(responses.genes)) for line in responses.lines}
    unknown = replace(responses, control_mean=zeros)
    assert fit_reach(unknown) == 0
    np.testing.assert_array_equal(reach(1.0, 0, unknown, np.ones(4)), 1)


def test_a_line_without_entries_is_predicted_better_with_it():
    responses, true = screen(True)
    rows = responses.rows("d")
    known = replace(responses.without(rows), protocol="unseen_line", target="d")
    embedding = draw_embedding(20)
    neighbours = nearest(embedding, known.perturbations)
    expert = fit_expert(known, embedding, neighbours, {"topk_rag": 4})
    assert expert.level.followed > 0.8
    without = replace(expert, level=replace(expert.level, followed=0.0))
    errors = [
        np.mean([(e(*responses.pairs[row]).delta - true[row]) ** 2 for row in rows])
        for e in (expert, without)
    ]
    assert errors[0] < 0.9 * errors[1]


def test_a_line_that_comes_later_has_the_reach_of_one_that_was_there():
    """Its prediction, and how far its level may be off, by hand."""
    expert = make("unseen_combination", slopes=True)
    controls = np.linspace(0, 3, 9)
    later = expert.with_line("z", controls, np.zeros(9))
    means = LineMeans.of_all(later.responses)
    at, level = later.responses.lines.index("z"), later.level
    known = later.responses, means.counts
    far = reach(level.followed, at, *known)
    plain = replace(later, level=replace(level, followed=0.0))
    np.testing.assert_allclose(later("z", "P01").delta, far * plain("z", "P01").delta, rtol=1e-10)
    missed = [
        means.mean(line) - level.carried * reach(0.7, line, *known) * means.elsewhere(line)
        for line in range(3)
    ]
    np.testing.assert_allclose(level.variance[at], np.mean(np.square(missed), axis=0))


def test_lines_that_have_entries_say_themselves_how_far_responses_reach():
    responses, _ = screen(True)
    level, means = Level.fitted(responses), LineMeans.of_all(responses)
    assert level.followed > 0
    np.testing.assert_array_equal(level.reach(0, means), 1)


def test_a_deletion_in_a_line_without_entries_is_what_recomputation_gives():
    expert = make("unseen_line", {"perturbation_mean": 0.5, "knn": 0.3}, slopes=True)
    responses = expert.responses
    for name in responses.perturbations[:4]:
        candidates = expert("b", name).candidates
        assert candidates
        for candidate in candidates:
            gone = responses.rows(candidate.line, candidate.perturbation)
            again = less(expert, gone)("b", name).delta
            np.testing.assert_allclose(candidate.without, again, rtol=1e-10)
