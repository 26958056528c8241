"""``evidence_mean`` and ``atlas_fusion`` against loops over entries and genes."""

from dataclasses import replace

import numpy as np
import pytest
from response_cases import draw_embedding, draw_responses, nearest

from ptrag.arms.catalogue import atlas_fusion, evidence_mean, line_mean
from ptrag.arms.simple import evidence

K = 3


@pytest.fixture(scope="module")
def screen():
    responses, embedding = draw_responses(seed=5), draw_embedding()
    return responses, embedding, nearest(embedding, responses.perturbations, k=5)


def chosen(responses, neighbours, line, name):
    """The entries of the two kinds of source, one after the other."""
    same = [i for i, (of, p) in enumerate(responses.pairs) if p == name and of != line]
    like = []
    for other in neighbours.candidates(name)[0][:K]:
        every = [i for i, (_, p) in enumerate(responses.pairs) if p == other]
        here = [i for i in every if responses.pairs[i].cell_line == line]
        like += here or every
    return same, like


def test_evidence_mean_is_the_loop_over_genes(screen):
    responses, embedding, neighbours = screen
    predict = evidence_mean.ARM.fit(responses, embedding, neighbours, {"topk_rag": K})
    for line, name in (("a", "P00"), ("c", "P07"), ("b", "P13")):
        same, _ = chosen(responses, neighbours, line, name)
        expected = [
            sum(responses.delta[i, g] / responses.se[i, g] ** 2 for i in same)
            / sum(1 / responses.se[i, g] ** 2 for i in same)
            for g in range(len(responses.genes))
        ]
        estimate = predict(line, name)
        np.testing.assert_allclose(estimate.delta, expected, rtol=1e-10)
        assert estimate.note == ""


def test_evidence_mean_of_a_new_perturbation_is_that_of_its_neighbours(screen):
    responses, embedding, _ = screen
    rest = responses.without(responses.rows(perturbation="P04"))
    near = nearest(embedding, rest.perturbations, k=5)
    estimate = evidence_mean.ARM.fit(rest, embedding, near, {"topk_rag": K})("b", "P04")
    _, like = chosen(rest, near, "b", "P04")
    weights = 1 / rest.se[like] ** 2
    expected = (weights * rest.delta[like]).sum(axis=0) / weights.sum(axis=0)
    np.testing.assert_allclose(estimate.delta, expected, rtol=1e-10)
    assert estimate.note == evidence_mean.NEIGHBOURS
    unknown = evidence_mean.ARM.fit(rest, embedding, near, {"topk_rag": K})("b", "nobody")
    mean = line_mean.ARM.fit(rest, None, None, {})("b", "nobody").delta
    np.testing.assert_allclose(unknown.delta, mean)
    assert unknown.note == evidence_mean.BACK_OFF


def test_what_is_known_exactly_has_all_the_weight(screen):
    responses, _, _ = screen
    se = responses.se.copy()
    rows = responses.rows(perturbation="P00")
    se[rows[0], 0] = 0.0
    exact = replace(responses, se=se)
    assert evidence.precise_mean(exact, rows)[0] == pytest.approx(responses.delta[rows[0], 0])
    equal = replace(responses, se=np.zeros_like(se))
    np.testing.assert_allclose(
        evidence.precise_mean(equal, rows), responses.delta[rows].mean(axis=0)
    )


@pytest.mark.parametrize("cap", [evidence.CAP, 0.2])
def test_atlas_fusion_is_the_loop_over_kinds(screen, monkeypatch, cap):
    responses, embedding, neighbours = screen
    monkeypatch.setattr(evidence, "CAP", cap)
    predict = atlas_fusion.ARM.fit(responses, embedding, neighbours, {"topk_rag": K})
    n_cells = responses.entries["n_cells"].to_numpy()
    means = {
        line: np.mean(
            [responses.delta[i] for i, pair in enumerate(responses.pairs) if pair[0] == line],
            axis=0,
        )
        for line in responses.lines
    }
    entry = [
        n / (n + 50) * (responses.delta[i] - means[responses.pairs[i].cell_line])
        for i, n in enumerate(n_cells)
    ]
    most = cap * np.sqrt(np.mean(np.square(entry), axis=0))
    for line, name in (("a", "P00"), ("c", "P07"), ("b", "P13")):
        same, like = (
            np.mean([entry[i] for i in rows], axis=0)
            for rows in chosen(responses, neighbours, line, name)
        )
        mixed = np.minimum(np.maximum(0.7 * same + 0.3 * like, -most), most)
        np.testing.assert_allclose(predict(line, name).delta, means[line] + mixed, rtol=1e-9)
    assert (np.abs(mixed) == most).any() == (cap < 1)


def test_atlas_fusion_backs_off_to_the_line(screen):
    responses, embedding, neighbours = screen
    estimate = atlas_fusion.ARM.fit(responses, embedding, neighbours, {"topk_rag": K})(
        "b", "nobody"
    )
    mean = line_mean.ARM.fit(responses, None, None, {})("b", "nobody").delta
    np.testing.assert_allclose(estimate.delta, mean)
    assert estimate.note == atlas_fusion.BACK_OFF
