"""What the simple arms predict under each protocol, against sums and least squares by hand."""

import numpy as np
import pandas as pd
import pytest
from response_cases import draw_embedding, draw_responses, nearest

from ptrag.arms.catalogue import (
    additive,
    additive_singles,
    knn,
    line_mean,
    perturbation_mean,
    ridge,
)
from ptrag.arms.simple import coefficients as simple
from ptrag.cells.responses import Responses


@pytest.fixture
def doubles():
    """Singles A (a, b), B (a), C (b, c); doubles A+C in a and b; D nowhere."""
    pairs = [
        ("a", "A"), ("b", "A"), ("a", "B"), ("b", "C"), ("c", "C"), ("a", "A+C"), ("b", "A+C"),
    ]  # fmt: skip
    delta = np.random.default_rng(0).normal(size=(len(pairs), 5))
    entries = pd.DataFrame(pairs, columns=["cell_line", "perturbation"]).assign(n_cells=9)
    zero = {line: np.zeros(5) for line in "abc"}
    genes = [f"G{i}" for i in range(5)]
    responses = Responses(genes, entries, delta, np.ones_like(delta), zero, zero, "unseen_double")
    return responses, dict(zip(pairs, delta, strict=True))


def singles_of(responses):
    return additive_singles.ARM.fit(responses, None, None, {})


def test_a_double_is_the_sum_of_its_singles_in_the_line_else_of_their_means(doubles):
    responses, delta = doubles
    predict = singles_of(responses)
    cases = {
        ("a", "A+B"): delta["a", "A"] + delta["a", "B"],
        ("b", "B+A"): delta["b", "A"] + delta["a", "B"],
        ("c", "A+B"): (delta["a", "A"] + delta["b", "A"]) / 2 + delta["a", "B"],
        ("a", "A+C"): delta["a", "A"] + (delta["b", "C"] + delta["c", "C"]) / 2,
        ("b", "A+B+C"): delta["b", "A"] + delta["a", "B"] + delta["b", "C"],
    }
    for pair, expected in cases.items():
        estimate = predict(*pair)
        np.testing.assert_allclose(estimate.delta, expected, rtol=1e-12)
        assert estimate.note == ""


def test_one_single_stands_alone_and_none_is_the_mean_of_the_line(doubles):
    responses, delta = doubles
    predict = singles_of(responses)
    alone = predict("a", "B+D")
    np.testing.assert_allclose(alone.delta, delta["a", "B"], rtol=1e-12)
    assert alone.note == "no single is measured of D"
    for line in "abc":
        none = predict(line, "D+E")
        mean = np.mean([d for (own, _), d in delta.items() if own == line], axis=0)
        np.testing.assert_allclose(none.delta, mean, rtol=1e-12)
        assert none.note == additive_singles.BACK_OFF


def test_leaving_an_entry_out_is_asking_without_it(doubles):
    responses, _ = doubles
    for gone in range(len(responses.entries)):
        keep = np.arange(len(responses.entries)) != gone
        omega = simple.additive_singles(responses, "a", "A+B", keep)
        assert omega[gone] == 0
        rest = responses.without([gone])
        expected = singles_of(rest)("a", "A+B").delta
        np.testing.assert_allclose(omega @ responses.delta, expected, rtol=1e-10, atol=1e-12)


def unseen_line(seed=0):
    """Responses of lines a and b; c has controls alone."""
    responses = draw_responses(seed=seed)
    rest = responses.without(responses.rows("c"))
    assert "c" in rest.lines
    return rest


def test_in_an_unseen_line_line_mean_is_that_of_all_entries():
    responses = unseen_line()
    estimate = line_mean.ARM.fit(responses, None, None, {})("c", "P00")
    np.testing.assert_allclose(estimate.delta, responses.delta.mean(axis=0), rtol=1e-12)
    assert "no training pair in the line" in estimate.note


@pytest.mark.parametrize("arm", [perturbation_mean, additive_singles])
def test_in_an_unseen_line_a_perturbation_does_what_it_does_elsewhere(arm):
    responses = unseen_line()
    predict = arm.ARM.fit(responses, None, None, {})
    for name in responses.perturbations:
        rows = (responses.entries["perturbation"] == name).to_numpy()
        estimate = predict("c", name)
        np.testing.assert_allclose(estimate.delta, responses.delta[rows].mean(axis=0), rtol=1e-12)
        assert estimate.note == ""


def test_in_an_unseen_line_additive_is_the_perturbation_at_the_average_line():
    responses = unseen_line()
    lines = np.eye(2)[responses.line_of]
    names = np.eye(len(responses.perturbations))[responses.perturbation_of]
    effects = np.linalg.lstsq(np.hstack([lines, names]), responses.delta, rcond=None)[0]
    line_effect = effects[:2].mean(axis=0)
    predict = additive.ARM.fit(responses, None, None, {})
    for i, name in enumerate(responses.perturbations):
        expected = effects[2 + i] + line_effect
        np.testing.assert_allclose(predict("c", name).delta, expected, rtol=1e-9, atol=1e-10)


def test_in_an_unseen_line_knn_is_the_mean_of_the_neighbours_elsewhere():
    responses, embedding = unseen_line(), draw_embedding()
    neighbours = nearest(embedding, responses.perturbations, k=3)
    names, similarity = neighbours.candidates("P04")
    means = [responses.delta[responses.rows(perturbation=name)].mean(axis=0) for name in names]
    weight = np.maximum(similarity, 0)
    predict = knn.ARM.fit(responses, embedding, neighbours, {"topk_rag": 3})
    np.testing.assert_allclose(
        predict("c", "P04").delta, weight @ np.array(means) / weight.sum(), rtol=1e-10
    )


def test_in_an_unseen_line_ridge_adds_what_text_says_to_the_mean_of_all_entries():
    """The text part is the same in every line: it is what the lines have in common."""
    responses, embedding = unseen_line(), draw_embedding()
    predict = ridge.fit(responses, embedding, None, {})
    overall = responses.delta.mean(axis=0)
    here = responses.delta[responses.rows("a")].mean(axis=0)
    for name in ("P00", "P07", "P13"):
        np.testing.assert_allclose(
            predict("c", name).delta - overall, predict("a", name).delta - here, atol=1e-10
        )
