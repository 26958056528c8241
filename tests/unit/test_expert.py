"""The closed-form expert against brute force: kriging systems, refits, simple arms within it."""

import numpy as np
import pytest
from expert_cases import COMBINATION, MIXTURE, NEW, kriging, less, make, pair, posterior
from response_cases import draw_embedding

from ptrag.arms.catalogue import additive, knn, line_mean, perturbation_mean, ridge
from ptrag.arms.expert.posterior import Variances, shared_genes
from ptrag.arms.expert.precision import Precision
from ptrag.arms.expert.variances import held_out
from ptrag.genes.embeddings import Embedding
from ptrag.retrieval.similarity import TextSimilarity


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
    for rows in ([4], [2, 9]):
        np.testing.assert_allclose(precision.block(rows), P[np.ix_(rows, rows)], **close)


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
    predict = arm.ARM.fit(
        expert.responses, draw_embedding(), expert.neighbours, {"topk_rag": expert.k}
    )
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
    expected = line_mean.ARM.fit(expert.responses, None, None, {})
    for line in "abc":
        for name in ("P99x", "new"):
            np.testing.assert_allclose(
                posterior(expert, line, "process").coefficients(name)[0] @ expert.responses.delta,
                expected(line, "").delta, rtol=1e-10, atol=1e-10,
            )  # fmt: skip


def test_a_dominant_same_perturbation_part_is_the_additive_model():
    expert = make(weights={"process": 1.0})
    expert.variances["process"] = Variances(1e6, 0, 0, 0, 0, 1, reliability=0)
    expected = additive.ARM.fit(expert.responses, None, None, {})
    held = [n for n in expert.responses.perturbations if not len(expert.responses.rows("b", n))]
    assert held
    for name in held:
        np.testing.assert_allclose(
            expert("b", name).delta, expected("b", name).delta, rtol=1e-4, atol=1e-4
        )
